"""The audit log in SQL: records by number, their places, the tree over them, checkpoints.

1. One process writes at a time: numbers have no gaps and follow the order of durability.
2. Places follow that order; skipping a record conflicts. A writer's row moves by compare-and-set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.rows import bound
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
from taskbound.core.clock import Instant
from taskbound.ports.audit import PendingRecord, PlacedRecord, StoredCheckpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.adapters.store.sql.action import WaitingActions
    from taskbound.adapters.store.sql.rows import Link
    from taskbound.core.audit import Event, Grown


_WRITER: Final = "SELECT seq, hash, at FROM writers WHERE writer = ?"
_HEADS: Final = "SELECT writer, seq, hash FROM writers WHERE named < seq ORDER BY writer"
_LAST_NUMBER: Final = "SELECT max(number) FROM records"
_LAST_PLACE: Final = "SELECT max(place) + 1 FROM places"
_LAST_PLACED: Final = "SELECT number FROM places WHERE place = (SELECT max(place) FROM places)"
_LAST_BOTH: Final = "SELECT place, number FROM places WHERE place = (SELECT max(place) FROM places)"
_LAST_INSTANT: Final = "SELECT max(at) FROM writers"
_INSERT: Final = "INSERT INTO records (number, namespace, body) VALUES (?, ?, ?)"
_OPEN: Final = "INSERT INTO writers (writer, seq, hash, at, named) VALUES (?, ?, ?, ?, 0)"
_ADVANCE: Final = "UPDATE writers SET seq = ?, hash = ?, at = ? WHERE writer = ? AND seq = ? AND hash = ?"
_NAME: Final = "UPDATE writers SET named = seq WHERE writer = ? AND seq = ? AND hash = ?"
_LINK: Final = "UPDATE actions SET record = ? WHERE namespace = ? AND id = ? AND record IS NULL"
_RECORDS: Final = (
    "SELECT r.body FROM places p JOIN records r ON r.number = p.number"
    " WHERE p.place >= ? ORDER BY p.place LIMIT ?"
)
_PENDING: Final = "SELECT number, body FROM records WHERE number > ? ORDER BY number LIMIT ?"
_NEXT: Final = "SELECT number FROM records WHERE number > ? ORDER BY number LIMIT ?"
_PLACE: Final = "INSERT INTO places (place, number) VALUES (?, ?)"
_OF_ACTION: Final = (
    "SELECT p.place FROM actions a JOIN places p ON p.number = a.record WHERE a.namespace = ? AND a.id = ?"
)
_NUMBERED: Final = (
    "SELECT r.body, p.place FROM records r LEFT JOIN places p ON p.number = r.number WHERE r.number = ?"
)
_TILE: Final = "SELECT hashes FROM tiles WHERE level = ? AND position = ?"
_PUT_TILE: Final = (
    "INSERT INTO tiles (level, position, hashes) VALUES (?, ?, ?)"
    " ON CONFLICT (level, position) DO UPDATE SET hashes = excluded.hashes"
)
_CHECKPOINT: Final = "SELECT size, root, note, at FROM checkpoints ORDER BY size DESC LIMIT 1"
_PUT_CHECKPOINT: Final = (
    "INSERT INTO checkpoints (size, root, note, at) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (size) DO UPDATE SET root = excluded.root, note = excluded.note, at = excluded.at"
)


class LogProgress:
    """How far a transaction has grown the log."""

    __slots__ = ("count", "hash", "size")

    def __init__(self) -> None:
        self.count = 0
        """Records in the store after it; 0 when it appended none."""
        self.hash = ""
        """Of the last record."""
        self.size = 0
        """Records with a place after it; 0 when it gave none."""


class SqlAudit:
    """The log over one connection."""

    __slots__ = ("_growth", "_link", "_waiting")

    def __init__(self, link: Link, waiting: WaitingActions, growth: LogProgress) -> None:
        self._link = link
        self._waiting = waiting
        self._growth = growth

    def heads(self) -> tuple[Head, ...]:
        """Returns each writer's last record that no other record names yet, by writer."""
        return self._link.all(_head, _HEADS)

    def count(self) -> int:
        return self._link.whole(_LAST_NUMBER)

    def size(self) -> int:
        return self._link.whole(_LAST_PLACE)

    def records(self, start: int, limit: int) -> tuple[bytes, ...]:
        return self._link.all(bytes, _RECORDS, (start, limit))

    def pending(self, limit: int) -> tuple[PendingRecord, ...]:
        """Returns records without a place, in the order in which they became durable."""
        return self.following(self._link.whole(_LAST_PLACED), limit)

    def last_placed(self) -> tuple[int, int]:
        return self._link.one(_place_and_number, _LAST_BOTH) or (0, 0)

    def following(self, number: int, limit: int) -> tuple[PendingRecord, ...]:
        """Returns the records after this number, in log order."""
        return self._link.all(read_pending, _PENDING, (number, limit))

    def unsettled(self) -> bool:
        return False

    def tile(self, level: int, index: int) -> bytes:
        return self._link.one(bytes, _TILE, (level, index)) or b""

    def checkpoint(self) -> StoredCheckpoint | None:
        """Returns the newest checkpoint, or None."""
        return self._link.one(_checkpoint, _CHECKPOINT)

    def numbered(self, number: int) -> PlacedRecord | None:
        return self._link.one(_placed, _NUMBERED, (number,))

    def place(self, namespace: str, action: str) -> int | None:
        self._waiting.write()
        return self._link.one(int, _OF_ACTION, (namespace, action))

    def append(self, namespace: str, writer: str, events: Sequence[Event], at: Instant) -> tuple[bytes, ...]:
        if not events:
            return ()
        chain = self._stands(writer)
        require_opened(chain, events, writer)
        before = chain or (0, NO_HASH, at)
        grown = extend_chain(
            Chain(writer=require_name(writer), seq=before[0], prev=before[1], at=Instant(before[2])),
            events,
            namespace=require_name(namespace),
            at=at,
        )
        self._advance(grown, before)
        number = self._last()
        rows = [
            (number + place, namespace, bound(one.raw)) for place, one in enumerate(grown.records, start=1)
        ]
        self._link.change_many(_INSERT, rows, told=True)
        self._link_actions(namespace, events, number)
        self._keep(grown.chain, number + len(rows))
        self._growth.count = number + len(rows)
        self._growth.hash = grown.chain.prev
        return tuple([one.raw for one in grown.records])

    def last_number(self) -> int:
        return self._last()

    def extend(self, start: int, numbers: Sequence[int]) -> None:
        if self.size() != start:
            self._link.conflict("the size of the log")
        last = self._link.whole(_LAST_PLACED)
        if tuple(numbers) != self._link.all(int, _NEXT, (last, len(numbers))):
            self._link.conflict("the order of the records")
        self._link.change_many(_PLACE, list(enumerate(numbers, start=start)))
        self._growth.size = start + len(numbers)

    def put_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        rows = [(level, index, hashes) for (level, index), hashes in tiles.items()]
        self._link.change_many(_PUT_TILE, rows)

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        self._link.change(_PUT_CHECKPOINT, (checkpoint.size, checkpoint.root, checkpoint.note, checkpoint.at))

    def _stands(self, writer: str) -> tuple[int, str, int] | None:
        known = self._link.known
        found = None if known is None else known.writers.get(writer)
        return found or self._link.one(read_chain, _WRITER, (writer,))

    def _last(self) -> int:
        known = self._link.known
        found = None if known is None else known.records.get("")
        return self.count() if found is None else found

    def _keep(self, chain: Chain, number: int) -> None:
        known = self._link.known
        if known is not None:
            known.writers[chain.writer] = (chain.seq, chain.prev, chain.at)
            known.records[""] = number

    def _advance(self, grown: Grown, before: tuple[int, str, int]) -> None:
        after = grown.chain
        if before[0] == 0:
            self._link.change(_OPEN, (after.writer, after.seq, after.prev, after.at))
        else:
            values = (after.seq, after.prev, after.at, after.writer, before[0], before[1])
            if self._link.change(_ADVANCE, values, told=True) != 1:
                self._link.conflict(f"the chain of writer `{after.writer}`")
        first = grown.records[0].record.event
        if isinstance(first, WriterStarted):
            named = [parse_head(text) for text in first.heads]
            self._link.change_many(_NAME, [(one.writer, one.seq, one.hash) for one in named])

    def _link_actions(self, namespace: str, events: Sequence[Event], number: int) -> None:
        late = []
        for place, event in enumerate(events, start=number + 1):
            if not isinstance(event, ActionDecided):
                continue
            key = (namespace, event.action)
            if key not in self._waiting.records:
                self._waiting.records[key] = place
                if not self._waiting.holds(namespace, event.action):
                    late.append((place, namespace, event.action))
        if late:
            self._link.change_many(_LINK, late)


def _place_and_number(place: int, number: int) -> tuple[int, int]:
    return place + 1, number


def last_instant(link: Link) -> Instant:
    return Instant(link.whole(_LAST_INSTANT))


def require_opened(chain: tuple[int, str, int] | None, events: Sequence[Event], writer: str) -> None:
    """Raises ChainUnopenedError unless the first event, and no other, opens the chain of a new writer."""
    opens = [isinstance(one, WriterStarted) for one in events]
    if any(opens[1:]) or opens[0] is not (chain is None):
        raise ChainUnopenedError(f"the first record of writer `{writer}`, and no other, opens its chain")


def read_chain(seq: int, prev: str, at: int) -> tuple[int, str, int]:
    return seq, prev, at


def _head(writer: str, seq: int, value: str) -> Head:
    return Head(writer=writer, seq=seq, hash=value)


def read_pending(number: int, body: bytes) -> PendingRecord:
    return PendingRecord(number=number, body=body)


def _placed(body: bytes, place: int | None) -> PlacedRecord:
    return PlacedRecord(body=body, place=place)


def _checkpoint(size: int, root: bytes, note: str, at: int) -> StoredCheckpoint:
    return StoredCheckpoint(size=size, root=root, note=note, at=Instant(at))
