"""What an enforcement point has heard of the feed, and until when it may rest on that.

1. A `FeedReader` asks and hears, and does no I/O. It may be rested on for five seconds from the moment at
   which it asked, less the age of what it was told, and not at all before everything was heard for the first
   time. Past that it refuses (design 4, law 10): a feed that is cut off is noticed within its bound.
2. Its clock is the machine's, its sleep included (`fresh`): a machine that was suspended, or a process that
   was stopped, finds its feed stale and never fresh.
3. Where the log is another one (`other-log`), what was heard as over or stopped stays so, and the log is
   heard from its beginning: nothing is fresh until that was done. An answer that can't be right is taken as
   a sign of the same.
4. An answer belongs to its question. One that comes late, again, or from before the log was begun anew says
   nothing that is not known: it is left, and neither what was heard nor the place is given up for it.
5. The child of a process that was forked has nobody who follows: it knows what was heard, and is stale until
   it follows by itself.
6. A `FeedFollower` asks on and on in a thread. What fails is tried again a moment later and told to whoever
   wants to know; it never ends by itself, and nothing that fails makes anything fresh. Who is told no, such
   as for a key that proves nothing, asks less often: each such question is looked at over there, and refused.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, TaskboundError, UnavailableError
from taskbound.core.revocation import About, Entry, FeedBrokenError, Heard, Thing, Turn
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
_TURNS: Final = {one.value: one for one in Turn}


class StaleFeedError(UnavailableError):
    """What was heard of the feed is older than it may be."""

    code = "stale-feed"
    remedy = "refuse, or ask the issuer; look whether the feed can be reached"


class RevokedError(DeniedError):
    """What the request rests on is over or stopped."""

    code = "revoked"
    remedy = "get a new token from the issuer, where what it rests on still stands"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which question it was that an answer is of (rule 4)."""

    at: float
    """When it was asked, by the reader's clock."""
    after: int
    """The place behind which it asked."""
    log: int
    """How often the reader had begun anew by then."""


class FeedReader:
    """What was heard of one namespace's feed. Safe from any thread."""

    def __init__(
        self, namespace: str = "default", *, bound: float = BOUND, clock: Callable[[], float] = awake
    ) -> None:
        """Have heard nothing, and be stale.

        Args:
            namespace: Whose feed it is.
            bound: Seconds for which what was heard holds, above 0 and at most 5.
            clock: Seconds from anywhere, which never go back (rule 2).

        Raises:
            ValueError: The bound is none.
        """
        if not 0 < bound <= BOUND:
            raise ValueError(f"a bound is above 0 and at most {BOUND} seconds")
        self.namespace = namespace
        self._bound, self._clock = bound, clock
        self._lock = threading.Lock()
        self._heard = Heard(-1)
        self._mark = ""
        self._until = float("-inf")
        self._log = 0
        """How often it has begun anew."""
        self._whole = False
        """Whether everything was heard since the beginning of this log."""
        anew_in_children(self, FeedReader._in_child)  # a thread may hold the lock when this process forks

    def _in_child(self) -> None:
        self._lock = threading.Lock()
        self._log += 1  # an answer to a question of the parent's is none of ours
        self._until = float("-inf")  # 5

    @property
    def through(self) -> int:
        """The place through which everything was heard; -1 before anything was."""
        return self._heard.through

    def question(self, *, wait: int = _WAIT) -> tuple[ReadFeed, Asked]:
        """What to ask next, and which question that is: `hear` is told it with the answer.

        Args:
            wait: Milliseconds to wait for news, to 2,000; 0 while not everything was heard.
        """
        with self._lock:
            after = self._heard.through
            ask = ReadFeed(after=after, mark=self._mark, wait=wait if self._whole else 0)
            return ask, Asked(at=self._clock(), after=after, log=self._log)

    def hear(self, rows: FeedRows, asked: Asked) -> bool:
        """Take an answer; whether it was one of this question and no older one, which is left (rule 4).

        Args:
            rows: The answer.
            asked: Which question it answers.

        Raises:
            FeedBrokenError: It is out of order, is of another namespace, or says what this version doesn't
                know; nothing of it is taken.
        """
        if rows.namespace != self.namespace:
            raise FeedBrokenError(f"the feed is of `{rows.namespace}`, and not of `{self.namespace}`")
        entries = tuple(self._entry(one) for one in rows.entries)
        other = bool(entries) and entries[0].place <= asked.after  # it was told to who asked further back
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
        """Hear another log from its beginning, and be stale until that was done (rule 3)."""
        with self._lock:
            self._heard.begin_anew()
            self._log += 1
            self._mark, self._until, self._whole = "", float("-inf"), False

    def age(self) -> float:
        """Seconds since which what was heard is no longer fresh; below 0 while it is."""
        return self._clock() - self._until

    def require_clear(self, things: Iterable[Thing]) -> None:
        """Go on only where none of these is over or stopped, as far as anybody may know now.

        Raises:
            StaleFeedError: That is not known (rule 1), or one is of a namespace of which nothing is heard.
            RevokedError: One is.
        """
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
    """Keeps a reader fresh, in a thread of its own (rule 6)."""

    def __init__(
        self,
        reader: FeedReader,
        fetch: Callable[[ReadFeed], FeedRows],
        *,
        failed: Callable[[TaskboundError], None] = lambda _: None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            reader: Kept fresh.
            fetch: Asks, and waits no longer than the question and a moment; called in the thread.
            failed: Told each time that it could not be asked; called in the thread.
        """
        self._reader, self._fetch, self._failed = reader, fetch, failed
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End once the question under way was answered; what was heard holds no longer than it did."""
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
        with suppress(Exception):  # who is told of failures is not what keeps it fresh
            self._failed(error)
        self._ending.wait(pause_after(error))


def pause_after(error: TaskboundError) -> float:
    """Seconds until a follower asks again after this failure (rule 6)."""
    if not isinstance(error, RefusedByDaemonError) or error.fault.code == _OTHER_LOG:
        return _AGAIN
    return _AGAIN if error.fault.family == "unavailable" else _REFUSED


def _code(error: TaskboundError) -> str:
    return error.fault.code if isinstance(error, RefusedByDaemonError) else error.code


def _words(thing: Thing) -> str:
    return f"the {thing.about.value} `{thing.id}`" if thing.id else f"the namespace `{thing.namespace}`"
