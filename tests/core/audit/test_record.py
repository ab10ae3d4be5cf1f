from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import fields, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.action import canonical
from taskbound.core.audit import (
    EVENTS,
    NO_HASH,
    Event,
    EventUnknownError,
    Record,
    RecordMalformedError,
    RecordTooLargeError,
    RecordVersionError,
    TamperedError,
    WriterStarted,
    parse_record,
    record_bytes,
)
from taskbound.core.audit.record import MAX_RECORD, seal
from taskbound.core.clock import Instant
from tests.core.audit.samples import decided, full
from tests.core.audit.test_events import events

if TYPE_CHECKING:
    from collections.abc import Callable


def record_of(event: Event) -> Record:
    return Record(
        namespace="default",
        writer="wrt_a",
        seq=7,
        prev="ab" * 32,
        at=Instant(1_760_000_000_000_000),
        event=event,
    )


@settings(max_examples=300, deadline=None)
@given(events())
def test_a_record_is_read_as_it_was_written_and_its_bytes_are_canonical(event: Event) -> None:
    record = record_of(event)
    raw = record_bytes(record)
    assert parse_record(raw) == record
    value = json.loads(raw)
    assert raw == canonical(value) == rfc8785.dumps(value)
    assert raw == seal(record).raw


def test_a_records_bytes_are_these() -> None:
    record = replace(record_of(full("task-changed")), prev=NO_HASH, seq=1)
    assert record_bytes(record).decode() == (
        '{"at":1760000000000000,"event":{"after":"after of it","before":"before of it","by":"by of it",'
        '"event":"event of it","kind":"task-changed","learning":true,"proof":"proof of it",'
        '"reason":"reason of it","returned":["one","two"],"task":"task of it"},"namespace":"default","prev":"'
        + "0" * 64
        + '","seq":1,"v":1,"writer":"wrt_a"}'
    )


def test_a_records_hash_is_its_leaf_hash() -> None:
    sealed = seal(record_of(decided(1)))
    assert sealed.hash == sha256(b"\x00" + sealed.raw).hexdigest()


HOSTILE = (
    "a\rb",
    "a\nb",
    "a\r\nb",
    "a\tb",
    "a\0b",
    "a\u2028b\u2029c\x85d",
    "\x1b[2J\x1b[31mpermit",
    "%n%s%x {} {0} ${jndi:x}",
    '","kind":"action-decided","x":"',
    '{"a":1}\\u0000',
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "\ud800",
    "x\udcff\udfff y",
    "\U0001f600" * 100,
    "x" * 1_000_000,
    "\0" * 200_000,
    "\ud800" * 50_000,
)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:24]))
@pytest.mark.parametrize("kind", sorted(EVENTS.keys() - {"writer-started"}))
def test_i50_a223_a225_any_text_in_every_field_yields_exactly_one_well_formed_record(
    kind: str, text: str
) -> None:
    hostile: dict[str, object] = {"str": text, "tuple[str, ...]": (text, text), "int": 7, "bool": True}
    make: Callable[..., Event] = EVENTS[kind]
    event = make(**{one.name: hostile[str(one.type)] for one in fields(EVENTS[kind])})
    sealed = seal(record_of(event))
    assert not re.search(rb"[\x00-\x1f]", sealed.raw)
    assert len(sealed.raw) <= MAX_RECORD
    assert parse_record(sealed.raw) == sealed.record


def test_i50_a_text_that_fits_is_kept_as_it_is() -> None:
    text = "\n".join(f"line {number}\t\u202e\U0001f600" for number in range(1000))
    event = decided(1, tool=text)
    assert seal(record_of(event)).record.event == event


def test_a225_a_text_that_is_too_long_is_named_by_its_beginning_its_length_and_its_digest() -> None:
    text = "x" * 1_000_000
    kept = seal(record_of(decided(1, tool=text))).record.event
    digest = sha256(text.encode()).hexdigest()
    assert kept == decided(1, tool=f"{'x' * 1024}… [1000000 characters, sha256 {digest}]")


def test_a225_a_sequence_that_is_too_long_is_named_by_its_beginning_its_length_and_its_digest() -> None:
    policies = tuple(f"policy-{number}" for number in range(20_000))
    kept = seal(record_of(decided(1, policies=policies))).record.event
    digest = sha256("\n".join(f'"{one}"' for one in policies).encode()).hexdigest()
    assert kept == decided(1, policies=(*policies[:64], f"… [20000 in all, sha256 {digest}]"))


def test_i50_a_lone_surrogate_is_written_as_the_text_of_its_escape() -> None:
    kept = seal(record_of(decided(1, tool="a\udcffb", policies=("\ud83d",)))).record.event
    assert kept == decided(1, tool="a\\udcffb", policies=("\\ud83d",))


def test_i50_a_hostile_text_beside_heads_is_made_to_fit_and_the_heads_stay() -> None:
    event = WriterStarted(heads=("a:1:b",), checkpoint_size=0, checkpoint_root="e3" * 32, software="\ud800")
    assert seal(record_of(event)).record.event == replace(event, software="\\ud800")


