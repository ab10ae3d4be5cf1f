from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from taskbound.core.approval import NoApproverError
from taskbound.core.clock import Instant
from taskbound.core.decision import (
    Hold,
    OpenHold,
    OpenHolds,
    Permit,
    Presentation,
    Proposal,
    Refuse,
    Settled,
    Settlement,
    Waiting,
)
from taskbound.core.task import TaskState
from tests.core.decision.test_settle import HEAD, TASK, code_of, holding, proposal, run


def held(number: int = 1, *, request: str = "", connection: str = "con_1", resume: str = "") -> Proposal:
    one = proposal(number, request=request)
    presented = Presentation(connection=connection, request=request or str(number))
    return replace(one, verdict=holding("p"), presented=presented, resume=resume)


def hold(action: str = "act_0", **changes: Any) -> OpenHold:
    plain = OpenHold(
        approval="apr_0", action=action, connection="con_0", request="0", waits=Instant(0), lifted=True
    )
    return replace(plain, **changes)


def settled(*proposals: Proposal, holds: tuple[OpenHold, ...] = (), room: int = 9, **more: Any) -> Settlement:
    changes = {key: more.pop(key) for key in ("hourly", "unaskable", "superseded") if key in more}
    plain = OpenHolds(
        holds={(TASK, held().action.digest): holds},
        unaskable={},
        room={TASK: room},
        hourly={"coder": 9},
        superseded={},
        anew={},
    )
    return run(*proposals, places=replace(plain, **changes), **more)


def word(answer: object) -> str:
    return f"waits for {answer.hold.action}" if isinstance(answer, Waiting) else code_of(answer)


def test_a_lifted_hold_is_permitted_under_its_own_id_and_pays() -> None:
    settlement = settled(held(), holds=(hold(),))
    (answer,) = settlement.answers
    assert isinstance(answer, Settled)
    assert isinstance(answer.decision, Permit)
    assert (answer.proposal.id, answer.lifted) == ("act_0", hold())
    assert settlement.left == {(TASK, "uses"): (1, 0)}


def test_one_approval_permits_one_call_of_a_group() -> None:
    settlement = settled(held(1), held(2), held(3), holds=(hold(),), left={TASK: {"uses": 9}})
    assert [word(one) for one in settlement.answers] == ["permit", "hold", "hold"]
    assert settlement.left == {(TASK, "uses"): (9, 8)}


def test_a_hold_that_nobody_has_lifted_is_waited_for_and_takes_nothing() -> None:
    settlement = settled(held(), holds=(hold(lifted=False),))
    assert word(settlement.answers[0]) == "waits for act_0"
    assert (settlement.left, settlement.acts) == ({}, {})


def test_while_one_waits_another_call_is_new() -> None:
    waiting = hold(waits=Instant(51), lifted=False)
    assert word(settled(held(), holds=(waiting,)).answers[0]) == "hold"
    assert word(settled(held(), holds=(waiting,), now=51).answers[0]) == "waits for act_0"
    assert word(settled(held(), holds=(waiting, hold("act_5"))).answers[0]) == "permit"


def test_an_approval_is_not_for_another_call_while_its_own_waits() -> None:
    assert word(settled(held(), holds=(hold(waits=Instant(51)),)).answers[0]) == "hold"


def test_who_waits_resumes_its_own_hold_by_name_and_no_other() -> None:
    waiting = hold(connection="con_1", waits=Instant(99))
    other = hold("act_7", lifted=True)
    assert word(settled(held(resume="act_0"), holds=(other, waiting)).answers[0]) == "permit"
    assert settled(held(resume="act_0"), holds=(other, waiting)).answers[0].proposal.id == "act_0"  # type: ignore[union-attr]  # it is a permit, as the line above says
    assert word(settled(held(resume="act_9"), holds=(other,)).answers[0]) == "hold-over"


def test_who_waits_on_another_connection_is_not_resumed_by_name() -> None:
    waiting = hold(connection="con_2", waits=Instant(99))
    assert word(settled(held(resume="act_0"), holds=(waiting,)).answers[0]) == "hold-over"


def test_what_was_ended_since_it_would_run_otherwise_is_asked_anew() -> None:
    answers = settled(held(resume="act_0"), superseded={"act_0": "the policies are others now"}).answers
    assert word(answers[0]) == "hold"


def test_an_approval_of_another_action_lifts_nothing() -> None:
    other = replace(held(), action=proposal(amount=2).action)
    assert word(settled(other, holds=(hold(),)).answers[0]) == "hold"


def test_what_nobody_can_be_asked_is_refused() -> None:
    answers = settled(held(), unaskable={"act_1": NoApproverError("nobody may answer")}).answers
    assert word(answers[0]) == "no-approver"


def test_a_task_has_so_many_open_holds_and_no_more() -> None:
    answers = settled(held(1), held(2), held(3), room=2).answers
    assert [word(one) for one in answers] == ["hold", "hold", "too-many-holds"]


def test_an_agent_asks_so_many_questions_within_the_hour_and_no_more() -> None:
    answers = settled(held(1), held(2), held(3), hourly={"coder": 1}).answers
    assert [word(one) for one in answers] == ["hold", "too-many-questions", "too-many-questions"]
    assert word(settled(held(), hourly={}).answers[0]) == "too-many-questions"


def test_a_lifted_hold_that_can_not_pay_runs_nothing_and_uses_nothing() -> None:
    (answer,) = settled(held(), holds=(hold(),), left={TASK: {"uses": 0}}).answers
    assert isinstance(answer, Settled)
    assert isinstance(answer.decision, Refuse)
    assert (answer.proposal.id, answer.lifted) == ("act_1", None)


@pytest.mark.parametrize("state", [TaskState.PAUSED, TaskState.REVOKED, TaskState.COMPLETED])
def test_of_a_task_that_does_not_run_nothing_is_lifted(state: TaskState) -> None:
    (answer,) = settled(held(), holds=(hold(),), tasks={TASK: replace(HEAD, state=state)}).answers
    assert isinstance(answer, Settled)
    assert isinstance(answer.decision, Refuse)
    assert answer.lifted is None


@pytest.mark.parametrize("changes", [{"bundle": "b2"}, {"agents": {"coder": 3}}, {"tools": {}}])
def test_what_was_evaluated_on_other_facts_is_evaluated_again_and_lifts_nothing(
    changes: dict[str, Any],
) -> None:
    assert word(settled(held(), holds=(hold(),), **changes).answers[0]) == "stale"


def test_what_policy_permits_or_refuses_today_uses_no_approval() -> None:
    permitted = proposal()
    refused = replace(proposal(), verdict=Refuse(code="x", reasons=(), instead=""))
    for one in (permitted, refused):
        (answer,) = settled(one, holds=(hold(),)).answers
        assert isinstance(answer, Settled)
        assert answer.lifted is None
    assert isinstance(holding("p").hold, Hold)
