"""The revocation feed as an enforcement point knows it, and until when it may rely on that.

1. A `FeedReader` is fresh for five seconds from the moment of the question, less the age of the answer, and
   not before the first complete reading. A stale reader refuses (design 4, law 10).
2. The clock counts the machine's sleep, so a suspended machine or stopped process finds its feed stale.
3. When the log is replaced (`other-log`), or an answer is impossible, known revocations stay, the log is
   read from its beginning, and nothing is fresh until then.
4. A late or repeated answer, or one from before the restart, is ignored.
5. A forked child keeps what is known and is stale until it follows the feed itself.
6. A `FeedFollower` polls in a thread and never ends by itself. Failures refresh nothing. After a refusal it
   polls less often, because each poll costs the daemon work.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, TaskboundError, UnavailableError
from taskbound.core.revocation import About, Entry, FeedBrokenError, FeedEvent, FeedState, Thing
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.sdk.fresh import BOUND, awake
from taskbound.sdk.verify.keys import anew_in_children
from taskbound.wire.token import ReadFeed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.wire.token import FeedEntry, FeedRows


_WAIT: Final = 2_000
"""Milliseconds that one question waits for news; two of them fit into the bound."""
_KEPT: Final = 720.0
"""Seconds after which what was heard is forgotten: no token lives half as long."""
_AGAIN: Final = 0.2
"""Seconds after a question that failed."""
_REFUSED: Final = 1.0
"""Seconds after one that was refused (rule 6)."""
_OTHER_LOG: Final = "other-log"
_SECOND: Final = 1_000_000
_ABOUTS: Final = {one.value: one for one in About}
_TURNS: Final = {one.value: one for one in FeedEvent}


class StaleFeedError(UnavailableError):
    """The feed was read too long ago."""

    code = "stale-feed"
    remedy = "refuse, or ask the issuer; look whether the feed can be reached"


class RevokedError(DeniedError):
    """Something the request depends on is revoked or stopped."""

    code = "revoked"
    remedy = "get a new token from the issuer, where what it rests on still stands"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Identifies the question that an answer belongs to (rule 4)."""

    at: float
    """When it was asked, by the reader's clock."""
    after: int
    """The place behind which it asked."""
    log: int
    """How often the reader had begun anew by then."""


