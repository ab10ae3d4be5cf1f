"""The audit log in PostgreSQL, to which several daemons append.

1. Pending records are the settled ones, in number order (`number`).
2. A transaction extends the log up to where it was settled at the first look; skipping a record conflicts.
3. A writer's row moves by compare-and-set before its records are written.
4. If the database holds less of our chain than we committed, it was restored: we append nothing.
5. A transaction that opens a chain reads the heads before it writes or locks: its numbers are above theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_bytes, write_texts, write_wholes
from taskbound.adapters.store.postgres.server.presence import NUMBER, SETTLED
from taskbound.adapters.store.sql.audit import (
    LogProgress,
    SqlAudit,
    read_chain,
    read_pending,
    require_opened,
)
from taskbound.core.audit import ActionDecided, Chain, WriterStarted, extend_chain, parse_head
from taskbound.core.audit.record import NO_HASH, require_name
from taskbound.core.clock import Instant
from taskbound.ports.store import StoreBehindError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.adapters.store.postgres.action import PostgresWaiting
    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.audit import Event, Grown
    from taskbound.ports.audit import PendingRecord


_LAST: Final = "coalesce((SELECT number FROM places ORDER BY place DESC LIMIT 1), 0)"
_SIZE: Final = "coalesce((SELECT max(place) + 1 FROM places), 0)"
_COUNT: Final = f"SELECT {_SIZE} + (SELECT count(*) FROM records WHERE number > {_LAST})"  # noqa: S608  # our own constants
_SETTLED: Final = f"SELECT {SETTLED}"
_PENDING: Final = f"""
    SELECT number, body FROM records WHERE number > {_LAST} AND number < $1 ORDER BY number LIMIT $2
"""  # noqa: S608  # our own constants
_FOLLOWING: Final = (
    "SELECT number, body FROM records WHERE number > $1 AND number < $2 ORDER BY number LIMIT $3"
)
_BEYOND: Final = "SELECT 1 FROM records WHERE number >= $1 LIMIT 1"
_NEXT: Final = f"""
    SELECT number FROM records WHERE number > {_LAST} AND number < $1 ORDER BY number LIMIT $2
"""  # noqa: S608  # our own constants
_PLACE: Final = """
    INSERT INTO places (place, number)
    SELECT $1::bigint + n.nth - 1, n.number FROM unnest($2::bigint[]) WITH ORDINALITY AS n (number, nth)
"""
_WRITER: Final = "SELECT seq, hash, at FROM writers WHERE writer = $1 FOR UPDATE"
_OPEN: Final = "INSERT INTO writers (writer, seq, hash, at, named) VALUES ($1, $2, $3, $4, 0)"
_ADVANCE: Final = (
    "UPDATE writers SET seq = $1, hash = $2, at = $3 WHERE writer = $4 AND seq = $5 AND hash = $6"
)
_NAME: Final = """
    UPDATE writers w SET named = w.seq
    FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n (writer, seq, hash)
    WHERE w.writer = n.writer AND w.seq = n.seq AND w.hash = n.hash
"""
_NEWER: Final = "SELECT 1 FROM writers WHERE writer = ANY($1::text[]) AND age(xmin) < 0"
_INSERT: Final = f"""
    INSERT INTO records (number, namespace, body)
    SELECT {NUMBER} + $2::bigint + n.nth, $1, n.body
    FROM unnest($3::bytea[]) WITH ORDINALITY AS n (body, nth)
"""  # noqa: S608  # our own constants
_OWN: Final = f"SELECT {NUMBER}"
_LINK: Final = f"""
    UPDATE actions a SET record = {NUMBER} + n.nth
    FROM unnest($2::text[], $3::bigint[]) AS n (id, nth)
    WHERE a.namespace = $1 AND a.id = n.id AND a.record IS NULL
"""  # noqa: S608  # our own constants


class Chains:
    """Heads of the chains of this process's writers, and how far one transaction has grown the log."""

    __slots__ = ("_durable", "_kept", "appended", "behind", "moved", "settled")

    def __init__(self, kept: Mapping[str, tuple[int, str, int]], durable: Mapping[str, int]) -> None:
        self._kept = kept
        self._durable = durable
        self.behind: StoreBehindError | None = None
        """Why the database is not believed any more (rule 4)."""
        self.moved: dict[str, tuple[int, str, int]] = {}
        self.appended = 0
        """Records that this transaction has appended."""
        self.settled = 0
        """Up to where this transaction looked for settled records; 0 when it has not looked."""

    def get(self, writer: str) -> tuple[int, str, int] | None:
        """Returns number, hash and instant of the writer's last record, or None if unknown."""
        return self.moved.get(writer) or self._kept.get(writer)

    def require_whole(self, writer: str, found: tuple[int, str, int] | None) -> None:
        """Raises StoreBehindError if the database lacks records that we committed to this chain (rule 4)."""
        known, held = self._durable.get(writer, 0), found[0] if found else 0
        if held < known:
            self.behind = StoreBehindError(
                f"this daemon has committed {known} records, and the database holds {held} of them"
            )
            raise self.behind


