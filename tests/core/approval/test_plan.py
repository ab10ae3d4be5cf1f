from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.action import ActionState, canonical, parse_object
from taskbound.core.approval import (
    ApprovalEvent,
    BadPlanError,
    NeedKind,
    Plan,
    PlanRefusedError,
    Question,
    UnreadablePlanError,
    UnreadableQuestionError,
    fates_of_denial,
    parse_plan,
    parse_question,
    require_length,
    require_one_answer,
    why_plan_over,
)
from taskbound.core.clock import Instant
from tests.core.approval.values import NOW, circle, question


def step(number: int, **changes: Any) -> Question:
    return question(id=f"apr_{number}", action=f"act_{number}", plan="pln_1", step=number, **changes)


STEPS = tuple(step(number) for number in (1, 2, 3))
PLAN = Plan(
    namespace="default",
    id="pln_1",
    task="tsk_1",
    requester="rita",
    questions=tuple(one.digest for one in STEPS),
    nonce="n1",
    asked=NOW,
    deadline=Instant(NOW + 9),
)


@pytest.mark.parametrize(
    "changes",
    [
        {"namespace": "other"},
        {"id": "pln_2"},
        {"task": "tsk_2"},
        {"requester": "rico"},
        {"nonce": "n2"},
        {"asked": Instant(NOW + 1)},
        {"deadline": Instant(NOW + 10)},
        {"questions": PLAN.questions[:2]},
        {"questions": (*PLAN.questions, PLAN.questions[0])},
        {"questions": PLAN.questions[::-1]},
        {"questions": (PLAN.questions[0], PLAN.questions[0], PLAN.questions[2])},
        {"questions": (PLAN.questions[0], step(2, nonce="n2").digest, PLAN.questions[2])},
    ],
)
def test_a176_whoever_changes_one_thing_of_a_plan_has_another_one(changes: dict[str, Any]) -> None:
    other = replace(PLAN, **changes)
    assert other.digest != PLAN.digest
    assert parse_plan(other.canonical) == other


@pytest.mark.parametrize("changes", [{"plan": "pln_2"}, {"step": 1}, {"plan": "", "step": 0}])
def test_the_question_of_a_step_names_its_plan_and_place(changes: dict[str, Any]) -> None:
    assert replace(STEPS[1], **changes).digest != STEPS[1].digest


def test_a_step_is_read_as_it_was_written() -> None:
    for one in STEPS:
        assert parse_question(one.canonical) == one


@given(st.sampled_from(["plan", "step"]), st.sampled_from([None, True, "", [], 1.5, 0, -1]))
def test_a_step_of_what_is_no_plan_is_no_question(name: str, value: Any) -> None:
    raw = canonical({**parse_object(STEPS[0].canonical), name: value})
    with pytest.raises(UnreadableQuestionError):
        parse_question(raw)


@pytest.mark.parametrize("name", ["namespace", "id", "task", "requester", "nonce", "asked", "deadline"])
@pytest.mark.parametrize("value", [None, True, 1.5, [], {}])
def test_what_lacks_one_thing_of_a_plan_is_none(name: str, value: Any) -> None:
    raw = canonical({**parse_object(PLAN.canonical), name: value})
    with pytest.raises(UnreadablePlanError):
        parse_plan(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        PLAN.canonical[:-1],
        PLAN.canonical + b"\n",
        PLAN.canonical.replace(b'"version":1', b'"version":2'),
        PLAN.canonical.replace(b'"kind":"taskbound plan"', b'"kind":"taskbound approval"'),
        canonical({**parse_object(PLAN.canonical), "more": 1}),
        canonical({**parse_object(PLAN.canonical), "questions": "x"}),
        canonical({**parse_object(PLAN.canonical), "questions": [1, 2]}),
    ],
)
def test_there_is_one_way_to_write_a_plan(raw: bytes) -> None:
    with pytest.raises(UnreadablePlanError):
        parse_plan(raw)


def test_a_plan_has_its_steps_in_their_places_and_no_others() -> None:
    assert all(map(PLAN.has, STEPS))
    for one in STEPS:
        moved: list[dict[str, Any]] = [{"step": one.step % 3 + 1}, {"step": 0}, {"step": 4}]
        for changes in (*moved, {"plan": "pln_2"}, {"nonce": "x"}):
            assert not PLAN.has(replace(one, **changes))
    assert not replace(PLAN, namespace="other").has(STEPS[0])


@pytest.mark.parametrize("steps", [0, 1, 21])
def test_a_plan_has_two_to_twenty_steps(steps: int) -> None:
    with pytest.raises(BadPlanError):
        require_length(steps)
    for fits in (2, 20):
        require_length(fits)


def test_one_answer_answers_all_steps_or_the_plan_is_refused() -> None:
    require_one_answer(STEPS, [circle()] * 3)
    other = (*STEPS[:2], step(3, lifters=("confirm",)))
    with pytest.raises(PlanRefusedError) as error:
        require_one_answer(other, [circle()] * 3)
    assert error.value.where == "step 3 (`bank__pay`)"
    proven = tuple(replace(one, lifters=("evidence:jws",)) for one in STEPS)
    assert proven[0].needs[0].kind is NeedKind.EVIDENCE
    with pytest.raises(PlanRefusedError, match="lifts no plan"):
        require_one_answer(proven, [circle(issuers=frozenset({"tickets"}))] * 3)


def test_so_many_humans_must_be_able_to_answer_every_step() -> None:
    asked = tuple(replace(one, lifters=("approval:agent:2",)) for one in STEPS[:2])
    both, some = circle(tool=("ada", "ben", "cleo")), circle(tool=("ada", "cleo"))
    require_one_answer(asked, [both, some])
    with pytest.raises(PlanRefusedError, match="needs 2, and 1 may answer every step"):
        require_one_answer(asked, [circle(tool=("ada", "ben")), some])
    with pytest.raises(PlanRefusedError, match="1 may answer"):
        require_one_answer(asked, [circle(tool=("ada", "ada-again"))] * 2)
    with pytest.raises(PlanRefusedError, match="0 may answer"):
        require_one_answer(asked, [circle(tool=("ben",)), some])


@pytest.mark.parametrize("state", ActionState)
def test_a_step_follows_one_that_succeeded_waits_while_it_runs_and_never_follows_any_other(
    state: ActionState,
) -> None:
    found = why_plan_over(state)
    if state is ActionState.SUCCEEDED:
        assert found == ""
    elif state in {ActionState.PERMITTED, ActionState.SENT}:
        assert found is None
    else:
        assert found == f"the step before it is {state.value}"


@pytest.mark.parametrize(
    ("left", "denied", "whole", "events"),
    [
        ((1, 2, 3), (1, 2, 3), "denied by bob", "ddd"),
        ((3,), (3,), "denied by bob", "d"),
        ((2, 3), (2,), "step 2: denied by bob", "ds"),
        ((1, 2, 3), (3, 1), "steps 1, 3: denied by bob", "dsd"),
    ],
)
def test_a_denial_denies_those_steps_and_supersedes_the_rest_with_its_reason(
    left: tuple[int, ...], denied: tuple[int, ...], whole: str, events: str
) -> None:
    plan, each = fates_of_denial(left, denied, "bob")
    assert (plan.event, plan.reason) == (ApprovalEvent.DENY, whole)
    assert "".join(one.event.value[0] for one in each) == events
    reasons = {ApprovalEvent.DENY: "denied by bob", ApprovalEvent.SUPERSEDE: whole}
    assert [one.reason for one in each] == [reasons[one.event] for one in each]
