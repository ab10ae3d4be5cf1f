"""One record of the log and the hash chain of its writer.

`record`:

1. A record is canonical JSON (RFC 8785) on one line, at most 65,535 bytes (C2SP tlog-tiles). Its Merkle
   leaf hash serves the chain and the tree.
2. The version in each record fixes format and hash; no field names an algorithm (I-48).
3. Bytes are a record only if re-encoding the parsed value gives the same bytes.

`chain`: a writer is one process start; its records may belong to several namespaces. The first record has
number 1 and the heads known to the writer. Each later record has the predecessor's hash, the next number
and no earlier instant. A head that a writer names must be in the log before it. Heads are records that no
other record names; they reach all older records, so a few heads protect the tails of all dead writers.
"""

from __future__ import annotations

import re
from dataclasses import replace
from json import JSONDecodeError, JSONDecoder
from typing import TYPE_CHECKING, Final, Never

from taskbound.core.audit.encoding import LIMITS, fit_event, parse_event, render_event
from taskbound.core.audit.errors import (
    ChainBrokenError,
    ChainUnopenedError,
    HeadMissingError,
    RecordMalformedError,
    RecordRepeatedError,
    RecordTooLargeError,
    RecordVersionError,
    SequenceGapError,
    TamperedError,
    TimeBackwardsError,
    WriterForkError,
)
from taskbound.core.audit.events import WriterStarted
from taskbound.core.audit.merkle import leaf_hash
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.audit.events import Event


VERSION: Final = 1
"""The version of the form (rule 2)."""

MAX_RECORD: Final = 65_535
"""Bytes in the longest record (rule 1)."""

