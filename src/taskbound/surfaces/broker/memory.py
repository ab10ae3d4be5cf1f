"""What the broker remembers across a restart.

Of `memory`:

1. It remembers how many records there were, the newest record that it minted by, with its digest, and each
   mark of the installation that it saw. It is durable before the target is called.
2. A store that has fewer records, another one under that number, or another mark was restored or replaced.
   So is any store where what was remembered has gone or can't be read.
3. With the look that finds it another *epoch* begins, in which the store is in doubt: both are durable before
   anything else is done. Nothing is minted, renewed or handed out then, whatever store is there meanwhile,
   and after any kill. Where the number of the epoch has gone too, the first one begins anew, in doubt.
4. The doubt ends once every target was looked through and nothing of what was there is left (`sweep`), and
   the store as it is then is remembered. Where yet another store came meanwhile, all of them are looked
   through anew; it is the same epoch. The marks that it saw stay: what has one of them is looked for from
   then on, too.
5. What the log is to say of that is kept until the daemon has written it, and nothing is minted before: what
   came before an access has to be known to whoever judges it. A mint needs the daemon in any case. What is
   found meanwhile is another epoch, whose doubt doesn't end before the one of before is told.
6. What was begun in an epoch is handed out in none that came after it.
7. The store is read under one lock, so that no older state of it is compared with a newer one.
8. A row that was made after this process began to follow the store, or believed it again, is no older state
   of itself: a store that goes back is seen by rule 2, and is followed from its own last instant on.

Of `remembered`:

1. It is read as it was written, byte for byte, or it can't be read: each number is a whole one within its
   bounds, each mark is a mark, each word is one that is known.
2. What was written before there were epochs (`v` 1) is of the first one, and nothing is in doubt.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from enum import Enum
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

from taskbound.core.clock import Instant
from taskbound.core.credential import BadMarkError, parse_mark
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, UnavailableError

if TYPE_CHECKING:
    from taskbound.ports.clock import Clock
    from taskbound.ports.store import Readable, Snapshot


class StoreRestoredError(UnavailableError):
    """The store knows less than the broker saw, or is another one: it was restored or replaced."""

    code = "store-restored"
    remedy = "wait until every target was looked through, and what was left there is revoked"


class EpochUntoldError(UnavailableError):
    """The store was restored and is believed again, and the daemon has not recorded that yet."""

    code = "epoch-untold"
    remedy = "look whether the daemon runs and takes what the broker tells: it is told every few seconds"


class OtherTargetError(DeniedError):
    """What is to be revoked was minted in another target than the one that has its name now."""

    code = "target-replaced"
    remedy = (
        "declare the target again as it was: what is left there can be ended by its own admin access alone"
    )


class KeptMissingError(DeniedError):
    """What was kept to end a credential is not in its row any more."""

    code = "kept-missing"
    remedy = "look for who writes to the store beside the daemon; it ends by itself when its row says"


class NotShowingError(UnavailableError):
    """A target of this kind can't show what stands in it beside what is minted here."""

    code = "not-showing"
    remedy = "look there by its own means"


class UnknownKindError(UnavailableError):
    """This broker can't mint in targets of such a kind."""

    code = "no-such-kind"
    remedy = "run a broker of the daemon's version"


MOST_MARKS: Final = 64
_MOST: Final = 2**53 - 1
_DIGEST: Final = re.compile(r"|[0-9a-f]{64}")


class Why(Enum):
    """What a store was found by to be restored or replaced."""

    GONE = "gone"
    MARK = "mark"
    COUNT = "count"
    RECORD = "record"

    @property
    def words(self) -> str:
        """The same, for people."""
        return _WORDS[self]


