from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.scope import Covered, cover, initial_limits, parse_scope
from taskbound.core.scope.algebra import Carved, Covers, Direction, NotCovers, carve, covers, difference
from tests.core.scope.family import canonical_pair, pair, seeded

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope import Scope


def scope(*grants: JsonValue) -> Scope:
    return parse_scope({"grants": list(grants)})


SMALL: JsonValue = {"tool": "pay__send", "arguments": {"amount": {"range": {"max": 50}}}, "uses": 2}
LARGE: JsonValue = {"tool": "pay__send", "arguments": {"amount": {"range": {"max": 500}}}, "uses": 2}
OFTEN: JsonValue = {"tool": "pay__send", "arguments": {"amount": {"range": {"max": 50}}}, "uses": 9}


@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [
        (scope(SMALL), scope(SMALL), Direction.SAME),
        (scope(LARGE), scope(SMALL), Direction.NARROWER),
        (scope(SMALL), scope(LARGE), Direction.WIDER),
        (scope(SMALL), scope(OFTEN), Direction.WIDER),
        (scope(LARGE), scope(OFTEN), Direction.OTHER),
        (scope(SMALL), scope({"tool": "git__log"}), Direction.OTHER),
        (scope(SMALL), scope(SMALL, {"tool": "git__log"}), Direction.WIDER),
    ],
)
def test_the_direction_of_an_amendment_counts_arguments_and_limits(
    old: Scope, new: Scope, direction: Direction
) -> None:
    assert difference(old, new).direction is direction


def test_a_widened_grant_is_told_with_what_is_between_and_an_example() -> None:
    found = difference(scope(SMALL), scope(LARGE))
    (change,) = found.added
    assert change.against is not None
    assert [gap.sentence for gap in change.gaps] == ["`amount`: its largest number is above the other's"]
    assert change.example is not None
    assert isinstance(cover(scope(LARGE), "pay__send", change.example, None), Covered)
    assert not isinstance(cover(scope(SMALL), "pay__send", change.example, None), Covered)
    assert found.removed == ()


def test_other_arguments_that_were_opened_are_shown_by_an_example() -> None:
    found = difference(scope({"tool": "a__x"}), scope({"tool": "a__x", "others": "any"}))
    assert found.added[0].example == {"another": "x"}


@pytest.mark.timeout(240)
@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**60))
def test_a_difference_says_what_covers_says_and_its_examples_are_true(seed: int) -> None:
    two = pair(seeded(seed))
    found = difference(two.parent, two.child)
    narrower = isinstance(covers(two.parent, two.child), Covers)
    assert narrower == (found.direction in {Direction.SAME, Direction.NARROWER}), canonical_pair(two)
    for change in found.added:
        if change.example is not None:
            tool = change.grant.tool
            assert isinstance(cover(two.child, tool, change.example, None), Covered)
            assert not isinstance(cover(two.parent, tool, change.example, None), Covered)


def test_a_carve_takes_at_once_what_the_child_may_ever_take() -> None:
    total: JsonValue = {"amount": {"limit": 1000, "exponent": 2}}
    parent = scope({"tool": "pay__send", "arguments": {"amount": {"any": True}}, "uses": 10, "total": total})
    child = scope(
        {
            "tool": "pay__send",
            "arguments": {"amount": {"any": True}},
            "uses": 4,
            "total": {"amount": {"limit": 3, "exponent": 0}},
        }
    )
    carved = carve(parent, {"g0/uses": 7, "g0/total/amount": 900}, child)
    assert isinstance(carved, Carved)
    assert carved.limits == initial_limits(child)
    assert carved.taken == {"g0/uses": (7, 3), "g0/total/amount": (900, 600)}


def test_i08_children_of_children_never_hold_more_than_their_parent_had() -> None:
    parent = scope({"tool": "a__x", "arguments": {"p": {"any": True}}, "uses": 5})
    left, held = dict(initial_limits(parent)), 0
    for uses in (2, 2, 2):
        child = scope({"tool": "a__x", "arguments": {"p": {"equals": uses}}, "uses": uses})
        carved = carve(parent, left, child)
        if isinstance(carved, Carved):
            held += uses
            left.update({limit: after for limit, (_, after) in carved.taken.items()})
    assert held == 4
    assert left == {"g0/uses": 1}


def test_a_child_that_asks_for_more_than_is_left_carves_nothing() -> None:
    parent = scope({"tool": "a__x", "uses": 5})
    assert isinstance(carve(parent, {"g0/uses": 1}, scope({"tool": "a__x", "uses": 2})), NotCovers)


def test_scopes_in_steps_that_are_one_have_no_difference() -> None:
    steps: JsonValue = {
        "steps": [
            {"name": "read", "grants": [{"tool": "git__log"}]},
            {"name": "write", "keep": True, "grants": [{"tool": "git__commit", "uses": 1}]},
        ]
    }
    found = difference(parse_scope(steps), parse_scope(steps))
    assert (found.direction, found.added, found.removed) == (Direction.SAME, (), ())
