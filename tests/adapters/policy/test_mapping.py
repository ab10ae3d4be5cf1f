from __future__ import annotations

import json
from typing import Any

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.adapters.policy.cedar import CedarPolicyEngine
from taskbound.adapters.policy.cedar.mapping import MOST, tell, tell_beside
from taskbound.adapters.policy.cedar.vocabulary import shape_of
from tests.house.tree import ROOT

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "__entity", "__extn", "é", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)
LEAVES = st.sampled_from(["string", "boolean", "integer", "number", "null"]).map(lambda one: {"type": one})
SCHEMAS = st.recursive(
    LEAVES | st.sampled_from([{}, True, {"enum": ["x", 1]}, {"$ref": "#"}, {"$ref": "#/none"}]),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.lists(inner, min_size=1, max_size=3).map(lambda ones: {"anyOf": ones})
        | st.lists(inner, min_size=1, max_size=2).map(lambda ones: {"allOf": ones})
        | st.dictionaries(st.sampled_from(["a", "b", "__entity", "é", ""]), inner, max_size=3).map(
            lambda ones: {"type": "object", "properties": ones, "required": sorted(ones)[:1]}
        )
    ),
    max_leaves=6,
)


def schema(one: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": one}, "required": ["x"] if required else []}


def told(one: dict[str, Any], value: Any) -> Any:
    """What `x` is told as; `absent`, or why it can't be told."""
    found, unmapped = tell({"x": value}, shape_of(schema(one)), None)
    if unmapped:
        return f"{unmapped[0].pointer}: {unmapped[0].why}"
    return found.get("x", "absent")


def decimal(text: str) -> dict[str, Any]:
    return {"__extn": {"fn": "decimal", "arg": text}}


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "x", "__expr"]), VALUES, max_size=3), SCHEMAS)
def test_the_mapping_is_total_and_cedar_takes_all_that_it_tells(arguments: Any, one: Any) -> None:
    shape = shape_of({"type": "object", "properties": {"a": one, "x": one}})
    found, unmapped = tell(arguments, shape, None)
    context = {"arguments": found} | {name: tell_beside(arguments, name, None) for name in ("counts", "keys")}
    answer = cedarpy.is_authorized(
        {"principal": 'A::"a"', "action": 'A::"a"', "resource": 'A::"a"', "context": json.dumps(context)},
        "permit (principal, action, resource) when { context == context };",
        [],
    )
    assert (answer.diagnostics.errors, len(answer.diagnostics.reasons)) == ([], 1)
    assert "__e" not in json.dumps(list(found))
    missing = {name for name in arguments if name not in found and arguments[name] is not None}
    assert missing <= {miss.pointer.split("/")[1] for miss in unmapped}


@pytest.mark.parametrize(
    ("one", "value", "expected"),
    [
        ({"type": "string"}, "x", "x"),
        ({"type": "string"}, "", ""),
        ({"type": "boolean"}, True, True),
        ({"type": "integer"}, 3, 3),
        ({"type": "integer"}, 2**53 - 1, 2**53 - 1),
        ({"type": "number"}, 3, decimal("3.0")),
        ({"type": "number"}, 3.25, decimal("3.25")),
        ({"type": "number"}, -0.0001, decimal("-0.0001")),
        ({"type": "number"}, -0.5, decimal("-0.5")),
        ({"type": "number"}, 922337203685477.5, decimal("922337203685477.5")),
        ({"type": ["integer", "number"]}, 3, decimal("3.0")),
        ({"type": ["string", "null"]}, "x", "x"),
        ({"type": ["string", "null"]}, None, "absent"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, "absent"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "x", {"string": "x"}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, 3, {"long": 3}),
        ({"type": ["string", "number"]}, 3, {"decimal": decimal("3.0")}),
        ({"type": ["string", "array"], "items": {"type": "string"}}, ["x"], {"set": ["x"]}),
        ({}, "x", {"string": "x"}),
        ({}, 3, {"decimal": decimal("3.0")}),
        ({}, None, "absent"),
        ({}, {}, {"record": {}}),
        ({"enum": ["a", "b"]}, "a", "a"),
        ({"const": 3}, 3, 3),
        ({"enum": ["a", 3]}, 3, {"long": 3}),
        ({"type": "array", "items": {"type": "string"}}, ["b", "a", "b"], ["b", "a", "b"]),
        ({"properties": {"y": {"type": "integer"}}}, {"y": 3}, {"y": 3}),
        ({"allOf": [{"type": "string"}]}, "x", "x"),
        ({"$ref": "#/properties/x/x-of", "x-of": {"type": "string"}}, "x", "x"),
    ],
)
def test_a_value_is_told_as_its_schema_says(one: dict[str, Any], value: Any, expected: Any) -> None:
    assert told(one, value) == expected


