"""The append-only log in the store: chained records, their order, tree and checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.audit import Event, Head
    from taskbound.core.clock import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRecord:
    """A record without a place in the log."""

    number: int
    """Where it stands in the store; grows with each record."""
    body: bytes
    """Its exact bytes: the leaf's data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedRecord:
    """A record, with its place if it has one."""

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
    """Reads the log, which spans all namespaces."""

    def heads(self) -> tuple[Head, ...]:
        """Returns, by writer, the last records that no other record, also no `WriterStarted`, names."""

    def count(self) -> int:
        """Returns the number of records, placed or not."""

    def size(self) -> int:
        pass

    def records(self, start: int, limit: int) -> tuple[bytes, ...]:
        """Returns exact bytes of records from this index on, in log order."""

    def pending(self, limit: int) -> tuple[PendingRecord, ...]:
        """Returns unplaced records in the order they became durable. MUST miss none."""

    def last_placed(self) -> tuple[int, int]:
        """Returns the number of placed records and the last one's number; 0 and 0 in an empty log."""

    def following(self, number: int, limit: int) -> tuple[PendingRecord, ...]:
        """Returns records after this number, placed or not, in log order.

        It ends before the first whose order is not settled. MUST miss none: later records follow all given
        ones, and the first unplaced has the next place.
        """

    def unsettled(self) -> bool:
        """Whether a record is durable that `following` does not return yet."""

    def tile(self, level: int, index: int) -> bytes:
        """Returns a tile's hashes, 32 bytes each (C2SP tlog-tiles), as many as exist."""

    def checkpoint(self) -> StoredCheckpoint | None:
        """Returns the newest checkpoint."""

    def numbered(self, number: int) -> PlacedRecord | None:
        """Returns the record of this number (`AuditWrites.last_number`)."""

    def place(self, namespace: str, action: str) -> int | None:
        """Returns the log index of the action's decision record, if placed."""


class AuditWrites(AuditReads, Protocol):
    """Appends to the log, in the transaction of what is recorded (law 5)."""

    def append(self, namespace: str, writer: str, events: Sequence[Event], at: Instant) -> tuple[bytes, ...]:
        """Returns exact bytes. Only a writer's first event MUST open its chain, else `ChainUnopenedError`."""

    def last_number(self) -> int:
        pass

    def extend(self, start: int, numbers: Sequence[int]) -> None:
        """MUST raise `ConflictError` if the size is not `start` or a record of `pending` is skipped."""

    def put_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Writes whole tiles by (level, index)."""

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        pass
