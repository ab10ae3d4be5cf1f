"""Each writer's chain of records: how it grows, and how a broken one is told from a whole one.

A writer is one process start; its records may be of several namespaces, and each names its own. Rules:

1. Its first record opens the chain: sequence number 1, no record before it, and the heads that were known.
2. Every later record names the hash of the one before it, with the next number and no earlier instant.
3. A head that a writer names must stand in the log before it. Heads are those that no record names yet: they
   reach everything older, as the tips of a graph do, so that a few of them guard all dead writers' tails.
4. A verifier raises one named error per way to be broken, or says what it has seen; it never answers yes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit.errors import (
    ChainBrokenError,
    ChainUnopenedError,
    HeadMissingError,
    RecordMalformedError,
    RecordRepeatedError,
    SequenceGapError,
    TamperedError,
    TimeBackwardsError,
    WriterForkError,
)
from taskbound.core.audit.events import WriterStarted
from taskbound.core.audit.merkle import leaf_hash
from taskbound.core.audit.record import NO_HASH, Record, Sealed, parse_record, require_name, seal
from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.audit.events import Event
    from taskbound.core.clock import Instant


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Head:
    """A writer's newest record."""

    writer: str
    seq: int
    hash: str

    @property
    def text(self) -> str:
        """As records name it."""
        return f"{self.writer}:{self.seq}:{self.hash}"


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Where a writer stands: all it needs to write its next record."""

    writer: str
    seq: int
    prev: str
    at: Instant


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """New records of a writer, in order, and where it stands after them."""

    records: tuple[Sealed, ...]
    chain: Chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains(NoTruth):
    """What a verifier of chains has seen; it says nothing of what may be missing at the end."""

    count: int
    heads: tuple[Head, ...]
    """Every writer's newest record, by writer."""
    namespaces: tuple[str, ...]
    """Those that records are of."""


def parse_head(text: str) -> Head:
    """The head that a record names.

    Raises:
        RecordMalformedError: It names none.
    """
    writer, _, rest = text.partition(":")
    seq, _, value = rest.partition(":")
    if seq.isascii() and seq.isdecimal() and len(seq) <= len("9007199254740991"):
        head = Head(writer=require_name(writer), seq=int(seq), hash=value)
        if head.text == text and head.seq >= 1 and len(value) == len(NO_HASH):
            return head
    raise RecordMalformedError(f"`{text[:128]!a}` names no head of a chain")


def extend_chain(chain: Chain, events: Iterable[Event], *, namespace: str, at: Instant) -> Grown:
    """The writer's next records, one an event, and where it stands after them (rule 2).

    An instant before the last record's counts as that one: time never runs backwards in a chain.
    """
    at = max(at, chain.at)
    seq, prev = chain.seq, chain.prev
    records = []
    for event in events:
        seq += 1
        sealed = seal(
            Record(namespace=namespace, writer=chain.writer, seq=seq, prev=prev, at=at, event=event)
        )
        prev = sealed.hash
        records.append(sealed)
    return Grown(records=tuple(records), chain=Chain(writer=chain.writer, seq=seq, prev=prev, at=at))


class ChainVerifier:
    """Follows every writer's chain through the log, one record at a time."""

    def __init__(self) -> None:
        """Start before the first record."""
        self.leaves: list[bytes] = []
        """The leaf hash of each record so far."""
        self._namespaces: set[str] = set()
        self._places: dict[str, list[int]] = {}
        self._last: dict[str, Instant] = {}

    def take(self, raw: bytes) -> Record:
        """The next record, when it continues a chain rightly.

        Raises:
            TamperedError: One of its kinds; ``where`` names the record by its index.
        """
        where = f"record {len(self.leaves)}"
        try:
            record = parse_record(raw)
        except TamperedError as error:
            raise type(error)(f"{where}: {error.message}", where=where) from error
        leaf = leaf_hash(raw)
        places = self._places.get(record.writer, [])
        self._require_place(record, leaf, places, where)
        if record.seq == 1:
            self._require_opening(record, where)
        elif isinstance(record.event, WriterStarted):
            raise ChainUnopenedError(f"{where} opens a chain that is open already", where=where)
        elif record.at < self._last[record.writer]:
            raise TimeBackwardsError(f"{where} is older than its writer's record before it", where=where)
        self._places.setdefault(record.writer, []).append(len(self.leaves))
        self._last[record.writer] = record.at
        self._namespaces.add(record.namespace)
        self.leaves.append(leaf)
        return record

    def seen(self) -> Chains:
        """What was taken so far."""
        heads = (
            Head(writer=writer, seq=len(places), hash=self.leaves[places[-1]].hex())
            for writer, places in self._places.items()
        )
        return Chains(
            count=len(self.leaves),
            heads=tuple(sorted(heads)),
            namespaces=tuple(sorted(self._namespaces)),
        )

    def _require_place(self, record: Record, leaf: bytes, places: list[int], where: str) -> None:
        """Refuse anything but the writer's next record (rule 2)."""
        if record.seq <= len(places):
            before = places[record.seq - 1]
            if self.leaves[before] == leaf:
                raise RecordRepeatedError(f"{where} repeats record {before}", where=where)
            raise WriterForkError(f"{where} contradicts record {before} of its writer", where=where)
        if not places and record.seq > 1:
            raise ChainUnopenedError(
                f"{where} is number {record.seq} of a writer of whom nothing comes before", where=where
            )
        if record.seq > len(places) + 1:
            raise SequenceGapError(
                f"{where} is number {record.seq} of its writer, after number {len(places)}", where=where
            )
        if record.prev != (self.leaves[places[-1]].hex() if places else NO_HASH):
            raise ChainBrokenError(f"{where} does not name the record before it", where=where)

    def _require_opening(self, record: Record, where: str) -> None:
        """Refuse a first record that doesn't open a chain, or names what isn't there (rules 1 and 3)."""
        if not isinstance(record.event, WriterStarted):
            raise ChainUnopenedError(f"{where} is a writer's first and does not open its chain", where=where)
        for text in record.event.heads:
            head = parse_head(text)
            places = self._places.get(head.writer, [])
            known = head.seq <= len(places)
            if not known or self.leaves[places[head.seq - 1]].hex() != head.hash:
                raise HeadMissingError(
                    f"{where} names number {head.seq} of writer `{head.writer}`, which is not before it",
                    where=where,
                )
