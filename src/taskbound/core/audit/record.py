"""One record of the log: an event, who wrote it, when, and the record before it.

1. A record's bytes are canonical JSON (RFC 8785) without a line break, at most 65,535 bytes (an entry of
   C2SP tlog-tiles); its hash is its Merkle leaf hash, so that one hash serves the chain and the tree.
2. The version stands in every record and fixes the form and the hash: there is no field that names an
   algorithm, so none can be relabelled (I-48).
3. Bytes are read strictly: they are a record only when writing what was read gives the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from json import JSONDecodeError, JSONDecoder
from typing import TYPE_CHECKING, Final, Never

from taskbound.core.audit.encoding import LIMITS, fit_event, parse_event, render_event
from taskbound.core.audit.errors import RecordMalformedError, RecordTooLargeError, RecordVersionError
from taskbound.core.audit.merkle import leaf_hash
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick

if TYPE_CHECKING:
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
    """An event in its place: the ``seq``-th of its writer, after the record with hash ``prev``."""

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
    """The record's canonical bytes (rule 1).

    Raises:
        RecordTooLargeError: They would be too many: `seal` makes events fit.
        RecordMalformedError: A name, hash, number or text can't stand in a record.
    """
    _require_form(record)
    try:
        raw = _render(record).encode()
    except UnicodeEncodeError as error:
        raise RecordMalformedError("a text holds a lone surrogate") from error
    if len(raw) > MAX_RECORD:
        raise RecordTooLargeError(f"a record of {len(raw)} bytes is longer than {MAX_RECORD}")
    return raw


def seal(record: Record) -> Sealed:
    """The record with its bytes and hash; hostile or endless text in the event is made to fit (I-50).

    The namespace, writer, place and time are the caller's own and are not looked at again.

    Raises:
        RecordTooLargeError: The event opens a chain and names too many heads.
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
    """The record that these bytes are (rule 3).

    Raises:
        RecordMalformedError: They are not the canonical bytes of a record.
        RecordVersionError: They state another version.
        EventUnknownError: They hold a kind of event, or a field of one, that this version doesn't know.
    """
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
    """The text, when it can name a namespace or a writer.

    Raises:
        RecordMalformedError: It can't.
    """
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