class PostgresAudit(SqlAudit):
    """The log over one connection."""

    __slots__ = ("_chains",)
    _link: PostgresLink

    def __init__(self, link: PostgresLink, waiting: PostgresWaiting, chains: Chains) -> None:
        super().__init__(link, waiting, LogProgress())
        self._chains = chains

    def count(self) -> int:
        return self._link.whole(_COUNT)

    def pending(self, limit: int) -> tuple[PendingRecord, ...]:
        """Returns settled records without a place, in order."""
        return self._link.all(read_pending, _PENDING, (self._look(), limit))

    def following(self, number: int, limit: int) -> tuple[PendingRecord, ...]:
        """Returns settled records after this number, in order."""
        return self._link.all(read_pending, _FOLLOWING, (number, self._look(), limit))

    def unsettled(self) -> bool:
        """Returns whether a durable record stands beside an older transaction that is still open."""
        return self._link.whole(_BEYOND, (self._look(),)) == 1

    def append(self, namespace: str, writer: str, events: Sequence[Event], at: Instant) -> tuple[bytes, ...]:
        if not events:
            return ()
        chain = self._chains.get(writer)
        if chain is None:
            chain = next(iter(self._link.locked(read_chain, _WRITER, (writer,))), None)
            self._chains.require_whole(writer, chain)
        require_opened(chain, events, writer)
        before = chain or (0, NO_HASH, at)
        grown = extend_chain(
            Chain(writer=require_name(writer), seq=before[0], prev=before[1], at=Instant(before[2])),
            events,
            namespace=require_name(namespace),
            at=at,
        )
        self._advance(grown, before)
        self._chains.moved[writer] = (grown.chain.seq, grown.chain.prev, grown.chain.at)
        raws = tuple([one.raw for one in grown.records])
        start = self._chains.appended
        self._chains.appended += len(raws)
        self._link.later(_INSERT, (namespace, start, write_bytes(raws)), rows=len(raws), what="the log")
        self._link_actions(namespace, events, start)
        return raws

    def last_number(self) -> int:
        (before,) = self._link.locked(int, _OWN)
        return before + self._chains.appended

    def extend(self, start: int, numbers: Sequence[int]) -> None:
        """Gives records the places from `start` on, in the order of `pending` (rule 2)."""
        if self.size() != start:
            self._link.conflict("the size of the log")
        if tuple(numbers) != self._link.all(int, _NEXT, (self._look(), len(numbers))):
            self._link.conflict("the order of the records")
        if numbers:
            values = (start, write_wholes(numbers))
            self._link.later(_PLACE, values, rows=len(numbers), what="the size of the log")

    def _look(self) -> int:
        if not self._chains.settled:
            self._chains.settled = self._link.whole(_SETTLED)
        return self._chains.settled

    def _advance(self, grown: Grown, before: tuple[int, str, int]) -> None:
        after = grown.chain
        what = f"the chain of writer `{after.writer}`"
        if before[0] == 0:
            self._link.later(_OPEN, (after.writer, after.seq, after.prev, after.at), rows=1, what=what)
        else:
            values = (after.seq, after.prev, after.at, after.writer, before[0], before[1])
            self._link.later(_ADVANCE, values, rows=1, what=what)
        first = grown.records[0].record.event
        if isinstance(first, WriterStarted) and first.heads:
            named = [parse_head(text) for text in first.heads]
            writers = write_texts(one.writer for one in named)
            if self._link.locked(int, _NEWER, (writers,)):  # 5
                self._link.conflict("a head")
            seqs, hashes = write_wholes(one.seq for one in named), write_texts(one.hash for one in named)
            self._link.later(_NAME, (writers, seqs, hashes))

    def _link_actions(self, namespace: str, events: Sequence[Event], number: int) -> None:
        late: dict[str, int] = {}
        for place, event in enumerate(events, start=number + 1):
            if not isinstance(event, ActionDecided):
                continue
            key = (namespace, event.action)
            if key not in self._waiting.records:
                self._waiting.records[key] = place
                if not self._waiting.holds(namespace, event.action):
                    late[event.action] = place
        if late:
            self._link.later(_LINK, (namespace, write_texts(late), write_wholes(late.values())))