NO_HASH: Final = "0" * 64
"""What a writer's first record names as the one before it."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FIELDS: Final = frozenset({"at", "event", "namespace", "prev", "seq", "v", "writer"})
_WHOLE_LIMIT: Final = (1 << 53) - 1


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An event with its place: the ``seq``-th of its writer, after the record with hash ``prev``."""

    namespace: str
    writer: str
    """The id of one process start: a-z, 0-9, `_` and `-`, at most 64."""
    seq: int
    """From 1, without gaps."""
    prev: str
    """Hash of the writer's record before this one; 64 zeros in the first."""
    at: Instant
    event: Event


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A record with its exact bytes and their hash."""

    record: Record
    raw: bytes
    hash: str
    """The leaf hash in hex; ``bytes.fromhex`` of it goes into the tree."""


def record_bytes(record: Record) -> bytes:
    _require_form(record)
    try:
        raw = _render(record).encode()
    except UnicodeEncodeError as error:
        raise RecordMalformedError("a text holds a lone surrogate") from error
    if len(raw) > MAX_RECORD:
        raise RecordTooLargeError(f"a record of {len(raw)} bytes is longer than {MAX_RECORD}")
    return raw


def seal(record: Record) -> Sealed:
    """Encodes the record and shortens oversized text in the event (I-50); the other fields are not checked.

    Raises RecordTooLargeError if the event opens a chain and names too many heads.
    """
    try:
        raw = _render(record).encode()
    except UnicodeEncodeError:
        record = replace(record, event=fit_event(record.event))
        raw = _render(record).encode()
    if len(raw) > MAX_RECORD:
        whole = record.event
        for text, items in LIMITS:
            record = replace(record, event=fit_event(whole, text=text, items=items))
            raw = _render(record).encode()
            if len(raw) <= MAX_RECORD:
                break
    return Sealed(record=record, raw=raw, hash=leaf_hash(raw).hex())


def parse_record(raw: bytes) -> Record:
    value = _read_object(raw)
    if value.get("v") != VERSION or isinstance(value.get("v"), bool):
        raise RecordVersionError(f"the record is not of version {VERSION}")
    if value.keys() != _FIELDS:
        raise RecordMalformedError("a record has seven fields and no other")
    record = Record(
        namespace=_text(value["namespace"]),
        writer=_text(value["writer"]),
        seq=_whole(value["seq"]),
        prev=_text(value["prev"]),
        at=Instant(_whole(value["at"])),
        event=parse_event(value["event"]),
    )
    if record_bytes(record) != raw:
        raise RecordMalformedError("the bytes are not in canonical form")
    return record


def require_name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise RecordMalformedError(f"`{text[:64]!a}` can't name a namespace or a writer")
    return text


def _require_form(record: Record) -> None:
    require_name(record.namespace)
    require_name(record.writer)
    if _HASH.fullmatch(record.prev) is None:
        raise RecordMalformedError("`prev` is not a hash")
    if not 1 <= record.seq <= _WHOLE_LIMIT:
        raise RecordMalformedError("`seq` does not count from 1")
    if not -_WHOLE_LIMIT <= record.at <= _WHOLE_LIMIT:
        raise RecordMalformedError("`at` is not an instant")


def _render(record: Record) -> str:
    return (
        f'{{"at":{record.at},"event":{render_event(record.event)},"namespace":"{record.namespace}"'
        f',"prev":"{record.prev}","seq":{record.seq},"v":{VERSION},"writer":"{record.writer}"}}'
    )


def _read_object(raw: bytes) -> dict[str, object]:
    if len(raw) > MAX_RECORD:
        raise RecordMalformedError(f"a record is at most {MAX_RECORD} bytes long")
    try:
        value = _DECODER.decode(raw.decode())
    except UnicodeDecodeError as error:
        raise RecordMalformedError("the bytes are not UTF-8") from error
    except (JSONDecodeError, RecursionError) as error:
        raise RecordMalformedError("the bytes are not JSON") from error
    if not isinstance(value, dict):
        raise RecordMalformedError("a record is an object")
    return value


def _refuse_number(text: str) -> Never:
    raise RecordMalformedError(f"`{text[:32]}` is no whole number")


def _whole_number(text: str) -> int:
    if len(text) > len(str(-_WHOLE_LIMIT)):
        _refuse_number(text)
    return int(text)


_DECODER: Final = JSONDecoder(
    parse_float=_refuse_number, parse_int=_whole_number, parse_constant=_refuse_number
)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise RecordMalformedError("a text is missing")
    return value


def _whole(value: object) -> int:
    # A truth value passes here and fails rule 3: it is written as another text.
    if not isinstance(value, int):
        raise RecordMalformedError("a whole number is missing")
    return value


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Head:
    """A writer's newest record."""

    writer: str
    seq: int
    hash: str

    @property
    def text(self) -> str:
        return f"{self.writer}:{self.seq}:{self.hash}"


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A writer's position: all it needs to write its next record."""

    writer: str
    seq: int
    prev: str
    at: Instant


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """New records of a writer, in order, and its position after them."""

    records: tuple[Sealed, ...]
    chain: Chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains(NoTruth):
    """The chains that a verifier saw; it does not show what may be missing at the end."""

    count: int
    heads: tuple[Head, ...]
    """Every writer's newest record, by writer."""
    namespaces: tuple[str, ...]
    """Those that records are of."""


def parse_head(text: str) -> Head:
    writer, _, rest = text.partition(":")
    seq, _, value = rest.partition(":")
    if seq.isascii() and seq.isdecimal() and len(seq) <= len("9007199254740991"):
        head = Head(writer=require_name(writer), seq=int(seq), hash=value)
        if head.text == text and head.seq >= 1 and len(value) == len(NO_HASH):
            return head
    raise RecordMalformedError(f"`{text[:128]!a}` names no head of a chain")


def extend_chain(chain: Chain, events: Iterable[Event], *, namespace: str, at: Instant) -> Grown:
    """Appends one record per event; an earlier instant becomes the last record's instant."""
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
    """Verifies every writer's chain, record by record."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        """The leaf hash of each record so far."""
        self._namespaces: set[str] = set()
        self._places: dict[str, list[int]] = {}
        self._last: dict[str, Instant] = {}

    def take(self, raw: bytes) -> Record:
        """Verifies the next record; raises TamperedError, `where` is the record's index."""
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
