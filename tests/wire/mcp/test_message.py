from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.action.canonical import members
from taskbound.core.errors import MalformedError
from taskbound.wire.mcp.message import Failure, Notice, Request, Result, id_of, parse_message

ID_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | ID_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ID_TEXT, inner, max_size=3),
    max_leaves=8,
)


def test_a_request_is_what_it_says() -> None:
    found = parse_message(b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":1}}')
    assert found == Request(7, b"7", "ping", {"a": 1})
    assert parse_message(b'{"jsonrpc":"2.0","id":"x","method":"ping"}') == Request("x", b'"x"', "ping", {})


def test_a_notification_is_what_has_a_method_and_no_id() -> None:
    assert parse_message(b'{"jsonrpc":"2.0","method":"a"}') == Notice("a", {})


def test_an_answer_is_what_has_a_result_or_an_error() -> None:
    assert parse_message(b'{"jsonrpc":"2.0","id":1,"result":{ "a":1e2 }}') == Result(
        1, b'{ "a":1e2 }', {"a": 100}
    )
    assert parse_message(b'{"jsonrpc":"2.0","id":1,"result":[]}') == Result(1, b"[]", [])
    error = b'{"code":-1,"message":"no","data":1}'
    assert parse_message(b'{"jsonrpc":"2.0","id":1,"error":%b}' % error) == Failure(1, error, -1, "no")
    assert parse_message(b'{"jsonrpc":"2.0","id":null,"error":%b}' % error) == Failure(None, error, -1, "no")
    assert parse_message(b'{"jsonrpc":"2.0","error":%b}' % error) == Failure(None, error, -1, "no")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"0", 0),
        (b"-0", 0),
        (b"7", 7),
        (b"-7", -7),
        (b"9007199254740991", 2**53 - 1),
        (b'""', ""),
        (b'"\\u0061"', "a"),
        (b'"7"', "7"),
    ],
)
def test_a160_what_may_be_an_id_is_one(raw: bytes, value: int | str) -> None:
    assert id_of(raw) == value
    assert type(id_of(raw)) is type(value)


@pytest.mark.parametrize(
    "raw",
    [
        b"1.0",
        b"1e0",
        b"10e-1",
        b"true",
        b"false",
        b"null",
        b"[]",
        b"{}",
        b"[1]",
        b'{"a":1}',
        b'"' + b"x" * 201 + b'"',
    ],
)
@pytest.mark.parametrize("rest", [b'"method":"tools/call"', b'"result":{}'])
def test_a160_an_id_of_another_kind_refuses_and_never_makes_a_notification(raw: bytes, rest: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_message(b'{"jsonrpc":"2.0","id":%b,%b}' % (raw, rest))
    assert caught.value.code == "bad-id"


@pytest.mark.parametrize("raw", [b"9007199254740992", b"-9007199254740992", b"1" * 400])
def test_a160_an_id_that_is_too_large_a_number_refuses(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_message(b'{"jsonrpc":"2.0","id":%b,"method":"a"}' % raw)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"[]", "batch"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', "batch"),
        (b"{}", "bad-jsonrpc"),
        (b'"x"', "not-a-message"),
        (b"null", "not-a-message"),
        (b'{"jsonrpc":"2.0"}', "not-a-message"),
        (b'{"jsonrpc":"2.0","id":1}', "not-a-message"),
        (b'{"jsonrpc":"2.0","id":1,"method":null}', "not-a-message"),
        (b'{"jsonrpc":"2.0","id":1,"method":["a"]}', "not-a-message"),
        (b'{"jsonrpc":"2.1","id":1,"method":"a"}', "bad-jsonrpc"),
        (b'{"jsonrpc":2.0,"id":1,"method":"a"}', "bad-jsonrpc"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","params":[]}', "bad-params"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","params":null}', "bad-params"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","approved":true}', "unknown-member"),
        (b'{"jsonrpc":"2.0","method":"a","result":{}}', "unknown-member"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","result":{}}', "unknown-member"),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}', "unknown-member"),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"params":{}}', "unknown-member"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":""}}', "not-a-message"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":true,"message":""}}', "not-a-message"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":1}}', "not-a-message"),
        (b'{"jsonrpc":"2.0","id":1,"error":"no"}', "not-a-message"),
        (b'{"jsonrpc":"2.0","result":{}}', "bad-id"),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}', "duplicate-key"),
        (b'{"jsonrpc":"2.0","id":1,"\\u0069d":2,"method":"a"}', "duplicate-key"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a"}{}', "trailing-data"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"a":NaN}}', "not-finite"),
    ],
)
def test_a158_a159_what_is_no_message_has_one_named_error(line: bytes, code: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_message(line)
    assert caught.value.code == code


@given(st.integers(-(2**53) + 1, 2**53 - 1) | ID_TEXT, VALUE, st.sampled_from([None, 1, 4]))
def test_the_bytes_of_a_result_are_those_that_core_cuts_out(
    request: object, value: object, indent: int | None
) -> None:
    whole = {"jsonrpc": "2.0", "id": request, "result": value}
    raw = json.dumps(whole, indent=indent, ensure_ascii=False).replace("\n", " ").encode()
    found = parse_message(raw)
    assert isinstance(found, Result)
    assert found.raw == members(raw)["result"]
    assert found.id == request


@given(VALUE)
def test_the_bytes_of_an_error_are_those_that_core_cuts_out(data: object) -> None:
    whole = {"error": {"code": -5, "data": data, "message": "no"}, "jsonrpc": "2.0", "id": 1}
    raw = json.dumps(whole).encode()
    found = parse_message(raw)
    assert isinstance(found, Failure)
    assert found.raw == members(raw)["error"]


def test_an_escaped_key_is_the_key_that_it_spells() -> None:
    found = parse_message(b'{"jsonrpc":"2.0","\\u0069d":1,"re\\u0073ult":{"a":[1.50]}}')
    assert found == Result(1, b'{"a":[1.50]}', {"a": [1.5]})


@given(st.binary(max_size=60))
def test_any_bytes_are_one_message_or_one_named_error(raw: bytes) -> None:
    try:
        parse_message(raw)
    except MalformedError as error:
        assert error.code != "malformed"  # noqa: PT017 -- whether it is refused at all is not the point