class FeedReader:
    """The known state of one namespace's feed; thread-safe."""

    def __init__(
        self, namespace: str = "default", *, bound: float = BOUND, clock: Callable[[], float] = awake
    ) -> None:
        """Starts stale and empty; `bound`: seconds, above 0 and at most 5; `clock`: monotonic seconds."""
        if not 0 < bound <= BOUND:
            raise ValueError(f"a bound is above 0 and at most {BOUND} seconds")
        self.namespace = namespace
        self._bound, self._clock = bound, clock
        self._lock = threading.Lock()
        self._heard = FeedState(-1)
        self._mark = ""
        self._until = float("-inf")
        self._log = 0
        """How often it has begun anew."""
        self._whole = False
        """Whether everything was heard since the beginning of this log."""
        anew_in_children(self, FeedReader._in_child)  # a thread may hold the lock when this process forks

    def _in_child(self) -> None:
        self._lock = threading.Lock()
        self._log += 1  # an answer to the parent's question is not for this process
        self._until = float("-inf")  # 5

    @property
    def through(self) -> int:
        """Returns the position up to which everything was read; -1 before the first reading."""
        return self._heard.through

    def question(self, *, wait: int = _WAIT) -> tuple[ReadFeed, Asked]:
        """Returns the next question and its identity; `wait`: up to 2,000 ms, 0 until all was read."""
        with self._lock:
            after = self._heard.through
            ask = ReadFeed(after=after, mark=self._mark, wait=wait if self._whole else 0)
            return ask, Asked(at=self._clock(), after=after, log=self._log)

    def hear(self, rows: FeedRows, asked: Asked) -> bool:
        """Returns False for an old question's answer; FeedBrokenError means that nothing was applied."""
        if rows.namespace != self.namespace:
            raise FeedBrokenError(f"the feed is of `{rows.namespace}`, and not of `{self.namespace}`")
        entries = tuple(self._entry(one) for one in rows.entries)
        other = (
            bool(entries) and entries[0].place <= asked.after
        )  # it answers a question from an earlier position
        with self._lock:
            if other or asked.log != self._log or rows.through < self._heard.through:
                return False  # 4
            now = self._clock()
            self._heard.hear(entries, rows.through, now)
            self._heard.forget(now - _KEPT)
            self._mark = rows.mark
            if not rows.more:
                self._whole = True
                until = asked.at - max(0, rows.age) / _SECOND + self._bound
                self._until = max(self._until, until)
            return True

    def begin_anew(self) -> None:
        """Reads another log from its beginning, and is stale until that is done (rule 3)."""
        with self._lock:
            self._heard.begin_anew()
            self._log += 1
            self._mark, self._until, self._whole = "", float("-inf"), False

    def age(self) -> float:
        """Returns for how many seconds the feed has been stale; negative while it is fresh."""
        return self._clock() - self._until

    def require_clear(self, things: Iterable[Thing]) -> None:
        """Raises RevokedError, or StaleFeedError, also for an item of another namespace."""
        things = tuple(things)
        foreign = next((one for one in things if one.namespace not in {self.namespace, ""}), None)
        with self._lock:
            found = self._heard.in_the_way(things)
            stale = self._clock() >= self._until
        if found is not None:  # what is over stays over, however old the word is
            thing, turn = found
            raise RevokedError(f"{_words(thing)} is {turn.value}")
        if foreign is not None:
            raise StaleFeedError(
                f"nothing is heard of {_words(foreign)}: the namespace is another",
                remedy=f"follow the feed of `{foreign.namespace}` with a reader of its own",
            )
        if stale:
            raise StaleFeedError("what was heard of the feed is older than it may be")

    def _entry(self, one: FeedEntry) -> Entry:
        about, turn = _ABOUTS.get(one.about), _TURNS.get(one.turn)
        if about is None or turn is None:
            raise FeedBrokenError(f"what `{one.about}` or `{one.turn}` is, is not known here")
        space = "" if about is About.KEY else self.namespace
        thing = Thing(namespace=space, about=about, id=one.id)
        return Entry(place=one.place, at=Instant(one.at), thing=thing, turn=turn)


class FeedFollower:
    """Keeps a reader fresh in a thread of its own (rule 6)."""

    def __init__(
        self,
        reader: FeedReader,
        fetch: Callable[[ReadFeed], FeedRows],
        *,
        failed: Callable[[TaskboundError], None] = lambda _: None,
    ) -> None:
        """Both callbacks run in the thread; `fetch` must return shortly after the question's wait."""
        self._reader, self._fetch, self._failed = reader, fetch, failed
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stops after the current question; known state stays valid no longer than before."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                ask, asked = self._reader.question()
                if not self._reader.hear(self._fetch(ask), asked):
                    self._tell(FeedBrokenError("an answer is older than what was heard since"))  # 4
            except TaskboundError as error:
                if isinstance(error, FeedBrokenError) or _code(error) == _OTHER_LOG:
                    self._reader.begin_anew()  # 3
                self._tell(error)
            except Exception as error:  # noqa: BLE001 - the thread's outermost edge, rule 6
                self._tell(UnavailableError(f"the feed could not be asked: {type(error).__name__}"))

    def _tell(self, error: TaskboundError) -> None:
        with suppress(Exception):  # a failing callback must not stop the follower
            self._failed(error)
        self._ending.wait(pause_after(error))


def pause_after(error: TaskboundError) -> float:
    """Returns the seconds until the next poll after this failure (rule 6)."""
    if not isinstance(error, RefusedByDaemonError) or error.fault.code == _OTHER_LOG:
        return _AGAIN
    return _AGAIN if error.fault.family == "unavailable" else _REFUSED


def _code(error: TaskboundError) -> str:
    return error.fault.code if isinstance(error, RefusedByDaemonError) else error.code


def _words(thing: Thing) -> str:
    return f"the {thing.about.value} `{thing.id}`" if thing.id else f"the namespace `{thing.namespace}`"
