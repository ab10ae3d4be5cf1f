"""What the broker remembers of the store, outside the store: whoever restores that can't have it back (I-15).

1. It remembers how many records there were, the newest record that it minted by, with its digest, and each
   mark of the installation that it saw. It is durable before the target is called.
2. A store that has fewer records, another one under that number, or another mark was restored or replaced.
   So is any store where what was remembered has gone or can't be read. Nothing is minted then.
3. It remembers the new state once every target was looked through and nothing of what was there is left
   (`sweep`). The marks that it saw stay: what has one of them is looked for from then on, too.
4. The store is read under one lock, so that no older state of it is compared with a newer one.
5. A row that was made after this process began to follow the store, or believed it again, is no older state
   of itself: a store that goes back is seen by rule 2, and is followed from its own last instant on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.credential import BadMarkError, parse_mark
from taskbound.surfaces.broker.errors import StoreRestoredError

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.ports.store import Readable, Snapshot

__all__ = ["EMPTY", "Kept", "Memory"]

EMPTY: Final = b'{"count":0,"digest":"","marks":[],"number":0,"v":1}\n'
"""The memory of a new key: of nothing."""
_MOST_MARKS: Final = 64


class Kept(Protocol):
    """Where it is kept."""

    def read(self) -> bytes | None:
        """What was written last; nothing where it has gone."""

    def write(self, data: bytes) -> None:
        """Replace it. MUST be durable when it returns, whole or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was seen of a store."""

    marks: tuple[str, ...] = ()
    """The newest last."""
    count: int = 0
    number: int = 0
    """Of the newest record that something was minted by; 0 for none."""
    digest: str = ""


class Memory:
    """The broker's memory; safe from any thread."""

    def __init__(self, kept: Kept, store: Readable) -> None:
        """Remember what is kept there, of this store."""
        self._kept = kept
        self._store = store
        self._lock = Lock()
        self._seen = _parse(kept.read())
        self._followed: Instant | None = None
        """The store's last instant when it was first believed since (rule 5)."""

    @property
    def marks(self) -> tuple[str, ...]:
        """Each mark that the installation had, as far as is known; the newest last."""
        return self._seen.marks if self._seen is not None else ()

    def trouble(self) -> str:
        """Why the store counts as restored, in words; empty while it does not (rule 2).

        Raises:
            StoreUnavailableError: It can't be read.
        """
        with self._lock, self._store.read() as snapshot:
            return self._follow(snapshot)

    def followed(self, made: Instant) -> bool:
        """Whether a row that was made at this instant is no older state of itself (rule 5).

        Raises:
            StoreUnavailableError: The store can't be read.
        """
        with self._lock, self._store.read() as snapshot:
            since = self._followed
            return not self._follow(snapshot) and since is not None and made > since

    def note(self, record: int) -> None:
        """Remember the state of now, and the record that something is about to be minted by (rule 1).

        Args:
            record: Its number; 0 for none.

        Raises:
            StoreRestoredError: The store was restored: then nothing is minted.
            UnavailableError: It can't be remembered durably, or the store can't be read.
        """
        with self._lock, self._store.read() as snapshot:
            trouble = self._trouble(snapshot)
            if trouble:
                raise StoreRestoredError(trouble)
            self._write(_seen(snapshot, record, self._seen or _Seen()))

    def accept(self) -> None:
        """Remember the store as it is now, whatever was seen before (rule 3).

        Raises:
            UnavailableError: It can't be remembered durably, or the store can't be read.
        """
        with self._lock, self._store.read() as snapshot:
            marks = self._seen.marks if self._seen is not None else ()
            self._followed = None
            self._write(_seen(snapshot, 0, _Seen(marks=marks)))

    def _follow(self, snapshot: Snapshot) -> str:
        """As `_trouble`; where there is none, the store is followed from here on (rule 5)."""
        trouble = self._trouble(snapshot)
        if trouble:
            self._followed = None
        elif self._followed is None:
            self._followed = self._store.last_instant()
        return trouble

    def _trouble(self, snapshot: Snapshot) -> str:
        seen = self._seen
        if seen is None:
            return "what the broker remembered of the store has gone"
        if seen.marks and snapshot.targets.mark() != seen.marks[-1]:
            return "the store is another installation's than the one that the broker saw"
        if snapshot.audit.count() < seen.count:
            return "the store has fewer records than the broker saw"
        if seen.number and _digest(snapshot, seen.number) != seen.digest:
            return "the store has another record than the one that the broker minted by"
        return ""

    def _write(self, seen: _Seen) -> None:
        if seen != self._seen:
            self._kept.write(_render(seen))
            self._seen = seen


def _seen(snapshot: Snapshot, record: int, before: _Seen) -> _Seen:
    mark = snapshot.targets.mark()
    marks = before.marks
    if mark and marks[-1:] != (mark,):
        marks = (*(one for one in marks if one != mark), mark)[-_MOST_MARKS:]
    found = replace(before, marks=marks, count=snapshot.audit.count())
    if record <= before.number:
        return found
    return replace(found, number=record, digest=_digest(snapshot, record))


def _digest(snapshot: Snapshot, number: int) -> str:
    found = snapshot.audit.numbered(number)
    return sha256(found.body).hexdigest() if found is not None else ""


def _render(seen: _Seen) -> bytes:
    value = {
        "count": seen.count,
        "digest": seen.digest,
        "marks": list(seen.marks),
        "number": seen.number,
        "v": 1,
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _parse(data: bytes | None) -> _Seen | None:
    """What is kept; nothing where that can't be read (rule 2)."""
    try:
        value = json.loads(data or b"")
        found = _Seen(
            marks=tuple(parse_mark(str(one)) for one in value["marks"]),
            count=int(value["count"]),
            number=int(value["number"]),
            digest=str(value["digest"]),
        )
    except (ValueError, LookupError, TypeError, RecursionError, BadMarkError):
        return None
    return found if _render(found) == data else None
