from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.action.parse import parse_document
from taskbound.wire.mcp.message import failure_line, notice_line, request_line, result_line, text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(TEXT)
def test_a_text_is_its_own_json_and_ends_no_line_for_anyone(value: str) -> None:
    raw = text(value)
    assert json.loads(raw) == value
    assert len(raw.decode().splitlines()) <= 1


def test_lines_are_one_message_each() -> None:
    for line in (
        request_line(7, "tools/call", b'{"a":1}'),
        notice_line("notifications/initialized"),
        notice_line("notifications/cancelled", b'{"requestId":7}'),
        result_line(b'"x"', b"{}"),
        failure_line(b"null", -32700, "no\u2028{}", b'{"code":"not-json"}'),
    ):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        parse_document(line[:-1])


def test_an_answer_holds_the_exact_bytes_that_it_was_given() -> None:
    assert result_line(b"7", b'{ "a" : 1.50 }') == b'{"jsonrpc":"2.0","id":7,"result":{ "a" : 1.50 }}\n'
