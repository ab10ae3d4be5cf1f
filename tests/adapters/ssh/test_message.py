from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.adapters.ssh.identity import (
    BadAgentMessageError,
    ListKeys,
    OtherRequest,
    SignWith,
    parse_request,
    string,
    take_message,
)

MOST = 200
LENGTHS = st.sampled_from([0, 1, 2, 3, 4, 5, 2**31 - 1, 2**31, 2**32 - 5, 2**32 - 4, 2**32 - 1])


@given(blob=st.binary(max_size=40), data=st.binary(max_size=40), flags=st.integers(0, 2**32 - 1))
def test_what_is_to_be_signed_is_read_as_it_is_written(blob: bytes, data: bytes, flags: int) -> None:
    body = b"\x0d" + string(blob) + string(data) + flags.to_bytes(4, "big")
    assert parse_request(body) == SignWith(blob=blob, data=data, flags=flags)
    for cut in range(1, len(body)):
        with pytest.raises(BadAgentMessageError):
            parse_request(body[:cut])
    with pytest.raises(BadAgentMessageError):
        parse_request(body + b"\0")


@given(first=LENGTHS, second=LENGTHS, rest=st.binary(max_size=24))
def test_a_length_that_lies_is_refused_or_what_it_says_is_there(first: int, second: int, rest: bytes) -> None:
    body = b"\x0d" + first.to_bytes(4, "big") + second.to_bytes(4, "big") + rest
    try:
        found = parse_request(body)
    except BadAgentMessageError:
        return
    assert isinstance(found, SignWith)
    again = b"\x0d" + string(found.blob) + string(found.data) + found.flags.to_bytes(4, "big")
    assert again == body


@settings(max_examples=300)
@given(st.binary(max_size=64))
def test_any_bytes_are_a_request_or_refused_as_no_message(body: bytes) -> None:
    try:
        found = parse_request(body)
    except BadAgentMessageError:
        return
    assert isinstance(found, OtherRequest) == (body[0] not in {11, 13})


def test_a_list_is_asked_for_by_one_byte_alone() -> None:
    assert parse_request(b"\x0b") == ListKeys()
    for body in (b"\x0b\0", b""):
        with pytest.raises(BadAgentMessageError):
            parse_request(body)


@given(bodies=st.lists(st.binary(min_size=1, max_size=MOST), max_size=5), at=st.integers(1, 50))
def test_messages_are_the_same_however_their_bytes_arrive(bodies: list[bytes], at: int) -> None:
    sent = b"".join(map(string, bodies))
    buffer, found = bytearray(), []
    for begin in range(0, len(sent), at):
        buffer += sent[begin : begin + at]
        while (body := take_message(buffer, most=MOST)) is not None:
            found.append(body)
    assert (found, bytes(buffer)) == (bodies, b"")


@pytest.mark.parametrize("size", [0, MOST + 1, 2**31, 2**32 - 1])
def test_a_message_of_no_byte_or_too_many_is_refused_by_its_length_alone(size: int) -> None:
    with pytest.raises(BadAgentMessageError):
        take_message(bytearray(size.to_bytes(4, "big")), most=MOST)
