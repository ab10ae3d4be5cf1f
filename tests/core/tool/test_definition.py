from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.action.errors import DuplicateKeyError, NotFiniteError, TooLargeError
from taskbound.core.errors import MalformedError
from taskbound.core.tool import (
    MAX_TOOLS,
    BadDefinitionError,
    BadToolNameError,
    DuplicateToolError,
    Effect,
    ForeignCharacterError,
    LookAlikeToolError,
    RemoteReferenceError,
    TooManyToolsError,
    parse_definition,
    parse_definitions,
)


def tool(**changes: Any) -> bytes:
    value: dict[str, Any] = {
        "name": "refund",
        "description": "Pays money back.",
        "inputSchema": {
            "type": "object",
            "properties": {"order": {"type": "string"}, "amount": {"type": "number", "default": 5}},
            "required": ["order"],
        },
    }
    return json.dumps({**value, **changes}).encode()


def test_a_definition_is_canonical_without_its_top_level_meta() -> None:
    one = parse_definition(tool(_meta={"x": 1}))
    assert one.canonical == parse_definition(tool()).canonical
    assert one.digest == parse_definition(tool()).digest
    assert b"_meta" not in one.canonical
    assert one.name == "refund"


def test_a_meta_further_inside_belongs_to_the_definition() -> None:
    inside = tool(annotations={"_meta": {"x": 1}})
    assert parse_definition(inside).digest != parse_definition(tool()).digest


def test_order_and_spaces_do_not_change_the_digest() -> None:
    spaced = json.dumps(dict(reversed(json.loads(tool()).items())), indent=2).encode()
    assert parse_definition(spaced).digest == parse_definition(tool()).digest


def test_a_digest_of_a_definition_is_pinned_so_that_no_release_changes_it_unseen() -> None:
    assert (
        parse_definition(tool()).digest == "5b0fdcdf69bfcc5edc7a8c0a50a501d6273dd75a7426327ea2e490ced3460b39"
    )


@pytest.mark.parametrize(
    ("annotations", "effect"),
    [
        (None, Effect.DESTRUCTIVE),
        ({}, Effect.DESTRUCTIVE),
        ({"readOnlyHint": None}, Effect.DESTRUCTIVE),
        ({"readOnlyHint": False}, Effect.DESTRUCTIVE),
        ({"destructiveHint": True}, Effect.DESTRUCTIVE),
        ({"destructiveHint": None}, Effect.DESTRUCTIVE),
        ({"destructiveHint": False}, Effect.WRITE),
        ({"readOnlyHint": True}, Effect.READ),
        ({"readOnlyHint": True, "destructiveHint": True}, Effect.READ),
        ({"idempotentHint": True, "openWorldHint": False}, Effect.DESTRUCTIVE),
    ],
)
def test_the_effect_is_the_worst_where_annotations_say_nothing(annotations: Any, effect: Effect) -> None:
    assert parse_definition(tool(annotations=annotations)).effect is effect


def test_the_effect_of_a_tool_without_annotations_is_the_worst() -> None:
    assert parse_definition(tool()).effect is Effect.DESTRUCTIVE


def test_defaults_are_those_of_top_level_properties() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"default": None},
            "b": {"type": "object", "properties": {"c": {"default": 1}}},
            "d": {"default": [1, 2]},
            "e": True,
        },
    }
    assert dict(parse_definition(tool(inputSchema=schema)).defaults) == {"a": None, "d": [1, 2]}


@pytest.mark.parametrize(
    "change",
    [
        {"inputSchema": None},
        {"inputSchema": True},
        {"inputSchema": {}},
        {"inputSchema": {"type": "array"}},
        {"inputSchema": {"type": ["object", "null"]}},
        {"inputSchema": {"type": "object", "properties": []}},
        {"name": None},
        {"name": 5},
        {"title": 5},
        {"description": ["x"]},
        {"annotations": []},
        {"annotations": {"readOnlyHint": "true"}},
        {"annotations": {"readOnlyHint": 1}},
        {"annotations": {"destructiveHint": 0}},
        {"outputSchema": []},
    ],
)
def test_what_is_no_tool_object_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadDefinitionError):
        parse_definition(tool(**change))


@pytest.mark.parametrize("raw", [b"[]", b'"refund"', b"null", b"7"])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(BadDefinitionError):
        parse_definition(raw)


