from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import (
    AlreadyAnsweredError,
    AnswerKind,
    ApprovalOverError,
    ApprovalState,
    BadStatementError,
    NotEntitledError,
    OtherQuestionError,
    PlanOpenError,
    PlanRefusedError,
    SignedTogetherError,
    Subject,
    UnknownApprovalError,
)
from taskbound.core.errors import TaskboundError
from taskbound.flows.approval.proof.evidence import give_evidence
from taskbound.flows.audit.rows import compare_rows
from tests.peers.holding import TWICE, hold_policy
from tests.peers.people import actor_of
from tests.peers.planning import FIRST, LAST, SECOND, Planner, pay
from tests.sqlite import sqlite_store
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.ports.store import Store

DENY = AnswerKind.DENY


@pytest.fixture
def there(store: Store) -> Planner:
    return Planner(store)


@pytest.fixture
def here() -> Planner:
    """On SQLite only: what is asked is no matter of the engine."""
    return Planner(sqlite_store())


def run(there: Planner, arguments: JsonValue, connection: str = "con_a") -> str:
    """Make a call that is permitted, and have it succeed; the action."""
    answer = there.call(arguments, connection=connection)
    assert code_of(answer) == "permit"
    there.world.tell(id_of(answer), connection=connection)
    return id_of(answer)


def test_a_plan_that_was_signed_runs_in_order_and_each_step_once(there: Planner) -> None:
    plan = there.propose()
    before = there.world.left(there.task)
    assert there.stands(plan) == ("pending", 0, ["pending"] * 3)
    said = there.sign(plan)
    assert (said.state, said.missing, len(said.told)) == (ApprovalState.APPROVED, "", 3)
    assert there.world.left(there.task) == before
    held = [one.question.action for one in there.whole(plan).steps]
    assert [run(there, one) for one in (FIRST, SECOND, LAST)] == held
    assert there.stands(plan) == ("consumed", 3, ["consumed"] * 3)
    for one in (FIRST, SECOND, LAST):
        again = there.call(one)
        assert code_of(again) == "hold"
        assert id_of(again) not in held


def test_each_step_of_a_plan_is_in_the_log(there: Planner) -> None:
    plan = there.propose()
    there.sign(plan)
    run(there, FIRST)
    code_of(there.call(pay(1)))
    (asked,) = there.world.events("plan-asked")
    (answered,) = there.world.events("plan-answered")
    assert (asked["plan"], asked["digest"], asked["questions"]) == (
        plan.id,
        plan.digest,
        list(plan.questions),
    )
    assert asked["approvals"] == [one.question.id for one in there.whole(plan).steps]
    assert [one["digest"] for one in there.world.events("approval-asked")][:3] == list(plan.questions)
    assert (answered["person"], answered["answer"], answered["digest"]) == ("bob", "approve", plan.digest)
    changes = there.world.events("plan-changed")
    assert [(one["before"], one["after"], one["used"]) for one in changes] == [
        ("pending", "approved", 0),
        ("approved", "approved", 1),
        ("approved", "superseded", 1),
    ]
    with there.world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()


@pytest.mark.parametrize("signed", ["before", "after"])
@pytest.mark.parametrize("differs", [pay(11), SECOND, LAST])
def test_the_first_call_that_differs_ends_what_is_left_and_is_asked_about(
    there: Planner, differs: JsonValue, signed: str
) -> None:
    plan = there.propose()
    if signed == "after":
        there.sign(plan)
    answer = there.call(differs)
    assert code_of(answer) == "hold"
    assert there.stands(plan) == ("superseded", 0, ["superseded"] * 3)
    assert id_of(answer) not in {one.question.action for one in there.whole(plan).steps}
    assert there.state(id_of(answer)) == ("held", "pending")
    (reason, *_) = answer.decision.reasons  # type: ignore[union-attr]  # it is held
    assert reason.code == "plan-over"
    assert "the next was step 1" in reason.detail
    assert code_of(there.call(FIRST)) == "hold"
    with pytest.raises(ApprovalOverError):
        there.sign(plan, "carl")


def test_a_used_step_that_is_called_again_differs(there: Planner) -> None:
    plan = there.propose()
    there.sign(plan)
    first = run(there, FIRST)
    again = there.call(FIRST)
    assert (code_of(again), id_of(again) == first) == ("hold", False)
    assert there.stands(plan) == ("superseded", 1, ["consumed", "superseded", "superseded"])


