from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from taskbound.core.approval import BadProbeError, OperandUnreadableError, looks_of, parse_probe
from taskbound.core.approval.probe import digest_of, parse_reading, read_for
from taskbound.core.errors import MalformedError

PLAIN = "invoice=answer:bank__get_invoice#id"
KEPT = f"{PLAIN}@{'a' * 64}"


@pytest.mark.parametrize("text", [PLAIN, KEPT])
def test_a_reading_tool_is_written_in_one_way(text: str) -> None:
    probe = parse_probe(text)
    assert (probe.text, probe.argument, probe.kind.value) == (text, "invoice", "answer")
    assert parse_reading(probe.where).text == probe.where


@pytest.mark.parametrize(
    "where",
    [
        "",
        "bank__get_invoice",
        "#id",
        "get_invoice#id",
        "bank__get#",
        "bank__get#id#other",
        "bank__get#i d",
        "bank__get#id@",
        f"bank__get#id@{'A' * 64}",
        f"bank__get#id@{'a' * 63}",
        " bank__get#id",
        "bank__gét#id",
        "bank__get#id\n",
    ],
)
def test_what_names_no_tool_and_argument_is_no_probe(where: str) -> None:
    with pytest.raises(BadProbeError):
        parse_probe(f"invoice=answer:{where}")


def values(value: Any) -> list[str]:
    return [one.value for one in looks_of([parse_probe(PLAIN)], {"invoice": value}, {}, directory="/")]


def test_a_text_or_an_integer_is_the_one_argument_of_the_reading_call() -> None:
    assert values("INV-7") == ['{"id":"INV-7"}']
    assert values(7) == ['{"id":7}']
    assert values(["7", 7]) == ['{"id":"7"}', '{"id":7}']


@pytest.mark.parametrize("value", ["", None, True, 1.5, {}, [[]], "a" * 1001])
def test_a_value_that_is_neither_can_t_be_read_by(value: Any) -> None:
    with pytest.raises(OperandUnreadableError):
        values(value)


def test_content_and_structured_content_are_compared_and_nothing_else() -> None:
    found = digest_of(b'{"structuredContent":{"b":1,"a":2},"content":[],"_meta":{"x":1},"isError":false}')
    assert found == sha256(b'{"content":[],"structuredContent":{"a":2,"b":1}}').hexdigest()
    assert digest_of(b'{"_meta":{"x":2},"content":[],"structuredContent":{"a":2,"b":1}}') == found
    assert digest_of(b'{"content":[],"structuredContent":{"a":2,"b":2}}') != found
    assert digest_of(b'{"content":[{}],"structuredContent":{"a":2,"b":1}}') != found
    assert digest_of(b'{"content":[]}') != digest_of(b'{"content":[],"structuredContent":null}')


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"content":1,"content":2}', b'{"content":9007199254740993}'])
def test_a_result_that_is_no_strict_object_has_no_digest(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        digest_of(raw)


def test_a_presentation_says_what_it_reads_for_and_no_id_of_a_client_s_does() -> None:
    assert read_for('["read",7,1]') == "7"
    assert read_for('["read","a,\\"b]",12]') == '"a,\\"b]"'
    assert [read_for(one) for one in ("7", '"[read,7,1]"', '"[\\"read\\",7,1]"', "", '["read",7]')] == [
        ""
    ] * 5
