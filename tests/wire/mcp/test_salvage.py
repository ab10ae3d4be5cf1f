from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.errors import MalformedError
from taskbound.wire.mcp.message import NOTHING, Request, parse_message, salvage

CALL = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a__b","arguments":%b}}'


@pytest.mark.parametrize(
    "arguments",
    [
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":9007199254740993}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b"[" * 500 + b"]" * 500,
        b'{"a":\r1}',
        b'{"a":"\t"}',
        b"{'a':1}",
        b"nonsense",
    ],
)
def test_a_line_that_can_not_be_read_may_still_say_which_request_it_is(arguments: bytes) -> None:
    line = CALL % arguments
    with pytest.raises(MalformedError):
        parse_message(line if b"\r" not in line else b"\r")
    found = salvage(line)
    assert (found.id, found.id_raw, found.method, found.tool) == (7, b"7", "tools/call", "a__b")


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":1,"id":2,"method":"tools/call"}',
        b'{"id":1,"\\u0069d":2}',
        b'{"\\u0069d":1}',
        b'{"id":1}{"id":2}',
        b'{"id":1}\r{"id":2}',
        b'{"id":1',
        b'{"id":1]',
        b'[{"id":1}]',
        b'{"id":1.0}',
        b'{"id":true}',
        b'{"id":null}',
        b'{"id":[1]}',
        b'{"id":1 2}',
        b'{"id":"a" "b"}',
        b'{"id":"a\\u0062"}',
        b'{"id":"\xff"}',
        b'{"id":9007199254740992}',
        b'{"id":1,"x":"unclosed}',
        b'\xef\xbb\xbf{"id":1}',
        '{"id":1}'.encode("utf-16"),
        b'x{"id":1}',
        b'{"id":1}x',
        b'{"id":1,}',
        b'{,"id":1}',
        b'{"id":1 "x":2}',
        b"",
        b"{",
        b"}",
        b'"id":1',
    ],
)
def test_an_id_that_two_readers_could_take_for_another_is_not_known(line: bytes) -> None:
    assert salvage(line).id is None
    assert salvage(line).id_raw == b""


def test_an_id_further_inside_is_not_the_messages() -> None:
    assert salvage(b'{"params":{"id":5},"id":"x","y":[{"id":6}]}').id == "x"
    assert salvage(b'{"params":{"id":5}}').id is None


def test_a_line_of_too_many_parts_is_not_looked_at() -> None:
    line = b'{"id":1,"x":[' + b"0," * 30_000 + b"0]}"
    assert salvage(line) == NOTHING
    assert salvage(b'{"id":1,"x":"' + b"," * 300_000 + b'"}').id == 1


def test_a_name_that_is_none_is_not_passed_on() -> None:
    assert salvage(b'{"id":1,"params":{"name":"a__b"}}').tool == "a__b"
    for name in (b"ab", b"a__b\\u0000", b"\xd0\xb0__b"):
        assert salvage(b'{"id":1,"params":{"name":"%b"}}' % name).tool == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.integers(-99, 99) | st.text(st.characters(codec="ascii", exclude_characters='"\\'), max_size=9), JSON
)
def test_what_strict_reading_finds_is_found(request: Any, arguments: Any) -> None:
    whole = {
        "jsonrpc": "2.0",
        "id": request,
        "method": "tools/call",
        "params": {"name": "a__b", "x": arguments},
    }
    line = json.dumps(whole).encode()
    strict = parse_message(line)
    assert isinstance(strict, Request)
    found = salvage(line)
    if found.id is not None:
        assert found.id == strict.id
    if "\\" not in line.decode():
        assert (found.id, found.method, found.tool) == (strict.id, "tools/call", "a__b")


@given(st.binary(max_size=80))
def test_any_bytes_are_looked_at_without_an_error(raw: bytes) -> None:
    salvage(raw)


@given(
    st.lists(
        st.sampled_from([b'"id"', b":", b"1", b",", b"{", b"}", b"[", b"]", b'"a"', b" ", b"\\", b'"']),
        max_size=14,
    )
)
def test_an_id_that_is_known_is_the_one_that_a_lenient_reader_finds(parts: list[bytes]) -> None:
    line = b"".join(parts)
    found = salvage(line)
    if found.id is None:
        return
    try:
        lenient = json.loads(line)
    except ValueError:
        return
    assert isinstance(lenient, dict)
    assert lenient["id"] == found.id