_WORDS: Final = {
    Why.GONE: "what the broker remembered of the store has gone",
    Why.MARK: "the store is another installation's than the one that the broker saw",
    Why.COUNT: "the store has fewer records than the broker saw",
    Why.RECORD: "the store has another record than the one that the broker minted by",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A store was restored or replaced, and something of before may be left."""

    since: Instant
    why: Why
    ended: int = 0
    """Names that the broker ended by itself since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """What the log is to say of an epoch whose store is believed again."""

    epoch: int
    since: Instant
    why: Why
    ended: int
    targets: int
    """Targets that were looked through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is remembered of a store."""

    marks: tuple[str, ...] = ()
    """Each that the installation had; the newest last."""
    count: int = 0
    """Of records."""
    number: int = 0
    """Of the newest record that something was minted by; 0 for none."""
    digest: str = ""
    """Of that record."""
    epoch: int = 1
    doubt: Doubt | None = None
    untold: Untold | None = None


def render_memory(memory: Remembered) -> bytes:
    """It, as it is written down."""
    doubt, untold = memory.doubt, memory.untold
    value: dict[str, Any] = {
        **_first(memory),
        "epoch": memory.epoch,
        "doubt": None
        if doubt is None
        else {"ended": doubt.ended, "since": doubt.since, "why": doubt.why.value},
        "untold": None
        if untold is None
        else {
            "ended": untold.ended,
            "epoch": untold.epoch,
            "since": untold.since,
            "targets": untold.targets,
            "why": untold.why.value,
        },
        "v": 2,
    }
    return _render(value)


def parse_memory(data: bytes | None) -> Remembered | None:
    """What is written there; nothing where that can't be read (rules 1 and 2)."""
    try:
        value = json.loads(data or b"")
        found = Remembered(
            marks=tuple(parse_mark(str(one)) for one in value["marks"])[: MOST_MARKS + 1],
            count=_whole(value["count"]),
            number=_whole(value["number"]),
            digest=str(value["digest"]),
            **({} if value["v"] == 1 else _second(value)),
        )
    except (ValueError, LookupError, TypeError, RecursionError, BadMarkError):
        return None
    as_written = _render(_first(found) | {"v": 1}) if value["v"] == 1 else render_memory(found)
    fits = len(found.marks) <= MOST_MARKS and _DIGEST.fullmatch(found.digest) is not None
    return found if fits and as_written == data else None


def _second(value: dict[str, Any]) -> dict[str, Any]:
    """What stands there since there are epochs."""
    doubt, untold = value["doubt"], value["untold"]
    return {
        "epoch": _whole(value["epoch"], least=1),
        "doubt": None
        if doubt is None
        else Doubt(
            since=Instant(_whole(doubt["since"], least=1)),
            why=Why(doubt["why"]),
            ended=_whole(doubt["ended"]),
        ),
        "untold": None
        if untold is None
        else Untold(
            epoch=_whole(untold["epoch"], least=1),
            since=Instant(_whole(untold["since"], least=1)),
            why=Why(untold["why"]),
            ended=_whole(untold["ended"]),
            targets=_whole(untold["targets"]),
        ),
    }


def _whole(value: object, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _MOST:
        raise ValueError("that is no whole number within its bounds")
    return value


def _first(memory: Remembered) -> dict[str, Any]:
    """What stood there before there were epochs."""
    return {
        "count": memory.count,
        "digest": memory.digest,
        "marks": list(memory.marks),
        "number": memory.number,
    }


def _render(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


EMPTY: Final = render_memory(Remembered())
"""The memory of a new key: of nothing, in the first epoch."""


_MOST_ENDED: Final = 2**53 - 2


class Kept(Protocol):
    """Where it is kept."""

    def read(self) -> bytes | None:
        """What was written last; nothing where it has gone."""

    def write(self, data: bytes) -> None:
        """Replace it. MUST be durable when it returns, whole or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the broker stands to the store."""

    epoch: int
    doubt: Doubt | None
    untold: Untold | None
    turn: int
    """Another one with each store that came while the one of before was in doubt (rule 4)."""

    @property
    def why(self) -> str:
        """Why the store is in doubt, in words; empty while it is not."""
        return self.doubt.why.words if self.doubt is not None else ""


class Memory:
    """The broker's memory; safe from any thread."""

    def __init__(self, kept: Kept, store: Readable, clock: Clock) -> None:
        """Remember what is kept there, of this store."""
        self._kept = kept
        self._store = store
        self._clock = clock
        self._lock = Lock()
        data = kept.read()
        self._now = parse_memory(data)
        self._durable = self._now is not None and render_memory(self._now) == data
        self._followed: Instant | None = None
        """The store's last instant when it was first believed since (rule 8)."""
        self._turn = 0
        self._doubted: tuple[str, int] | None = None
        """Mark and count of the store that is in doubt, as of the last look."""

    @property
    def marks(self) -> tuple[str, ...]:
        """Each mark that the installation had, as far as is known; the newest last."""
        return self._now.marks if self._now is not None else ()

    @property
    def doubts(self) -> bool:
        """Whether the store was in doubt at the last look; it isn't read for it."""
        with self._lock:
            return self._now is None or self._now.doubt is not None

    def look(self) -> Standing:
        """How it stands to the store; what that shows is durable then (rule 3).

        Raises:
            StoreUnavailableError: It can't be read.
            UnavailableError: It can't be remembered durably.
        """
        with self._lock, self._store.read() as snapshot:
            now = self._look(snapshot)
            return Standing(epoch=now.epoch, doubt=now.doubt, untold=now.untold, turn=self._turn)

    def trouble(self) -> str:
        """Why the store is in doubt, in words; empty while it is not. Raises as `look`."""
        return self.look().why

    def followed(self, made: Instant) -> bool:
        """Whether a row that was made at this instant is no older state of itself (rule 8).

        Raises:
            TaskboundError: As `look`.
        """
        with self._lock, self._store.read() as snapshot:
            since = self._followed
            return self._look(snapshot).doubt is None and since is not None and made > since

    def note(self, record: int) -> int:
        """Remember the state of now, and the record that something is about to be minted by (rule 1).

        Args:
            record: Its number; 0 for none.

        Returns:
            The epoch (rule 6).

        Raises:
            StoreRestoredError: The store is in doubt: then nothing is minted.
            EpochUntoldError: The log doesn't say yet that it was.
            UnavailableError: It can't be remembered durably, or the store can't be read.
        """
        with self._lock, self._store.read() as snapshot:
            now = self._look(snapshot)
            if now.doubt is not None:
                raise StoreRestoredError(now.doubt.why.words)
            if record and now.untold is not None:  # 5
                raise EpochUntoldError("the log does not say yet that the store was restored")
            self._keep(_noted(snapshot, record, now))
            return now.epoch

    def require_epoch(self, epoch: int) -> None:
        """Go on only in the epoch in which something was begun (rule 6); the store isn't read for it.

        Raises:
            StoreRestoredError: Another one has begun.
        """
        with self._lock:
            now = self._now
            if now is None or now.doubt is not None or now.epoch != epoch:
                raise StoreRestoredError("the store was restored while it was being minted")

    def ended(self, names: int) -> None:
        """The broker ended so many names by itself; they are counted while the store is in doubt.

        Raises:
            UnavailableError: It can't be remembered durably.
        """
        with self._lock:
            now = self._now
            if names and now is not None and now.doubt is not None:
                some = min(now.doubt.ended + names, _MOST_ENDED)
                self._keep(replace(now, doubt=replace(now.doubt, ended=some)))

    def accept(self, *, targets: int, turn: int) -> bool:
        """Believe the store as it is now, whatever was seen before (rule 4); whether it is believed.

        Args:
            targets: How many were looked through.
            turn: In which turn (`Standing.turn`).

        Raises:
            UnavailableError: It can't be remembered durably, or the store can't be read.
        """
        with self._lock, self._store.read() as snapshot:
            now = self._look(snapshot)
            doubt = now.doubt
            if doubt is None:
                return True
            if now.untold is not None or turn != self._turn:  # 5, 4
                return False
            untold = Untold(
                epoch=now.epoch, since=doubt.since, why=doubt.why, ended=doubt.ended, targets=targets
            )
            after = _noted(snapshot, 0, Remembered(marks=now.marks, epoch=now.epoch, untold=untold))
            self._kept.write(render_memory(after))  # believed only once that is durable
            self._now, self._durable, self._doubted = after, True, None
            return True

    def told(self, untold: Untold) -> None:
        """The log says this now (rule 5).

        Raises:
            UnavailableError: It can't be remembered durably.
        """
        with self._lock:
            now = self._now
            if now is not None and now.untold == untold:
                after = replace(now, untold=None)
                self._kept.write(render_memory(after))
                self._now, self._durable = after, True

    def _look(self, snapshot: Snapshot) -> Remembered:
        """What is remembered, durably; what a look at the store adds to it (rules 2 and 3)."""
        now = self._now
        if now is None:
            now = Remembered(doubt=Doubt(since=self._clock.now(), why=Why.GONE))
        elif now.doubt is None and (why := _why(snapshot, now)) is not None:
            now = replace(now, epoch=now.epoch + 1, doubt=Doubt(since=self._clock.now(), why=why))
        self._keep(now)
        if now.doubt is not None:
            self._followed = None
            self._note_other(snapshot)
        elif self._followed is None:
            self._followed = self._store.last_instant()
        return now

    def _note_other(self, snapshot: Snapshot) -> None:
        """See whether yet another store is there (rule 4)."""
        before, self._doubted = self._doubted, (snapshot.targets.mark(), snapshot.audit.count())
        if before is not None and (before[0] != self._doubted[0] or self._doubted[1] < before[1]):
            self._turn += 1

    def _keep(self, now: Remembered) -> None:
        """Remember it, durably; what can't be written now is known, and is written before anything else."""
        self._durable = self._durable and now == self._now
        self._now = now
        if not self._durable:
            self._kept.write(render_memory(now))
            self._durable = True


def _why(snapshot: Snapshot, seen: Remembered) -> Why | None:
    """What shows that it is another store, or an older state of it (rule 2)."""
    if seen.marks and snapshot.targets.mark() != seen.marks[-1]:
        return Why.MARK
    if snapshot.audit.count() < seen.count:
        return Why.COUNT
    if seen.number and _digest(snapshot, seen.number) != seen.digest:
        return Why.RECORD
    return None


def _noted(snapshot: Snapshot, record: int, before: Remembered) -> Remembered:
    mark = snapshot.targets.mark()
    marks = before.marks
    if mark and marks[-1:] != (mark,):
        marks = (*(one for one in marks if one != mark), mark)[-MOST_MARKS:]
    found = replace(before, marks=marks, count=snapshot.audit.count())
    if record <= before.number:
        return found
    return replace(found, number=record, digest=_digest(snapshot, record))


def _digest(snapshot: Snapshot, number: int) -> str:
    found = snapshot.audit.numbered(number)
    return sha256(found.body).hexdigest() if found is not None else ""
