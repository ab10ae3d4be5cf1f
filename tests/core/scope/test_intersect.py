from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.scope import Covered, Scope, cover, parse_scope
from taskbound.core.scope.algebra import Covers, covers, intersect
from tests.core.scope.family import call, canonical_pair, pair, seeded

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

TIMES = 20
UNWRITTEN = ("can't be joined", "[*]", "left of a limit")
"""What two grants may both permit and no grant can say."""


@pytest.mark.timeout(300)
@settings(max_examples=500, deadline=None)
@given(start=st.integers(0, 2**40))
def test_i08_what_comes_out_is_covered_by_both(start: int) -> None:
    for seed in range(start * TIMES, start * TIMES + TIMES):
        chance = seeded(seed)
        two = pair(chance)
        found = intersect(two.parent, two.child)
        if found.scope is not None:
            assert isinstance(covers(two.parent, found.scope), Covers), canonical_pair(two)
            assert isinstance(covers(two.child, found.scope), Covers), canonical_pair(two)
            for _ in range(4):
                tool, arguments, schema = call(chance, found.scope)
                if isinstance(cover(found.scope, tool, arguments, schema), Covered):
                    assert isinstance(cover(two.parent, tool, arguments, schema), Covered)
                    assert isinstance(cover(two.child, tool, arguments, schema), Covered)


@pytest.mark.timeout(300)
@settings(max_examples=300, deadline=None)
@given(start=st.integers(0, 2**40))
def test_a_call_that_two_grants_cover_without_a_schema_is_covered_by_what_comes_out(start: int) -> None:
    for seed in range(start * TIMES, start * TIMES + TIMES):
        chance = seeded(seed)
        two = pair(chance)
        for one in two.parent.grants:
            for other in two.child.by_tool.get(one.tool, ()):
                found = intersect(Scope(grants=(one,)), Scope(grants=(other,)))
                if any(part in dropped.reason for part in UNWRITTEN for dropped in found.dropped):
                    continue
                tool, arguments, _ = call(chance, Scope(grants=(one,)))
                both = all(
                    isinstance(cover(Scope(grants=(grant,)), tool, arguments, None), Covered)
                    for grant in (one, other)
                )
                if both:
                    assert found.scope is not None, canonical_pair(two)
                    assert isinstance(cover(found.scope, tool, arguments, None), Covered), canonical_pair(two)


def test_a_limit_that_meets_two_grants_is_given_out_once() -> None:
    one = parse_scope({"grants": [{"tool": "a__x", "arguments": {"p": {"any": True}}, "uses": 5}]})
    two = parse_scope(
        {
            "grants": [
                {"tool": "a__x", "arguments": {"p": {"equals": 1}}, "uses": 3},
                {"tool": "a__x", "arguments": {"p": {"equals": 2}}, "uses": 3},
            ]
        }
    )
    found = intersect(one, two).scope
    assert found is not None
    assert [grant.uses for grant in found.grants] == [3, 2]


def test_two_ranges_meet_in_one_and_what_is_not_mentioned_is_left_out() -> None:
    first: JsonValue = {
        "tool": "a__x",
        "arguments": {"n": {"range": {"min": 1}}, "m": {"equals": 2}},
        "optional": ["m"],
    }
    second: JsonValue = {"tool": "a__x", "arguments": {"n": {"range": {"max": 5}}}}
    found = intersect(
        parse_scope({"grants": [first]}),
        parse_scope({"grants": [second]}),
    ).scope
    assert found is not None
    assert found.value() == {
        "grants": [
            {
                "tool": "a__x",
                "arguments": {"m": {"absent": True}, "n": {"range": {"min": 1, "max": 5}}},
                "optional": ["m"],
            }
        ]
    }


def test_of_scopes_in_steps_only_what_the_first_step_permits_comes_out() -> None:
    steps = parse_scope(
        {
            "steps": [
                {"name": "read", "grants": [{"tool": "git__log"}]},
                {"name": "write", "grants": [{"tool": "git__commit"}]},
            ]
        }
    )
    flat = parse_scope({"grants": [{"tool": "git__log"}, {"tool": "git__commit"}]})
    for one, two in ((steps, flat), (flat, steps)):
        found = intersect(one, two).scope
        assert found is not None
        assert [grant.tool for grant in found.grants] == ["git__log"]
        assert isinstance(covers(steps, found), Covers)


def test_what_a_list_can_not_have_below_is_told_as_what_can_not_be_joined() -> None:
    one = parse_scope({"grants": [{"tool": "a__x", "arguments": {"p.k": {"contains": {"equals": "a"}}}}]})
    below: JsonValue = {
        "tool": "a__x",
        "arguments": {"p.k.l": {"any": True}},
        "optional": ["p.k.l"],
        "others": "any",
    }
    found = intersect(parse_scope({"grants": [below]}), one)
    assert found.scope is None
    (dropped,) = found.dropped
    assert dropped.reason.endswith("the rule of the one and what the other asks for below it can't be joined")


def test_i08_a_place_of_which_both_permit_nothing_is_not_left_to_its_default() -> None:
    two = pair(seeded(3_124_092))
    found = intersect(two.parent, two.child).scope
    assert found is not None
    assert isinstance(covers(two.parent, found), Covers)
    assert isinstance(covers(two.child, found), Covers)
