from __future__ import annotations

from typing import Any

import pytest

from taskbound.core.policy import (
    FACTS,
    BadCaseError,
    Forbidden,
    Held,
    Permitted,
    PolicyConclusion,
    PolicyTool,
    parse_cases,
    request_of,
)

CASE: dict[str, Any] = {"name": "one", "agent": "helper", "tool": "fs__read", "expect": "permit"}
TOOL = PolicyTool(
    namespace="default", name="fs__read", server="fs", schema={}, effect="read", open_world=False
)


def one(**more: Any) -> Any:
    return parse_cases({"cases": [{**CASE, **more}]})[0]


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ([], ""),
        ({}, "cases"),
        ({"cases": []}, "cases"),
        ({"cases": [1]}, "cases[0]"),
        ({"cases": [{}]}, "cases[0]"),
        ({"cases": [{**CASE, "expcet": "hold"}]}, "cases[0].expcet"),
        ({"cases": [CASE, CASE]}, "cases[1].name"),
        ({"cases": [{**CASE, "name": "a\nb"}]}, "cases[0].name"),
        ({"cases": [{**CASE, "arguments": []}]}, "cases[0].arguments"),
        ({"cases": [{**CASE, "facts": {"effekt": "read"}}]}, "cases[0].facts.effekt"),
        ({"cases": [{**CASE, "facts": {"attempt": True}}]}, "cases[0].facts.attempt"),
        ({"cases": [{**CASE, "facts": {"covered": 1}}]}, "cases[0].facts.covered"),
        ({"cases": [{**CASE, "facts": {"task.age": "1"}}]}, 'cases[0].facts["task.age"]'),
        ({"cases": [{**CASE, "facts": {"flags": "bidi"}}]}, "cases[0].facts.flags"),
        ({"cases": [{**CASE, "expect": "allow"}]}, "cases[0].expect"),
        ({"cases": [{**CASE, "expect": {"permit": None, "hold": None}}]}, "cases[0].expect"),
        ({"cases": [{**CASE, "expect": {"refuse": "no"}}]}, "cases[0].expect.refuse"),
        ({"cases": [{**CASE, "expect": {"permit": ["a"]}}]}, "cases[0].expect.permit"),
        ({"cases": [{**CASE, "expect": {"hold": "confirm"}}]}, "cases[0].expect.hold"),
        ({"cases": [{**CASE, "scope": []}]}, "cases[0].scope"),
        ({"cases": [{**CASE, "scope": {"grants": [{"tool": 1}]}}]}, "cases[0].scope.grants[0].tool"),
        ({"cases": [{**CASE, "expect": {"refuse": "outside-scope"}}]}, "cases[0].expect.refuse"),
    ],
)
def test_what_is_no_case_is_refused_with_its_place(value: Any, where: str) -> None:
    with pytest.raises(BadCaseError) as caught:
        parse_cases(value)
    assert caught.value.where == where


PERMIT = Permitted(policies=("p",))
HOLD = Held(policies=("h",), lifters=("confirm",))
REFUSE = Forbidden(code="forbidden", policies=("f",))


@pytest.mark.parametrize(
    ("expect", "found", "kept"),
    [
        ("permit", PERMIT, True),
        ("permit", HOLD, False),
        ("permit", REFUSE, False),
        ("hold", HOLD, True),
        ("hold", PERMIT, False),
        ({"hold": ["confirm"]}, HOLD, True),
        ({"hold": ["approval:two"]}, HOLD, False),
        ("refuse", REFUSE, True),
        ("refuse", HOLD, False),
        ({"refuse": "forbidden"}, REFUSE, True),
        ({"refuse": "policy-erred"}, REFUSE, False),
        ({"refuse": None, "policies": ["f"]}, REFUSE, True),
        ({"refuse": None, "policies": ["g"]}, REFUSE, False),
        ({"permit": None, "policies": ["p", "q"]}, PERMIT, False),
    ],
)
def test_a_case_passes_only_when_all_that_it_says_is_so(
    expect: Any, found: PolicyConclusion, *, kept: bool
) -> None:
    assert (one(expect=expect).expect.missed(found) == "") is kept


def test_a_case_gives_every_fact_and_its_own_count() -> None:
    request = request_of(one(facts={"task.age": 7, "flags": ["tag", "bidi"]}), TOOL)
    assert request.facts.keys() == FACTS.keys()
    assert request.facts["task.age"] == 7
    assert request.facts["flags"] == ("bidi", "tag")
    assert (request.facts["effect"], request.facts["tool.open_world"]) == ("read", False)


def test_a_tool_of_which_nothing_is_known_is_the_worst_of_its_kind() -> None:
    bare = PolicyTool(namespace="default", name="fs__read", server="fs", schema={})
    facts = request_of(one(), bare).facts
    assert (facts["effect"], facts["tool.open_world"]) == ("destructive", True)
