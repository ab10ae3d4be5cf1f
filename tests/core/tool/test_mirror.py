from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared import inbound

from taskbound.core.tool import BadMirrorError
from taskbound.core.tool.definition import encoded, mirrored, parse_mirrors

NESTED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "where": {"type": "object", "properties": {"zone": {"type": "integer", "x-mcp-header": "Zone"}}},
        "dry": {"type": "boolean", "x-mcp-header": "Dry"},
        "note": {"type": "string", "default": {"x-mcp-header": "not a schema"}},
    },
}


def one(**schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}}


def test_arguments_are_repeated_by_the_headers_that_the_schema_names() -> None:
    mirrors = parse_mirrors(NESTED)
    assert set(mirrored(mirrors, {"region": "eu", "where": {"zone": 3}, "dry": False, "note": "x"})) == {
        ("Mcp-Param-Region", "eu"),
        ("Mcp-Param-Zone", "3"),
        ("Mcp-Param-Dry", "false"),
    }


@pytest.mark.parametrize(
    "arguments", [{}, {"region": None}, {"where": None}, {"where": []}, {"region": [1]}, {"dry": {}}, []]
)
def test_what_is_absent_or_null_or_no_scalar_has_no_header(arguments: Any) -> None:
    assert mirrored(parse_mirrors(NESTED), arguments) == ()


@pytest.mark.parametrize(
    "schema",
    [
        one(type="string", **{"x-mcp-header": ""}),
        one(type="string", **{"x-mcp-header": "a b"}),
        one(type="string", **{"x-mcp-header": "a:b"}),
        one(type="string", **{"x-mcp-header": "a\r\nb"}),
        one(type="string", **{"x-mcp-header": "é"}),
        one(type="string", **{"x-mcp-header": 1}),
        one(type="object", **{"x-mcp-header": "A"}),
        one(type="array", **{"x-mcp-header": "A"}),
        one(type="null", **{"x-mcp-header": "A"}),
        one(type="number", **{"x-mcp-header": "A"}),
        one(type=["string", "null"], **{"x-mcp-header": "A"}),
        one(**{"x-mcp-header": "A"}),
        one(type="array", items={"type": "string", "x-mcp-header": "A"}),
        one(anyOf=[{"type": "string", "x-mcp-header": "A"}]),
        one(type="object", patternProperties={"b": {"type": "string", "x-mcp-header": "A"}}),
        one(type="object", odd={"properties": {"b": {"type": "string", "x-mcp-header": "A"}}}),
        {"type": "object", "x-mcp-header": "A"},
        {"type": "object", "$defs": {"b": {"type": "string", "x-mcp-header": "A"}}},
        {
            "type": "object",
            "properties": {
                "a": {"type": "string", "x-mcp-header": "A"},
                "b": {"type": "string", "x-mcp-header": "a"},
            },
        },
    ],
)
def test_any_other_declaration_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(BadMirrorError):
        parse_mirrors(schema)


def test_the_official_package_takes_the_same_declarations() -> None:
    assert inbound.find_invalid_x_mcp_header(NESTED) is None
    expected = inbound.x_mcp_header_map(NESTED)
    assert {mirror.path: mirror.header for mirror in parse_mirrors(NESTED)} == {
        path: f"Mcp-Param-{token}" for path, token in expected.items()
    }


@given(st.text())
def test_an_encoded_text_is_read_as_it_was_and_can_stand_in_a_header(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    written = encoded(text)
    assert inbound.decode_header_value(written) == text
    assert written.isascii()
    assert written.isprintable()
    assert written == written.strip()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain text", "plain text"),
        (" a", "=?base64?IGE=?="),
        ("a\n", "=?base64?YQo=?="),
        ("é", "=?base64?w6k=?="),
        ("", ""),
        ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
    ],
)
def test_what_a_header_would_not_carry_is_base64(text: str, written: str) -> None:
    assert encoded(text) == written