def test_a_tool_object_without_a_schema_or_a_name_is_refused() -> None:
    with pytest.raises(BadDefinitionError):
        parse_definition(b'{"name":"x"}')
    with pytest.raises(BadDefinitionError):
        parse_definition(b'{"inputSchema":{"type":"object"}}')


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-x", "a" * 126])
def test_a_name_that_makes_no_tool_name_is_refused(name: str) -> None:
    with pytest.raises(BadToolNameError):
        parse_definition(tool(name=name))


def test_a163_a_name_with_a_homoglyph_is_refused() -> None:
    with pytest.raises(ForeignCharacterError):
        parse_definition(tool(name="r\u0435fund"))


def test_a001_a_duplicate_key_anywhere_in_a_tool_object_is_refused() -> None:
    with pytest.raises(DuplicateKeyError):
        parse_definition(b'{"name":"x","inputSchema":{"type":"object","properties":{"a":{},"\\u0061":{}}}}')


def test_a005_a_default_that_is_not_finite_is_refused() -> None:
    with pytest.raises(NotFiniteError):
        parse_definition(b'{"name":"x","inputSchema":{"type":"object","properties":{"a":{"default":1e999}}}}')


def test_a_definition_over_its_size_is_refused_and_one_at_it_is_not() -> None:
    room = 262_144 - len(tool(description=""))
    assert parse_definition(tool(description="x" * room)).name == "refund"
    with pytest.raises(TooLargeError):
        parse_definition(tool(description="x" * (room + 1)))


@pytest.mark.parametrize(
    "reference", ["https://evil.example/s.json", "other.json", "/x", "file:///etc/passwd", ""]
)
@pytest.mark.parametrize(
    "where",
    [
        lambda ref: {"$ref": ref},
        lambda ref: {"properties": {"a": {"items": {"$ref": ref}}}},
        lambda ref: {"$defs": {"a": {"anyOf": [{"$dynamicRef": ref}]}}},
        lambda ref: {"properties": {"a": {"not": {"prefixItems": [{"$ref": ref}]}}}},
    ],
)
def test_a166_a_reference_out_of_the_schema_is_refused(reference: str, where: Any) -> None:
    with pytest.raises(RemoteReferenceError):
        parse_definition(tool(inputSchema={"type": "object", **where(reference)}))
    with pytest.raises(RemoteReferenceError):
        parse_definition(tool(outputSchema=where(reference)))


def test_a_reference_inside_the_schema_passes_and_so_does_data_that_is_called_ref() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/x"}, "$ref": {"type": "string"}},
        "$defs": {"x": {"default": {"$ref": "https://example.com"}, "enum": [{"$ref": "x"}]}},
    }
    assert parse_definition(tool(inputSchema=schema)).name == "refund"


def test_a_list_keeps_its_order_and_is_distinct() -> None:
    names = [one.name for one in parse_definitions([tool(name="b"), tool(name="a")], server="s")]
    assert names == ["b", "a"]
    with pytest.raises(DuplicateToolError):
        parse_definitions([tool(name="b"), tool(name="b")], server="s")
    with pytest.raises(LookAlikeToolError):
        parse_definitions([tool(name="b"), tool(name="B")], server="s")


def test_a_list_is_bounded_in_number_and_in_bytes() -> None:
    small = [tool(name=f"t{number}x") for number in range(MAX_TOOLS + 1)]
    assert len(parse_definitions(small[:MAX_TOOLS], server="s")) == MAX_TOOLS
    with pytest.raises(TooManyToolsError):
        parse_definitions(small, server="s")
    large = [tool(name=f"t{number}x", description="x" * 250_000) for number in range(13)]
    with pytest.raises(TooManyToolsError):
        parse_definitions(large, server="s")


def test_a_tool_whose_full_name_is_too_long_for_its_server_is_refused() -> None:
    name = "a" * 110
    assert parse_definitions([tool(name=name)], server="s")[0].name == name
    with pytest.raises(BadToolNameError):
        parse_definitions([tool(name=name)], server="s" * 20)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["name", "title", "inputSchema", "outputSchema", "annotations", "icons", "_meta", "x"])


@given(st.dictionaries(KEYS, JSON, max_size=5))
def test_any_object_is_one_definition_or_one_named_error(value: dict[str, Any]) -> None:
    try:
        one = parse_definition(json.dumps(value).encode())
    except MalformedError:
        return
    assert parse_definition(one.canonical) == one
