from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.action.canonical import canonical
from taskbound.core.scope import parse_scope
from taskbound.core.scope.algebra import Covers, Gap, NotCovers, containment, covers, places
from taskbound.core.scope.constraints.below import Below, Prefix
from taskbound.core.scope.constraints.choice import Equals
from taskbound.core.scope.constraints.constraint import CONTAINED
from taskbound.core.scope.constraints.range import Range
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from tests.core.scope.family import BODIES, canonical_pair, cut, kin, pair, seeded, stepped, timed
from tests.core.scope.obvious import GRANTS, RULES
from tests.core.scope.replay import search_kin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope import Grant, Scope
    from tests.core.scope.family import Aimed, Pair

PAIRS = 50
EXAMPLES = 800
"""At least 40,000 pairs in all; dev/soak compares 10,000,000."""
BUDGET = 20_000
"""Pairs within which each planted fault is found: half of what runs here."""


def scope(*grants: JsonValue) -> Scope:
    return parse_scope({"grants": list(grants)})


@pytest.mark.timeout(600)
@settings(max_examples=EXAMPLES, deadline=None)
@given(first=st.integers(0, 2**40))
def test_i08_whatever_a_covered_child_permits_is_permitted_by_a_share_of_its_parent(first: int) -> None:
    search_kin(first, PAIRS)


def test_the_aimed_pairs_are_often_covered_and_often_not() -> None:
    answers = [covers(two.parent, two.child) for two in (pair(seeded(seed)) for seed in range(2_000))]
    covered = sum(isinstance(one, Covers) for one in answers)
    assert 400 < covered < 1_600


def test_of_the_pairs_of_kin_many_are_covered() -> None:
    compared, covered = search_kin(0, 5_000)
    assert 1 / 8 < covered / compared < 1 / 2


def test_the_pairs_in_steps_are_often_covered_and_often_not() -> None:
    compared, covered = search_kin(0, 2_000, stepped)
    assert 1 / 20 < covered / compared < 1 / 2


def test_the_aimed_pairs_hold_every_constraint_that_a_scope_can_name() -> None:
    assert BODIES.keys() == CONSTRAINTS.keys()


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**60))
def test_a_scope_covers_itself(seed: int) -> None:
    two = pair(seeded(seed))
    assert isinstance(covers(two.parent, two.parent), Covers), canonical_pair(two)


Fault: TypeAlias = "Callable[[pytest.MonkeyPatch], None]"


