from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.scope import (
    Covered,
    NotCovered,
    ScopeSyntaxError,
    cover,
    describe,
    initial_limits,
    parse_scope,
    tools_of,
)

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

Json = dict[str, "JsonValue"]


def step(name: str, *tools: str, **members: JsonValue) -> Json:
    return {"name": name, "grants": [{"tool": tool} for tool in tools], **members}


def scope(*steps: Json) -> Json:
    return {"steps": list(steps)}


THREE = scope(
    step("read", "a__read"), step("write", "a__write", keep=True), step("send", "a__send", keep=False)
)


def covering(written: Json, tool: str, at: int) -> tuple[str, ...]:
    match cover(parse_scope(written), tool, {}, None, step=at):
        case Covered(payers=payers):
            return tuple(payer.grant for payer in payers)
        case NotCovered():
            return ()


def where_of(written: JsonValue) -> str:
    with pytest.raises(ScopeSyntaxError) as caught:
        parse_scope(written)
    return caught.value.where


def test_a_step_has_its_own_grants_and_those_before_it_only_when_it_keeps_them() -> None:
    table = [[covering(THREE, f"a__{tool}", at) for tool in ("read", "write", "send")] for at in range(3)]
    assert table == [[("g0",), (), ()], [("g0",), ("g1",), ()], [(), (), ("g2",)]]


def test_a_step_keeps_what_was_in_force_and_not_what_was_dropped() -> None:
    written = scope(step("a", "a__a"), step("b", "a__b"), step("c", "a__c", keep=True))
    assert [covering(written, f"a__{tool}", 2) for tool in "abc"] == [(), ("g1",), ("g2",)]


@pytest.mark.parametrize("at", [-1, 3, 99])
def test_in_a_step_that_is_not_there_nothing_is_in_force(at: int) -> None:
    assert [covering(THREE, f"a__{tool}", at) for tool in ("read", "write", "send")] == [(), (), ()]
    assert parse_scope(THREE).at(at).grants == ()


def test_a_task_that_entered_no_step_is_in_the_first() -> None:
    assert isinstance(cover(parse_scope(THREE), "a__read", {}, None), Covered)
    assert isinstance(cover(parse_scope(THREE), "a__write", {}, None), NotCovered)


def test_a_scope_without_steps_has_one() -> None:
    plain = parse_scope({"grants": [{"tool": "a__b"}]})
    assert [len(plain.at(at).grants) for at in (0, 1)] == [1, 0]


def test_a_refusal_tells_the_tools_of_the_step() -> None:
    found = cover(parse_scope(THREE), "a__read", {}, None, step=2)
    assert isinstance(found, NotCovered)
    assert found.tools == ("a__send",)


def test_all_steps_have_their_limits_tools_and_words() -> None:
    limited: Json = {"name": "b", "grants": [{"tool": "a__b", "uses": 2}]}
    found = parse_scope(scope(step("a", "a__a"), limited))
    assert initial_limits(found) == {"g1/uses": 2}
    assert tools_of(found) == {"a__a", "a__b"}
    assert describe(parse_scope(THREE))[1].startswith(
        "in step `write`, and what the step before could: g1: may call"
    )


def test_steps_have_a_form_of_their_own_in_which_no_keep_is_left_out() -> None:
    found = parse_scope(THREE)
    assert found.value() == scope(
        step("read", "a__read"), step("write", "a__write", keep=True), step("send", "a__send")
    )
    assert parse_scope(found.value()) == found
    assert found != parse_scope({"grants": [{"tool": "a__read"}, {"tool": "a__write"}, {"tool": "a__send"}]})


def test_the_same_grant_may_stand_in_two_steps_that_are_not_in_force_together() -> None:
    parse_scope(scope(step("a", "a__x"), step("b", "a__x")))
    assert where_of(scope(step("a", "a__x"), step("b", "a__x", keep=True))) == "steps[1].grants[0]"


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ({"steps": []}, "steps"),
        (scope(step("a", "a__x")), "steps"),
        (scope(*(step(f"s{at}", "a__x") for at in range(17))), "steps"),
        ({"steps": [step("a", "a__x"), step("b", "a__x")], "grants": []}, "grants"),
        (scope(step("a", "a__x"), step("a", "a__y")), "steps[1].name"),
        (scope(step("A", "a__x"), step("b", "a__y")), "steps[0].name"),
        (scope(step("1a", "a__x"), step("b", "a__y")), "steps[0].name"),
        (scope(step("a" * 65, "a__x"), step("b", "a__y")), "steps[0].name"),
        (scope(step("a", "a__x", keep=True), step("b", "a__y")), "steps[0].keep"),
        (scope(step("a", "a__x"), step("b", "a__y", keep=1)), "steps[1].keep"),
        (scope(step("a", "a__x"), step("b")), "steps[1].grants"),
        (scope(step("a", "a__x"), {"name": "b"}), "steps[1].grants"),
        (scope(step("a", "a__x"), step("b", "a__y", after="a")), "steps[1].after"),
        (scope(step("a", "a__x"), step("b", *(f"a__t{at}" for at in range(1000)))), "steps"),
    ],
)
def test_steps_that_are_written_wrong_are_refused_at_their_place(written: JsonValue, where: str) -> None:
    assert where_of(written) == where
