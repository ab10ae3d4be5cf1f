"""The broker's memory across restarts, which detects a restored or replaced store.

1. It has the record count, the newest record used for a mint with its digest, and every mark of the
   installation. It is durable before a target is called.
2. A store with fewer records, a different record at that number, or another mark was restored or replaced. So
   is any store if the memory is missing or unreadable.
3. The detection begins a new *epoch* in which the store is in doubt, durably. Until the doubt ends nothing is
   minted, renewed or handed out. If the epoch number is lost too, the first epoch begins again, in doubt.
4. The doubt ends once every target was swept and none of the earlier names is left (`sweep`); then the
   current store is remembered. If yet another store appears meanwhile, all targets are swept again in the
   same epoch. Known marks stay.
5. What the log must record of it is kept until the daemon has recorded it; before that nothing is minted. A
   change found meanwhile is another epoch, whose doubt ends only after the earlier one is recorded.
6. A mint begun in one epoch is not handed out in a later one.
7. The store is read under one lock, so that an older state is never compared with a newer one.
8. A row created after this process began to follow the store, or accepted it again, is trusted as current:
   rule 2 detects a store that goes back.

The file is read strictly: bounded integers, valid marks, known words. Version 1 files, written before epochs,
belong to the first epoch without doubt.
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
    """The store was restored or replaced: it lacks what the broker saw."""

    code = "store-restored"
    remedy = "wait until every target was looked through, and what was left there is revoked"


class EpochUntoldError(UnavailableError):
    """The restored store is accepted again, but the daemon has not recorded that yet."""

    code = "epoch-untold"
    remedy = "check that the daemon runs and accepts the broker's reports, which are sent every few seconds"


class OtherTargetError(DeniedError):
    """The credential was minted in another target than the one that has its name now."""

    code = "target-replaced"
    remedy = (
        "declare the target again as it was: what is left there can be ended by its own admin access alone"
    )


class KeptMissingError(DeniedError):
    """The data needed to end a credential is missing from its row."""

    code = "kept-missing"
    remedy = "look for who writes to the store beside the daemon; it ends by itself when its row says"


class NotShowingError(UnavailableError):
    """Targets of this kind can't list standing logins."""

    code = "not-showing"
    remedy = "look there by its own means"


class UnknownKindError(UnavailableError):
    """This broker has no adapter for such targets."""

    code = "no-such-kind"
    remedy = "run a broker of the daemon's version"


MOST_MARKS: Final = 64
_MOST: Final = 2**53 - 1
_DIGEST: Final = re.compile(r"|[0-9a-f]{64}")


