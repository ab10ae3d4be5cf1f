"""The log, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.adapters.store.memory.rows import Writer
from taskbound.core.audit import (
    ActionDecided,
    Chain,
    ChainUnopenedError,
    Head,
    WriterStarted,
    extend_chain,
    parse_head,
)
from taskbound.core.audit.record import NO_HASH, require_name
from taskbound.ports.audit import PendingRecord, PlacedRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.ports.audit import StoredCheckpoint

__all__ = ["MemoryAudit"]


class MemoryAudit:
    """Reads the log of a snapshot, and grows it in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def heads(self) -> tuple[Head, ...]:
        """The last record of each writer that no other record names yet, by writer."""
        found = sorted(self._tables.live().writers.items())
        return tuple(
            Head(writer=writer, seq=one.seq, hash=one.hash) for writer, one in found if one.named < one.seq
        )

    def count(self) -> int:
        """How many records there are."""
        return self._tables.live().records.count()

    def size(self) -> int:
        """How many records have a place in the log."""
        return self._tables.live().places.count()

    def records(self, start: int, limit: int) -> tuple[bytes, ...]:
        """Exact bytes of the records from this index on, in log order."""
        numbers = [self._tables.places.get(place) for place in range(start, min(start + limit, self.size()))]
        found = [self._tables.records.get(number) for number in numbers if number is not None]
        return tuple(one.body for one in found if one is not None)

    def pending(self, limit: int) -> tuple[PendingRecord, ...]:
        """Records without a place, in the order in which they became durable."""
        return self.following(self.size(), limit)

    def last_placed(self) -> tuple[int, int]:
        """How many records have a place, and the number of the last of them."""
        return self.size(), self.size()

    def following(self, number: int, limit: int) -> tuple[PendingRecord, ...]:
        """Records behind the one of this number, in the order of the log."""
        last = min(number + limit, self.count())
        found = [self._tables.records.get(one) for one in range(number + 1, last + 1)]
        return tuple(one for one in found if one is not None)

    def unsettled(self) -> bool:
        """No: one transaction writes at a time."""
        return False

    def tile(self, level: int, index: int) -> bytes:
        """The hashes of a tile; empty when there is none."""
        return self._tables.live().tiles.get((level, index)) or b""

    def checkpoint(self) -> StoredCheckpoint | None:
        """The newest checkpoint."""
        return max(self._tables.live().checkpoints.values(), key=lambda one: one.size, default=None)

    def numbered(self, number: int) -> PlacedRecord | None:
        """The record of this number."""
        found = self._tables.live().records.get(number)
        if found is None:
            return None
        return PlacedRecord(body=found.body, place=number - 1 if number <= self.size() else None)

    def place(self, namespace: str, action: str) -> int | None:
        """The log index of the record of this action's decision, when it has one."""
        tables = self._tables.live()
        number = tables.decided.get((namespace, action))
        if number is None or tables.actions.get((namespace, action)) is None or number > self.size():
            return None
        return number - 1

    def append(self, namespace: str, writer: str, events: Sequence[Event], at: Instant) -> tuple[bytes, ...]:
        """Chain these events behind the writer's last record; their exact bytes.

        Raises:
            ChainUnopenedError: The writer's first event does not open its chain, or another one does.
        """
        if not events:
            return ()
        now = self._tables.live().writers.get(writer)
        opens = [isinstance(one, WriterStarted) for one in events]
        if any(opens[1:]) or opens[0] is not (now is None):
            raise ChainUnopenedError(f"the first record of writer `{writer}`, and no other, opens its chain")
        before = now or Writer(seq=0, hash=NO_HASH, at=at)
        grown = extend_chain(
            Chain(writer=require_name(writer), seq=before.seq, prev=before.hash, at=before.at),
            events,
            namespace=require_name(namespace),
            at=at,
        )
        last = grown.chain
        self._tables.writers.put(writer, Writer(seq=last.seq, hash=last.prev, at=last.at, named=before.named))
        for number, (event, one) in enumerate(
            zip(events, grown.records, strict=True), start=self.count() + 1
        ):
            self._tables.records.put(number, PendingRecord(number=number, body=one.raw))
            self._take_note(namespace, event, number)
        return tuple(one.raw for one in grown.records)

    def last_number(self) -> int:
        """The number of the record that was appended last."""
        return self.count()

    def extend(self, start: int, numbers: Sequence[int]) -> None:
        """Give records the places from `start` on, in the order of `pending`."""
        if self.size() != start:
            self._tables.conflict("the size of the log")
        if tuple(numbers) != tuple(one.number for one in self.pending(len(numbers))):
            self._tables.conflict("the order of the records")
        for place, number in enumerate(numbers, start=start):
            self._tables.places.put(place, number)

    def put_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """By (level, index): write tiles, whole, over what they held before."""
        for key, hashes in tiles.items():
            self._tables.live().tiles.put(key, hashes)

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a signed checkpoint."""
        self._tables.live().checkpoints.put(checkpoint.size, checkpoint)

    def _take_note(self, namespace: str, event: Event, number: int) -> None:
        match event:
            case ActionDecided(action=action):
                if self._tables.decided.get((namespace, action)) is None:
                    self._tables.decided.put((namespace, action), number)
            case WriterStarted(heads=heads):
                for named in map(parse_head, heads):
                    known = self._tables.writers.get(named.writer)
                    if known is not None and (known.seq, known.hash) == (named.seq, named.hash):
                        self._tables.writers.put(
                            named.writer, Writer(seq=known.seq, hash=known.hash, at=known.at, named=named.seq)
                        )
            case _:
                pass