def test_heads_are_never_cut() -> None:
    heads = tuple(f"wrt_{number:026d}:1:{'ab' * 32}" for number in range(1000))
    event = WriterStarted(heads=heads, checkpoint_size=0, checkpoint_root="e3" * 32, software="x")
    with pytest.raises(RecordTooLargeError, match="1000 heads"):
        seal(record_of(event))
    assert len(seal(record_of(replace(event, heads=heads[:550]))).raw) <= MAX_RECORD


def test_record_bytes_refuses_what_seal_would_replace() -> None:
    with pytest.raises(RecordTooLargeError):
        record_bytes(record_of(decided(1, tool="x" * 70_000)))
    with pytest.raises(RecordMalformedError, match="surrogate"):
        record_bytes(record_of(decided(1, tool="\ud800")))


@pytest.mark.parametrize(
    "change",
    [
        {"namespace": ""},
        {"namespace": "a b"},
        {"namespace": 'a"b'},
        {"namespace": "a" * 65},
        {"namespace": "A"},
        {"namespace": "a\n"},
        {"writer": ""},
        {"writer": "wrt:a"},
        {"writer": "-a"},
        {"writer": "é"},
        {"prev": "AB" * 32},
        {"prev": "ab" * 31},
        {"prev": ""},
        {"seq": 0},
        {"seq": -1},
        {"seq": 2**53},
        {"at": 2**53},
    ],
)
def test_a_record_that_is_out_of_form_is_neither_written_nor_read(change: dict[str, object]) -> None:
    copy: Callable[..., Record] = replace
    record = copy(record_of(decided(1)), **change)
    with pytest.raises(RecordMalformedError):
        record_bytes(record)
    value = {**json.loads(record_bytes(record_of(decided(1)))), **change}
    with pytest.raises(RecordMalformedError):
        parse_record(canonical_of(value))


def canonical_of(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


GOOD = record_bytes(record_of(decided(1)))


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", RecordMalformedError),
        (b"{}", RecordVersionError),
        (b"[]", RecordMalformedError),
        (b"null", RecordMalformedError),
        (b'"x"', RecordMalformedError),
        (GOOD + b"\n", RecordMalformedError),
        (b" " + GOOD, RecordMalformedError),
        (b"\xef\xbb\xbf" + GOOD, RecordMalformedError),
        (GOOD + GOOD, RecordMalformedError),
        (GOOD[:-1], RecordMalformedError),
        (GOOD.replace(b'"default"', b'"\xff"'), RecordMalformedError),
        (GOOD.replace(b'"default"', b'"d\\u0065fault"'), RecordMalformedError),
        (GOOD.replace(b'"seq":7', b'"seq":7.0'), RecordMalformedError),
        (GOOD.replace(b'"seq":7', b'"seq":07'), RecordMalformedError),
        (GOOD.replace(b'"seq":7', b'"seq":7e0'), RecordMalformedError),
        (GOOD.replace(b'"seq":7', b'"seq":true'), RecordMalformedError),
        (GOOD.replace(b'"seq":7', b'"seq":NaN'), RecordMalformedError),
        (GOOD.replace(b'"seq":7', b'"seq":Infinity'), RecordMalformedError),
        (GOOD.replace(b'"seq":7', b'"seq":"7"'), RecordMalformedError),
        (GOOD.replace(b'"seq":7', b'"seq":' + b"9" * 5000), RecordMalformedError),
        (GOOD.replace(b'"seq":7', b'"seq":7,"seq":7'), RecordMalformedError),
        (GOOD.replace(b'"seq":7', b'"seq":8,"seq":7'), RecordMalformedError),
        (GOOD.replace(b'"seq":7', b'"seq": 7'), RecordMalformedError),
        (GOOD.replace(b'"epoch":3', b'"epoch":0'), RecordMalformedError),
        (GOOD.replace(b'"v":1', b'"v":0'), RecordVersionError),
        (GOOD.replace(b'"v":1', b'"v":2'), RecordVersionError),
        (GOOD.replace(b'"v":1', b'"v":true'), RecordVersionError),
        (GOOD.replace(b'"v":1', b'"v":"1"'), RecordVersionError),
        (GOOD.replace(b'"v":1', b'"hash":"md5","v":1'), RecordMalformedError),
        (GOOD.replace(b'"kind":"action-decided"', b'"kind":"other"'), EventUnknownError),
        (b"[" * 60_000, RecordMalformedError),
        (b'{"a":' * 10_000, RecordMalformedError),
        (b"x" * 70_000, RecordMalformedError),
    ],
    ids=lambda value: ascii(value[:20]) if isinstance(value, bytes) else None,
)
def test_i48_bytes_that_are_not_exactly_a_record_are_refused(raw: bytes, error: type[Exception]) -> None:
    assert raw != GOOD
    with pytest.raises(error):
        parse_record(raw)


@pytest.mark.parametrize("name", ["at", "event", "namespace", "prev", "seq", "writer"])
def test_a_record_that_lacks_a_field_is_refused(name: str) -> None:
    value = json.loads(GOOD)
    del value[name]
    with pytest.raises(RecordMalformedError, match="seven fields"):
        parse_record(canonical_of(value))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_other_bytes_read_as_the_same_record(data: st.DataObject) -> None:
    record = record_of(data.draw(events()))
    raw = record_bytes(record)
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + bytes([data.draw(st.integers(0, 255))]) + raw[at + 1 :]
    if changed == raw:
        return
    with suppress(TamperedError):
        assert parse_record(changed) != record
