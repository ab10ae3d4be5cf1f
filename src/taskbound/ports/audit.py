"""The append-only log in the store: chained records, their order, the tree over them, checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.audit import Event, Head
    from taskbound.core.clock import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRecord:
    """A record that has no place in the log yet."""

    number: int
    """Where it stands in the store; grows with each record."""
    body: bytes
    """Its exact bytes: the leaf's data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedRecord:
    """A record, and its place in the log when it has one."""

    body: bytes
    place: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A signed checkpoint."""

    size: int
    root: bytes
    note: str
    at: Instant


class AuditReads(Protocol):
    """Reads the log, which spans all namespaces (each record names its own)."""

    def heads(self) -> tuple[Head, ...]:
        """The last record of each writer that no other record names yet, by writer.

        A `WriterStarted` record names heads; what it names is a head no more.
        """

    def count(self) -> int:
        """How many records there are, with a place in the log or without."""

    def size(self) -> int:
        """How many records have a place in the log."""

    def records(self, start: int, limit: int) -> tuple[bytes, ...]:
        """Exact bytes of the records from this index on, in log order."""

    def pending(self, limit: int) -> tuple[PendingRecord, ...]:
        """Records without a place, in the order in which they became durable. MUST miss none, ever."""

    def last_placed(self) -> tuple[int, int]:
        """How many records have a place, and the number of the last of them; 0 and 0 in an empty log."""

    def following(self, number: int, limit: int) -> tuple[PendingRecord, ...]:
        """Records behind the one of this number, with a place or without, in the order of the log.

        It ends before the first of which that order is not settled yet. MUST miss none, ever: a record that
        comes later is behind all that were given, and the first without a place has the next place.
        """

    def unsettled(self) -> bool:
        """Whether a record is durable that `following` does not give yet."""

    def tile(self, level: int, index: int) -> bytes:
        """The hashes of a tile, 32 bytes each (C2SP tlog-tiles), as many as there are; empty when none."""

    def checkpoint(self) -> StoredCheckpoint | None:
        """The newest checkpoint."""

    def numbered(self, number: int) -> PlacedRecord | None:
        """The record of this number (`AuditWrites.last_number`)."""

    def place(self, namespace: str, action: str) -> int | None:
        """The log index of the first record of this stored action's decision, when it has one."""


class AuditWrites(AuditReads, Protocol):
    """Appends to it, inside the transaction of what is recorded (law 5)."""

    def append(self, namespace: str, writer: str, events: Sequence[Event], at: Instant) -> tuple[bytes, ...]:
        """Chain these events behind the writer's last record; their exact bytes.

        A writer's first event MUST open its chain, and no other may: anything else raises
        `ChainUnopenedError`. A name that can't stand in a record raises `RecordMalformedError`.
        """

    def last_number(self) -> int:
        """The number of the record that this transaction appended last."""

    def extend(self, start: int, numbers: Sequence[int]) -> None:
        """Give records the places from `start` on, in the order of `pending`.

        MUST raise `ConflictError` when the size is not `start`, or a record is passed over.
        """

    def put_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """By (level, index): write tiles, whole, over what they held before."""

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a signed checkpoint."""