def plant(where: object, name: str, make: Callable[[Any], Any]) -> Fault:
    """Put what `make` makes of the true function in its place."""

    def fault(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(where, name, make(getattr(where, name)))

    return fault


def _true(_: object) -> object:
    return lambda *_: CONTAINED


def _cut_lists(_: object) -> object:
    def cuts(child: Grant) -> object:
        for path, rule in child.arguments:
            values = rule.choices() or ()
            if len(values) > 1:
                yield path, tuple(Equals(expected=value) for value in values)

    return cuts


def _first_of_pair(most: Any) -> object:
    return lambda some: {**most(some), **{(one.grant.id, one.within[0].id): {} for one in some}}


FAULTS: dict[str, Fault] = {
    "a path below a directory is compared as a text": plant(
        Below,
        "known_within",
        lambda true: (
            lambda self, other: (
                CONTAINED
                if isinstance(other, Below) and self.directory.startswith(other.directory)
                else true(self, other)
            )
        ),
    ),
    "the end of a range is not compared": plant(
        Range,
        "known_within",
        lambda true: (
            lambda self, other: true(replace(self, max=self.min if self.min is not None else -9), other)
        ),
    ),
    "a prefix is within any other prefix": plant(
        Prefix,
        "known_within",
        lambda true: lambda self, other: CONTAINED if isinstance(other, Prefix) else true(self, other),
    ),
    "a prefix is within what is below a directory": plant(
        Prefix,
        "known_within",
        lambda true: lambda self, other: CONTAINED if isinstance(other, Below) else true(self, other),
    ),
    "a whole rule is not compared": plant(places, "_rule_within", _true),
    "items are not compared": plant(places, "_items_within", _true),
    "known values are not tried": plant(places, "_values_within", _true),
    "what the other constrains may be left out": plant(
        places, "_takes_all", lambda true: lambda node: node.is_leaf or true(node)
    ),
    "a place may be anything where the other asks for an object": plant(
        places, "_is_always", lambda _: lambda *_: True
    ),
    "required is not compared": plant(
        places,
        "_member_within",
        lambda true: (
            lambda name, child, parent: true(
                name,
                child,
                replace(
                    parent,
                    members={key: replace(node, required=False) for key, node in parent.members.items()},
                ),
            )
        ),
    ),
    "an argument that the other doesn't mention is let pass": plant(
        places,
        "_member_within",
        lambda true: (
            lambda name, child, parent: CONTAINED if name not in parent.members else true(name, child, parent)
        ),
    ),
    "others: any is within default-only": plant(
        containment,
        "members_within",
        lambda true: lambda child, parent: true(replace(child, closed=True), parent),
    ),
    "a list is cut by its items": plant(containment, "_cuts", _cut_lists),
    "uses are not compared": plant(
        containment,
        "takes",
        lambda true: lambda child, parent, **more: true(child, replace(parent, uses=None), **more),
    ),
    "half of what is taken is counted": plant(
        containment,
        "takes",
        lambda true: (
            lambda child, parent, **more: (
                found
                if isinstance(found := true(child, parent, **more), Gap)
                else {limit: amount // 2 for limit, amount in found.items()}
            )
        ),
    ),
    "the decimal places of totals are not compared": plant(places, "power_of_ten", lambda _: lambda _: 1),
    "known amounts are taken once, whatever the uses": plant(
        places,
        "_amount",
        lambda true: lambda child, *more: true(replace(child, uses=child.uses and 1), *more),
    ),
    "a rate that is shared is taken for one that is not": plant(
        places,
        "_uses",
        lambda true: (
            lambda child, rate, **_: (
                found
                if isinstance(found := true(child, rate, whole=True), Gap)
                else min(found, child.rates[0].uses)
            )
        ),
    ),
    "the currency is not compared": plant(places, "_said", lambda _: lambda *_: None),
    "a text counts as a number": plant(
        places,
        "_amount",
        lambda true: lambda child, total, codes: true(child, replace(total, text=True), codes),
    ),
    "of a parent in steps every grant may contain it": plant(
        sys.modules[covers.__module__],
        "_candidates",
        lambda _: lambda parent, _child, grant, _step: parent.by_tool.get(grant.tool, ()),
    ),
    "a copy's grants are not looked for in their step": plant(
        sys.modules[covers.__module__],
        "_alike",
        lambda true: lambda parent, child, step: true(replace(parent, steps=()), child, step),
    ),
    "the last step alone says which grants may contain it": plant(
        sys.modules[covers.__module__],
        "_candidates",
        lambda _: lambda parent, _child, grant, _step: parent.in_force[-1].by_tool.get(grant.tool, ()),
    ),
    "limits are not moved": plant(containment, "_move", lambda _: lambda *_: None),
    "the first piece says what all pieces take": plant(containment, "_most", _first_of_pair),
}


MAKERS: dict[str, Callable[[Aimed], Iterable[Pair]]] = {
    "a list is cut by its items": lambda chance: [cut(chance)],
    "a rate that is shared is taken for one that is not": lambda chance: [timed(chance)],
    "a copy's grants are not looked for in their step": stepped,
}
"""Pairs that are of the fault's own kind, which the mix holds seldom."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FAULTS[fault](monkeypatch)
    with pytest.raises(AssertionError, match="parent"):
        search_kin(0, BUDGET, MAKERS.get(fault, kin))


def test_a_grant_is_covered_piece_by_piece() -> None:
    parent = scope(
        {"tool": "pay__send", "arguments": {"to": {"equals": "acme"}}},
        {"tool": "pay__send", "arguments": {"to": {"equals": "bob"}}, "uses": 3},
    )
    child = scope({"tool": "pay__send", "arguments": {"to": {"one_of": ["acme", "bob"]}}, "uses": 2})
    answer = covers(parent, child)
    assert isinstance(answer, Covers)
    assert answer.left == {"g1/uses": 1}
    assert [(one.child, one.parent) for one in answer.shares] == [("g0", "g0"), ("g0", "g1")]


def test_limits_are_shared_out_so_that_all_find_a_place() -> None:
    parent = scope(
        {"tool": "a__x", "arguments": {"p": {"any": True}}, "uses": 2},
        {"tool": "a__x", "arguments": {"p": {"one_of": [1, 2]}}, "uses": 2},
    )
    child = scope(
        {"tool": "a__x", "arguments": {"p": {"equals": 1}}, "uses": 2},
        {"tool": "a__x", "arguments": {"p": {"equals": 9}}, "uses": 2},
    )
    assert isinstance(covers(parent, child), Covers)


def test_two_children_grants_never_take_one_limit_twice() -> None:
    parent = scope({"tool": "a__x", "arguments": {"p": {"any": True}}, "uses": 3})
    child = scope(
        {"tool": "a__x", "arguments": {"p": {"equals": 1}}, "uses": 2},
        {"tool": "a__x", "arguments": {"p": {"equals": 2}}, "uses": 2},
    )
    answer = covers(parent, child)
    assert isinstance(answer, NotCovers)
    (sentence,) = answer.sentences
    assert sentence.startswith("grant g1 (`a__x`) is wider than g0, which came nearest: ")
    assert sentence.endswith("it may take more of the other's limit than is left")


def test_what_is_left_now_counts_and_not_what_was_given() -> None:
    parent = scope({"tool": "a__x", "uses": 3})
    child = scope({"tool": "a__x", "uses": 2})
    assert isinstance(covers(parent, child, left={"g0/uses": 2}), Covers)
    assert isinstance(covers(parent, child, left={"g0/uses": 1}), NotCovers)
    assert isinstance(covers(parent, child, left={}), NotCovers)


def test_every_grant_that_is_not_covered_is_told_with_its_nearest() -> None:
    parent = scope({"tool": "a__x", "arguments": {"p": {"range": {"max": 5}}, "q": {"equals": 1}}})
    child = scope(
        {"tool": "a__x", "arguments": {"p": {"range": {"max": 9}}, "q": {"equals": 1}}}, {"tool": "b__y"}
    )
    answer = covers(parent, child)
    assert isinstance(answer, NotCovers)
    first, second = answer.sentences
    assert first.startswith("grant g0 (`a__x`) is wider than g0, which came nearest: ")
    assert first.endswith("`p`: its largest number is above the other's")
    assert second == "grant g1 (`b__y`): no grant of the other names the tool"


def test_two_scopes_of_a_thousand_grants_each_are_compared_within_the_budget() -> None:
    wide: list[JsonValue] = [{"tool": "a__x", "arguments": {"p": {"equals": n}}} for n in range(1000)]
    narrow: list[JsonValue] = [
        {"tool": "a__x", "arguments": {"p": {"range": {"min": n}}}} for n in range(1000)
    ]
    parent, child = scope(*wide), scope(*narrow)
    answer = covers(parent, child)
    assert isinstance(answer, NotCovers)
    assert "too large to compare within 50000 steps" in answer.sentences[-1]


def _rows() -> Iterator[tuple[str, list[JsonValue], list[JsonValue]]]:
    for wide, narrows in RULES:
        for narrow in narrows:
            name = f"{canonical(narrow).decode()} within {canonical(wide).decode()}"
            yield (
                name,
                [{"tool": "a__x", "arguments": {"p": narrow}}],
                [{"tool": "a__x", "arguments": {"p": wide}}],
            )
    for name, narrow_grants, wide_grants in GRANTS:
        yield name, list(narrow_grants), list(wide_grants)


ROWS = tuple(_rows())


@pytest.mark.parametrize(("narrow", "wide"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_a_person_finds_obvious_is_covered(narrow: list[JsonValue], wide: list[JsonValue]) -> None:
    answer = covers(scope(*wide), scope(*narrow))
    assert isinstance(answer, Covers), answer.sentences


def test_the_table_of_the_obvious_has_two_hundred_rows_none_of_them_twice() -> None:
    said = {canonical([narrow, wide]) for _, narrow, wide in ROWS}
    assert len(said) == len(ROWS) >= 200


def test_a_scope_of_a_thousand_grants_covers_itself() -> None:
    wide: list[JsonValue] = [{"tool": "a__x", "arguments": {"p": {"equals": n}}} for n in range(1000)]
    assert isinstance(covers(scope(*wide), scope(*wide)), Covers)


STEPS: JsonValue = {
    "steps": [
        {"name": "read", "grants": [{"tool": "git__log"}, {"tool": "git__diff"}]},
        {"name": "write", "keep": True, "grants": [{"tool": "git__commit", "uses": 1}]},
        {"name": "close", "grants": [{"tool": "git__log"}]},
    ]
}


def test_scopes_in_steps_are_compared_step_by_step() -> None:
    steps = parse_scope(STEPS)
    assert isinstance(covers(steps, steps), Covers)
    early = parse_scope(
        {
            "steps": [
                {"name": "read", "grants": [{"tool": "git__log"}]},
                {"name": "write", "grants": [{"tool": "git__diff"}]},
                {"name": "close", "grants": [{"tool": "git__log"}]},
            ]
        }
    )
    assert isinstance(covers(steps, early), Covers)
    moved = parse_scope(
        {
            "steps": [
                {"name": "read", "grants": [{"tool": "git__commit", "uses": 1}]},
                {"name": "write", "grants": [{"tool": "git__log"}]},
                {"name": "close", "grants": [{"tool": "git__log"}]},
            ]
        }
    )
    assert isinstance(covers(steps, moved), NotCovers)


def test_of_a_parent_in_steps_the_step_that_it_is_in_counts() -> None:
    steps, commit = parse_scope(STEPS), scope({"tool": "git__commit", "uses": 1})
    assert isinstance(covers(steps, commit), NotCovers)
    assert isinstance(covers(steps, commit, step=1), Covers)
    assert isinstance(covers(steps, commit, step=2), NotCovers)
    assert isinstance(covers(steps, commit, step=3), NotCovers)