def test_what_policy_does_not_hold_runs_between_the_steps(there: Planner) -> None:
    plan = there.propose()
    there.sign(plan)
    for one in (FIRST, SECOND, LAST):
        assert code_of(there.world.ask(there.task, "bank__look", {"path": "/srv/a"})) == "permit"
        assert code_of(there.call(pay(60))) == "outside-scope"
        run(there, one)
    assert there.stands(plan)[0] == "consumed"


def test_another_task_of_the_agent_leaves_the_plan(there: Planner) -> None:
    plan = there.propose()
    other = there.world.start()
    assert code_of(there.world.ask(other, "bank__pay", pay(7))) == "hold"
    assert there.stands(plan)[0] == "pending"


def test_two_equal_steps_are_two_uses(there: Planner) -> None:
    plan = there.propose(FIRST, FIRST)
    there.sign(plan)
    assert run(there, FIRST) != run(there, FIRST)
    assert there.stands(plan) == ("consumed", 2, ["consumed"] * 2)
    assert code_of(there.call(FIRST)) == "hold"


def test_the_next_step_waits_while_the_one_before_it_runs(there: Planner) -> None:
    plan = there.propose()
    there.sign(plan)
    first = id_of(there.call(FIRST))
    waits = there.call(SECOND)
    assert (code_of(waits), id_of(waits)) == ("hold", there.whole(plan).steps[1].question.action)
    assert there.stands(plan) == ("approved", 1, ["consumed", "approved", "approved"])
    there.world.tell(first)
    run(there, SECOND)


@pytest.mark.parametrize("outcome", ["failed", "unknown", "not-sent"])
def test_a_step_that_did_not_succeed_ends_what_is_left(there: Planner, outcome: str) -> None:
    plan = there.propose()
    there.sign(plan)
    there.world.tell(id_of(there.call(FIRST)), outcome, None)
    assert code_of(there.call(SECOND)) == "hold"
    assert there.stands(plan) == ("superseded", 1, ["consumed", "superseded", "superseded"])
    assert f"the step before it is {outcome}" in there.whole(plan).stored.reason


def test_a_duplicate_of_a_step_gets_the_stored_answer_and_leaves_the_plan(there: Planner) -> None:
    plan = there.propose()
    there.sign(plan)
    there.world.tell(id_of(there.call(FIRST, request="7")))
    assert code_of(there.call(FIRST, request="7")) == "duplicate"
    run(there, SECOND)
    assert there.stands(plan)[1] == 2


def test_whoever_waits_for_the_first_step_gets_it_and_a_second_call_of_it_differs(there: Planner) -> None:
    plan = there.propose()
    action = id_of(there.call(FIRST, wait=60, request="1"))
    assert action == there.whole(plan).steps[0].question.action
    there.sign(plan)
    answer = there.call(FIRST, request="1", resume=action, wait=50)
    assert (code_of(answer), id_of(answer)) == ("permit", action)
    there.world.tell(action)
    second = id_of(there.call(SECOND, wait=60, request="2"))
    assert second == there.whole(plan).steps[1].question.action
    with pytest.raises(PlanOpenError):
        there.propose()


def test_a_second_call_of_a_step_that_another_waits_for_differs(there: Planner) -> None:
    plan = there.propose()
    there.call(FIRST, wait=60, request="1")
    assert code_of(there.call(FIRST, wait=60, request="2", connection="con_b")) == "hold"
    assert there.stands(plan)[0] == "superseded"


def test_a_call_in_one_group_with_the_step_that_it_repeats_differs(there: Planner) -> None:
    plan = there.propose()
    there.sign(plan)
    calls = [there.world.call(there.task, "bank__pay", one) for one in (FIRST, FIRST, SECOND)]
    answers = there.world.decisions.decide(calls)
    assert [code_of(one) for one in answers] == ["permit", "hold", "hold"]
    assert there.stands(plan) == ("superseded", 1, ["consumed", "superseded", "superseded"])