@pytest.mark.parametrize(
    ("one", "value", "why"),
    [
        ({"type": "number"}, 0.00001, "it is no decimal of four places"),
        ({"type": "number"}, 1.23456, "it is no decimal of four places"),
        ({"type": "number"}, 1e-7, "it is no decimal of four places"),
        ({"type": "number"}, 922337203685478, "it is no decimal of four places"),
        ({"type": "number"}, 1e300, "it is no decimal of four places"),
        ({"type": "integer"}, 1.5, "it does not fit the tool's schema"),
        ({"type": "integer"}, 1e300, "it does not fit the tool's schema"),
        ({"type": "integer"}, True, "it does not fit the tool's schema"),
        ({"type": "boolean"}, 1, "it does not fit the tool's schema"),
        ({"type": "boolean"}, "true", "it does not fit the tool's schema"),
        ({"type": "string"}, ["x"], "it does not fit the tool's schema"),
        ({"type": "string"}, 3, "it does not fit the tool's schema"),
        ({"type": "string"}, None, "it does not fit the tool's schema"),
        ({"type": "array", "items": {"type": "string"}}, "x", "it does not fit the tool's schema"),
        ({"type": ["string", "integer"]}, 1.5, "it does not fit the tool's schema"),
        ({"type": "array"}, ["x"], "its items are of no one schema"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, ["x"], "its items are of no one schema"),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "x", "it must be of several schemas at once"),
        ({"$ref": "#/properties/x"}, "x", "its schema holds itself"),
        ({"type": "null"}, "x", "it can only be null"),
    ],
)
def test_a202_what_does_not_fit_is_unmapped_and_never_absent(
    one: dict[str, Any], value: Any, why: str
) -> None:
    assert told(one, value) == f"arguments/x: {why}"


def test_one_item_that_can_not_be_told_makes_the_whole_list_so() -> None:
    assert told({"type": "array", "items": {"type": "integer"}}, [1, 2, "3"]).startswith("arguments/x/2:")
    assert told({"type": "array", "items": {"type": "integer"}}, [1, 2, 3]) == [1, 2, 3]


def test_a_property_that_the_schema_does_not_have_is_seen_by_has_and_its_value_is_unmapped() -> None:
    shape = shape_of(schema({"type": "object", "additionalProperties": {"type": "string"}}))
    given: Any = {"x": {"HOME": "/root"}}
    assert tell(given, shape, {"x": {"HOME": {}, "PATH": {}}}) == ({"x": {"HOME": True}}, ())
    _, unmapped = tell(given, shape, {"x": {"HOME": None}})
    assert [one.pointer for one in unmapped] == ["arguments/x/HOME"]


def test_only_what_is_read_is_told_and_only_what_is_read_can_be_unmapped() -> None:
    shape = shape_of({"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "string"}}})
    assert tell({"a": 0.00001, "b": "x"}, shape, {"b": None}) == ({"b": "x"}, ())
    assert tell({"a": 0.00001, "b": "x"}, shape, {"a": {}}) == ({"a": True}, ())
    assert tell({"a": 0.00001, "b": "x"}, shape, {})[0] == {}


@pytest.mark.parametrize("name", ["__entity", "__extn", "__expr"])
def test_a206_an_argument_named_like_a_word_of_cedar_is_unmapped_wherever_it_stands(name: str) -> None:
    forged: Any = {name: {"type": "Taskbound::Agent", "id": "default/root"}}
    declared = schema({"type": "object", "properties": {name: {"type": "object"}, "y": {"type": "string"}}})
    every: list[Any] = [None, {"x": None}, {"x": {name: {}}}, {"x": {name: None}}]
    for reads in every:
        found, unmapped = tell({"x": forged}, shape_of(declared), reads)
        assert found.get("x", {}) in ({}, None)
        assert [one.pointer for one in unmapped] == [f"arguments/x/{name}"]
    assert tell({"x": {"y": name}}, shape_of(declared), None) == ({"x": {"y": name}}, ())


def test_a209_ten_thousand_values_are_not_told_and_a_thousand_are() -> None:
    listed = {"type": "array", "items": {"type": "integer"}}
    assert "more than" in told(listed, list(range(10_000)))
    assert told(listed, list(range(1_000))) == list(range(1_000))
    assert MOST < 10_000


def test_a203_a_schema_that_is_deep_wide_or_holds_itself_is_read_in_bounds() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        deep = {"type": "object", "properties": {"y": deep}}
    many: Any = {
        "type": "object",
        "properties": {f"p{number}": {"type": "string"} for number in range(5_000)},
    }
    doubling: Any = {"$defs": {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}}
    looped = doubling | {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}}
    assert "p0" in tell({"p0": "x"}, shape_of(many), None)[0]
    assert tell({"p4999": "x"}, shape_of(many), None)[1]
    assert tell({"x": "x"}, shape_of(looped), None)[1]
    value: Any = "x"
    for _ in range(60):
        value = {"y": value}
    assert tell({"x": value}, shape_of(schema(deep)), None)[1]


def test_counts_keys_and_nulls_are_told_by_pointer_whatever_the_schema_says() -> None:
    given: Any = {"to": ["a", "a"], "e/nv": {"A~": None, "b": []}, "none": None}
    counts, keys, nulls = (tell_beside(given, name, None) for name in ("counts", "keys", "nulls"))
    assert counts == {"arguments/to": 2, "arguments/e~1nv/b": 0}
    assert keys == {"arguments": ["to", "e/nv", "none"], "arguments/e~1nv": ["A~", "b"]}
    assert nulls == ["arguments/e~1nv/A~0", "arguments/none"]
    assert tell_beside(given, "counts", {"arguments/to": None, "arguments/x": {}}) == {"arguments/to": 2}


PAGE = (ROOT / "docs/reference/policy-mapping.md").read_text(encoding="utf-8")


def test_every_example_of_the_page_is_a_condition_that_can_be_written() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    examples = [row[2].strip("` ") for row in rows if len(row) == 3 and row[2].startswith("`context.")]
    assert len(examples) >= 12
    for number, one in enumerate(examples):
        CedarPolicyEngine(f'@id("p{number}") forbid (principal, action, resource) when {{ {one} }};')