class RestoreEvidence(Enum):
    """How a restored or replaced store was detected."""

    GONE = "gone"
    MARK = "mark"
    COUNT = "count"
    RECORD = "record"

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS: Final = {
    RestoreEvidence.GONE: "what the broker remembered of the store has gone",
    RestoreEvidence.MARK: "the store is another installation's than the one that the broker saw",
    RestoreEvidence.COUNT: "the store has fewer records than the broker saw",
    RestoreEvidence.RECORD: "the store has another record than the one that the broker minted by",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectedRestore:
    """A restored or replaced store whose targets may contain earlier names."""

    since: Instant
    why: RestoreEvidence
    ended: int = 0
    """Names that the broker ended by itself since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrecordedRestore:
    """What the log must record about an epoch whose store is accepted again."""

    epoch: int
    since: Instant
    why: RestoreEvidence
    ended: int
    targets: int
    """Targets that were looked through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The remembered state of a store."""

    marks: tuple[str, ...] = ()
    """Each that the installation had; the newest last."""
    count: int = 0
    """Of records."""
    number: int = 0
    """Of the newest record that something was minted by; 0 for none."""
    digest: str = ""
    """Of that record."""
    epoch: int = 1
    doubt: SuspectedRestore | None = None
    untold: UnrecordedRestore | None = None


def render_memory(memory: Remembered) -> bytes:
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
    """Parses file contents; returns None if they are malformed."""
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
    doubt, untold = value["doubt"], value["untold"]
    return {
        "epoch": _whole(value["epoch"], least=1),
        "doubt": None
        if doubt is None
        else SuspectedRestore(
            since=Instant(_whole(doubt["since"], least=1)),
            why=RestoreEvidence(doubt["why"]),
            ended=_whole(doubt["ended"]),
        ),
        "untold": None
        if untold is None
        else UnrecordedRestore(
            epoch=_whole(untold["epoch"], least=1),
            since=Instant(_whole(untold["since"], least=1)),
            why=RestoreEvidence(untold["why"]),
            ended=_whole(untold["ended"]),
            targets=_whole(untold["targets"]),
        ),
    }


def _whole(value: object, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _MOST:
        raise ValueError("that is no whole number within its bounds")
    return value


def _first(memory: Remembered) -> dict[str, Any]:
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


class MemoryStorage(Protocol):
    """Storage of the memory."""

    def read(self) -> bytes | None:
        """Returns the last contents, or None if they are missing."""

    def write(self, data: bytes) -> None:
        """Replaces the contents. MUST be durable and atomic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """The broker's view of the store."""

    epoch: int
    doubt: SuspectedRestore | None
    untold: UnrecordedRestore | None
    turn: int
    """Another one with each store that came while the one of before was in doubt (rule 4)."""

    @property
    def why(self) -> str:
        """Why the store is in doubt; empty if it isn't."""
        return self.doubt.why.words if self.doubt is not None else ""


class Memory:
    """The broker's memory; safe from any thread."""

    def __init__(self, kept: MemoryStorage, store: Readable, clock: Clock) -> None:
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
        """The known marks of the installation, newest last."""
        return self._now.marks if self._now is not None else ()

    @property
    def doubts(self) -> bool:
        """Whether the store was in doubt at the last look; doesn't read the store."""
        with self._lock:
            return self._now is None or self._now.doubt is not None

    def look(self) -> StoreState:
        """Compares the store with the memory and records the result durably (rule 3)."""
        with self._lock, self._store.read() as snapshot:
            now = self._look(snapshot)
            return StoreState(epoch=now.epoch, doubt=now.doubt, untold=now.untold, turn=self._turn)

    def trouble(self) -> str:
        """Why the store is in doubt, or ''; reads the store as `look`."""
        return self.look().why

    def followed(self, made: Instant) -> bool:
        """Whether a row created at this instant is trusted as current (rule 8)."""
        with self._lock, self._store.read() as snapshot:
            since = self._followed
            return self._look(snapshot).doubt is None and since is not None and made > since

    def note(self, record: int) -> int:
        """Records the store's state and the record used for a mint, 0 for none; returns the epoch."""
        with self._lock, self._store.read() as snapshot:
            now = self._look(snapshot)
            if now.doubt is not None:
                raise StoreRestoredError(now.doubt.why.words)
            if record and now.untold is not None:  # 5
                raise EpochUntoldError("the log does not say yet that the store was restored")
            self._keep(_noted(snapshot, record, now))
            return now.epoch

    def require_epoch(self, epoch: int) -> None:
        """Raises StoreRestoredError if another epoch has begun (rule 6); doesn't read the store."""
        with self._lock:
            now = self._now
            if now is None or now.doubt is not None or now.epoch != epoch:
                raise StoreRestoredError("the store was restored while it was being minted")

    def ended(self, names: int) -> None:
        with self._lock:
            now = self._now
            if names and now is not None and now.doubt is not None:
                some = min(now.doubt.ended + names, _MOST_ENDED)
                self._keep(replace(now, doubt=replace(now.doubt, ended=some)))

    def accept(self, *, targets: int, turn: int) -> bool:
        """Accepts the current store if `targets` were swept in this turn (rule 4); returns whether it is."""
        with self._lock, self._store.read() as snapshot:
            now = self._look(snapshot)
            doubt = now.doubt
            if doubt is None:
                return True
            if now.untold is not None or turn != self._turn:  # 5, 4
                return False
            untold = UnrecordedRestore(
                epoch=now.epoch, since=doubt.since, why=doubt.why, ended=doubt.ended, targets=targets
            )
            after = _noted(snapshot, 0, Remembered(marks=now.marks, epoch=now.epoch, untold=untold))
            self._kept.write(render_memory(after))  # believed only once that is durable
            self._now, self._durable, self._doubted = after, True, None
            return True

    def told(self, untold: UnrecordedRestore) -> None:
        """Records that the log has this entry (rule 5)."""
        with self._lock:
            now = self._now
            if now is not None and now.untold == untold:
                after = replace(now, untold=None)
                self._kept.write(render_memory(after))
                self._now, self._durable = after, True

    def _look(self, snapshot: Snapshot) -> Remembered:
        now = self._now
        if now is None:
            now = Remembered(doubt=SuspectedRestore(since=self._clock.now(), why=RestoreEvidence.GONE))
        elif now.doubt is None and (why := _why(snapshot, now)) is not None:
            now = replace(now, epoch=now.epoch + 1, doubt=SuspectedRestore(since=self._clock.now(), why=why))
        self._keep(now)
        if now.doubt is not None:
            self._followed = None
            self._note_other(snapshot)
        elif self._followed is None:
            self._followed = self._store.last_instant()
        return now

    def _note_other(self, snapshot: Snapshot) -> None:
        before, self._doubted = self._doubted, (snapshot.targets.mark(), snapshot.audit.count())
        if before is not None and (before[0] != self._doubted[0] or self._doubted[1] < before[1]):
            self._turn += 1

    def _keep(self, now: Remembered) -> None:
        self._durable = self._durable and now == self._now
        self._now = now
        if not self._durable:
            self._kept.write(render_memory(now))
            self._durable = True


def _why(snapshot: Snapshot, seen: Remembered) -> RestoreEvidence | None:
    if seen.marks and snapshot.targets.mark() != seen.marks[-1]:
        return RestoreEvidence.MARK
    if snapshot.audit.count() < seen.count:
        return RestoreEvidence.COUNT
    if seen.number and _digest(snapshot, seen.number) != seen.digest:
        return RestoreEvidence.RECORD
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
