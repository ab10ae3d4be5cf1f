from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.action import (
    DuplicateKeyError,
    NotAnObjectError,
    NotJsonError,
    canonical,
    members,
    parse_document,
)
from taskbound.core.errors import MalformedError
from tests.core.action.values import json_objects, json_values, tricky_text

spaces = st.text(" \t\r\n", max_size=2).map(str.encode)


def spell(value: object, *, ascii_only: bool) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only).encode()


@settings(max_examples=500, deadline=None)
@given(json_objects, st.booleans(), st.data())
def test_each_slice_is_the_bytes_that_were_put_there(
    value: dict[str, object],
    ascii_only: bool,  # noqa: FBT001 -- drawn, not passed
    data: st.DataObject,
) -> None:
    slices = {key: spell(item, ascii_only=data.draw(st.booleans())) for key, item in value.items()}

    def spaced(part: bytes) -> bytes:
        return data.draw(spaces) + part + data.draw(spaces)

    inner = b",".join(
        spaced(spell(key, ascii_only=ascii_only)) + b":" + spaced(raw) for key, raw in slices.items()
    )
    raw = spaced(b"{" + (inner or data.draw(spaces)) + b"}")
    assert parse_document(raw) == value
    assert members(raw) == slices
    assert list(members(raw)) == list(value)


@settings(max_examples=300, deadline=None)
@given(json_values)
def test_slices_read_as_the_members_of_the_value(value: object) -> None:
    raw = spell({"id": 1, "result": value, "x": [value]}, ascii_only=False)
    slices = members(raw)
    assert {key: json.loads(part) for key, part in slices.items()} == json.loads(raw)


def test_nothing_of_a_spelling_is_lost() -> None:
    raw = rb'{ "result" : {"a": 1e2, "b":-0,"c" :"\u0041\/" , "d":[ 1.50 ]} ,"id":"\u0031" }'
    assert members(raw) == {
        "result": rb'{"a": 1e2, "b":-0,"c" :"\u0041\/" , "d":[ 1.50 ]}',
        "id": rb'"\u0031"',
    }
    assert members(members(raw)["result"]) == {"a": b"1e2", "b": b"-0", "c": rb'"\u0041\/"', "d": b"[ 1.50 ]"}


def test_a_key_that_is_spelled_with_escapes_is_found_under_its_name() -> None:
    assert members(rb'{"\u006dethod":1,"\"}{":2,"\\":3,"\ud83d\ude00":4}') == {
        "method": b"1",
        '"}{': b"2",
        "\\": b"3",
        "\U0001f600": b"4",
    }


def test_what_looks_like_structure_in_a_string_is_text() -> None:
    raw = json.dumps({"a": '"},{"b":[', "c": {'}"': '\\"}'}}).encode()
    assert members(raw) == {"a": json.dumps('"},{"b":[').encode(), "c": json.dumps({'}"': '\\"}'}).encode()}


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"{}"', b"", b"null"])
def test_only_an_object_has_members(raw: bytes) -> None:
    with pytest.raises(NotAnObjectError):
        members(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b'{"a"',
        b'{"a":',
        b'{"a":1',
        b'{"a":1,',
        b'{"a":1,}',
        b'{"a" 1}',
        b"{1:2}",
        b'{"a":1}}',
        b'{"a":1} x',
        b"{,}",
        b'{"a":01}',
        b'{"a":"',
        b'{"a\\":1}',
        b"{}{}",
        b"\xff",
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_what_is_cut_off_or_no_json_is_refused_by_name(raw: bytes) -> None:
    with pytest.raises((NotJsonError, NotAnObjectError)):
        members(raw)


def test_a_key_that_stands_twice_is_refused_here_too() -> None:
    with pytest.raises(DuplicateKeyError):
        members(rb'{"a":1,"\u0061":2}')


def test_a_number_of_any_length_passes_through() -> None:
    raw = b'{"a":' + b"9" * 10_000 + b"}"
    assert members(raw)["a"] == b"9" * 10_000


@settings(deadline=None)
@given(tricky_text.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=30))
def test_any_bytes_are_cut_or_refused_by_name(raw: bytes) -> None:
    for document in (raw, b'{"a":' + raw + b"}"):
        try:
            slices = members(document)
        except MalformedError:
            continue
        assert set(slices) == set(json.loads(document))


@settings(deadline=None)
@given(json_objects)
def test_canonical_bytes_are_made_of_their_canonical_slices(value: dict[str, object]) -> None:
    written = canonical(json.loads(json.dumps(value)))
    for key, part in members(written).items():
        assert part == canonical(json.loads(json.dumps(value[key])))
