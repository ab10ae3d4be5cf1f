"""Every kind of bad input that a scope can be: one clear error each, at its place, in bounded time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.core.scope import NotCovered, cover, parse_scope
from taskbound.wire.document import read_document


def grants(**arguments: Any) -> dict[str, Any]:
    return {"grants": [{"tool": "a__b", "arguments": arguments}]}


def nested(depth: int) -> dict[str, Any]:
    body: dict[str, Any] = {"any": True}
    for _ in range(depth):
        body = {"all_of": [body, {"any": True}]}
    return grants(x=body)


BAD: dict[str, tuple[Any, str]] = {
    "empty": ({}, ""),
    "empty, without grants": ({"grants": []}, "grants"),
    "empty, a choice of nothing": (grants(x={"one_of": []}), "grants[0].arguments.x.one_of"),
    "huge, by grants": ({"grants": [{"tool": f"a__b{n}"} for n in range(1_001)]}, "grants"),
    "huge, by arguments": (
        grants(**{f"x{n}": {"any": True} for n in range(257)}),
        "grants[0].arguments",
    ),
    "huge, by values": (grants(x={"one_of": list(range(1_001))}), "grants[0].arguments.x.one_of"),
    "contradictory, a range": (
        grants(x={"range": {"min": 2, "max": 1}}),
        "grants[0].arguments.x.range",
    ),
    "contradictory, a path that is object and list": (
        grants(**{"x.y": {"any": True}, "x[].y": {"any": True}}),
        "grants[0].arguments",
    ),
    "contradictory, the same twice": ({"grants": [{"tool": "a__b"}, {"tool": "a__b"}]}, "grants[1]"),
    "a name that looks like another": ({"grants": [{"tool": "a__\u0430"}]}, "grants[0].tool"),
    "a member that looks like another": ({"gr\u0430nts": [{"tool": "a__b"}]}, ""),
    "a constraint that is a regular expression": (
        grants(x={"regex": "(a+)+$"}),
        "grants[0].arguments.x",
    ),
}
"""By kind: the value, and where the error is, or begins."""


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_scope_that_is_bad_is_one_clear_error_at_its_place(kind: str) -> None:
    value, where = BAD[kind]
    with pytest.raises(TaskboundError) as caught:
        parse_scope(value)
    assert caught.value.code == "scope-syntax"
    assert caught.value.where.startswith(where)
    assert 0 < len(caught.value.message) < 500


@pytest.mark.timeout(20)
def test_a_scope_that_is_nested_too_deeply_is_one_clear_error() -> None:
    for depth in (70, 20_000):
        raw = b'{"grants":[{"tool":"a__b","arguments":{"x":' + b'{"all_of":[' * depth
        raw += b'{"any":true}' + b"]}" * depth + b"}}]}"
        with pytest.raises(TaskboundError) as caught:
            parse_scope(raw)
        assert caught.value.code == "scope-syntax"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "grants: &g\n  - tool: a__b\n    arguments: *g\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "grants: [{tool: a__b, <<: {others: any}}]\n",
    ],
    ids=["a cycle", "a cycle through grants", "a bomb", "a merge"],
)
def test_yaml_that_names_itself_or_grows_is_one_clear_error(text: str) -> None:
    with pytest.raises(TaskboundError) as caught:
        read_document(text.encode(), "scope.yaml")
    assert caught.value.where.startswith("scope.yaml:")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["*" * 240, "***"])
def test_a_glob_of_nothing_but_stars_is_one_clear_error(pattern: str) -> None:
    with pytest.raises(TaskboundError) as caught:
        parse_scope(grants(x={"glob": pattern}))
    assert caught.value.where == "grants[0].arguments.x.glob"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["**/" * 60 + "b", "*a" * 120 + "*b", "?*" * 100 + "b"])
def test_a_glob_made_to_blow_up_is_answered_in_bounded_time(pattern: str) -> None:
    scope = parse_scope(grants(x={"glob": pattern}))
    for value in ("a" * 50_000, "a/" * 25_000):
        assert isinstance(cover(scope, "a__b", {"x": value}, None), NotCovered)


def test_every_bad_scope_is_bad_as_bytes_as_well() -> None:
    for value, _ in BAD.values():
        with pytest.raises(TaskboundError):
            parse_scope(json.dumps(value).encode())