def test_a_step_is_answered_with_its_plan_and_not_by_itself(here: Planner) -> None:
    plan = here.propose()
    action = here.whole(plan).steps[1].question.action
    question = here.whole(plan).steps[1].question
    with pytest.raises(SignedTogetherError, match=f"step 2 of plan `{plan.id}`"):
        here.say(action, "bob")
    with pytest.raises(SignedTogetherError):
        here.say(action, "bob", DENY)
    with pytest.raises(SignedTogetherError):
        here.narrow(action, "bob", pay(1, "eve"))
    with pytest.raises(SignedTogetherError):
        give_evidence(here.world.adapters, "default", question.id, "a.b.c", ANN)
    assert here.stands(plan) == ("pending", 0, ["pending"] * 3)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"subject": Subject.ACTION}, BadStatementError),
        ({"digest": "00" * 32}, OtherQuestionError),
        ({"question": "pln_none"}, UnknownApprovalError),
        ({"namespace": "other"}, OtherQuestionError),
        ({"kind": AnswerKind.CONFIRM}, NotEntitledError),
    ],
)
def test_only_a_statement_about_this_plan_answers_it(
    here: Planner, changes: dict[str, Any], error: type[TaskboundError]
) -> None:
    plan = here.propose()
    with pytest.raises(error):
        here.sign(plan, **changes)
    assert here.stands(plan)[0] == "pending"


def test_who_asked_for_the_task_approves_no_plan(here: Planner) -> None:
    plan = here.propose()
    with pytest.raises(NotEntitledError):
        here.sign(plan, "ann")


def test_a_plan_needs_as_many_as_each_of_its_steps(store: Store) -> None:
    there = Planner(store, TWICE)
    plan = there.propose()
    said = there.sign(plan)
    assert (said.state, said.missing) == (ApprovalState.PENDING, "`approval:finance:2` has 1 of 2")
    with pytest.raises(AlreadyAnsweredError):
        there.sign(plan)
    answer = there.call(FIRST)
    assert code_of(answer) == "hold"
    assert there.sign(plan, "carl").state is ApprovalState.APPROVED
    run(there, FIRST)


@pytest.mark.parametrize("signed", ["before", "after"])
def test_a_denial_denies_every_step_for_good(there: Planner, signed: str) -> None:
    plan = there.propose()
    if signed == "after":
        there.sign(plan, "carl")
        run(there, FIRST)
    said = there.sign(plan, "bob", DENY)
    assert said.state is ApprovalState.DENIED
    for one in (SECOND, LAST):
        assert code_of(there.call(one)) == "approval-denied"
    assert there.stands(plan)[1] == int(signed == "after")
    with pytest.raises(PlanRefusedError, match="approval-denied"):
        there.propose()


def test_a_confirmation_of_a_plan_is_its_requesters(store: Store) -> None:
    there = Planner(store, hold_policy("confirm"))
    plan = there.propose()
    with pytest.raises(NotEntitledError):
        there.sign(plan, "bob", AnswerKind.CONFIRM)
    assert there.sign(plan, "ann", AnswerKind.CONFIRM).state is ApprovalState.APPROVED
    run(there, FIRST)


@pytest.mark.parametrize("of", ["plan", "step"])
def test_a_plan_is_withdrawn_as_a_whole(here: Planner, of: str) -> None:
    plan = here.propose()
    here.sign(plan)
    run(here, FIRST)
    name = plan.id if of == "plan" else here.whole(plan).steps[2].question.id
    with pytest.raises(NotEntitledError):
        here.world.approvals.withdraw("default", name, actor_of("bob"), reason="")
    assert len(here.world.approvals.withdraw("default", name, ANN, reason="not needed")) == 2
    assert here.stands(plan) == ("withdrawn", 1, ["consumed", "withdrawn", "withdrawn"])
    with pytest.raises(ApprovalOverError):
        here.world.approvals.withdraw("default", name, ANN, reason="")


def test_a_gateway_that_leaves_lets_its_step_go_and_leaves_the_plan(there: Planner) -> None:
    plan = there.propose()
    action = id_of(there.call(FIRST, wait=60, request="1"))
    assert there.world.approvals.leave("default", "con_a", action=action, reason="it cancelled") == []
    there.sign(plan)
    answer = there.call(FIRST, connection="con_b")
    assert (code_of(answer), id_of(answer)) == ("permit", action)


def test_a_plan_goes_on_under_another_daemon(there: Planner) -> None:
    plan = there.propose()
    there.sign(plan)
    run(there, FIRST)
    there.world = there.world.beside()
    run(there, SECOND, "con_b")
    run(there, LAST, "con_b")
    assert there.stands(plan)[0] == "consumed"
