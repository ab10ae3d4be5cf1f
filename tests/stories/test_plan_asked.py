from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import (
    AnswerKind,
    ApprovalState,
    BadPlanError,
    NotEntitledError,
    OtherQuestionError,
    PlanOpenError,
    PlanRefusedError,
    TooLongToShowError,
)
from taskbound.core.errors import TaskboundError
from taskbound.core.task import NoTaskError
from taskbound.flows.approval.fatigue import note_display_of_plan
from taskbound.flows.approval.limits import measure
from taskbound.flows.tool.applying import set_approvers
from tests.peers.holding import ASKED, hold_policy
from tests.peers.people import actor_of
from tests.peers.planning import FIRST, SECOND, Planner, pay, step
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


REFUSED: list[tuple[tuple[Any, ...], type[TaskboundError], str]] = [
    ((FIRST,), BadPlanError, "2 to 20 steps"),
    ((FIRST,) * 21, BadPlanError, "2 to 20 steps"),
    ((FIRST, step({"path": "/srv/a"}, "bank__look")), PlanRefusedError, "it needs no approval"),
    ((FIRST, pay(51)), PlanRefusedError, "outside-scope"),
    ((FIRST, step({}, "bank__none")), PlanRefusedError, "it is refused"),
    ((FIRST, step(b'{"to":"bob", "amount":1}')), PlanRefusedError, "not-canonical"),
    ((FIRST, step(b'{"to":1,"to":2}')), PlanRefusedError, "it is refused"),
    ((pay(50), pay(50), pay(1)), PlanRefusedError, "more than is left"),
    ((FIRST,) * 6, PlanRefusedError, "more than is left"),
]


@pytest.mark.parametrize(("steps", "error", "words"), REFUSED)
def test_a_plan_that_is_refused_leaves_one_record_and_nothing_else(
    there: Planner, steps: tuple[Any, ...], error: type[TaskboundError], words: str
) -> None:
    before, records = there.world.left(there.task), len(there.world.records())
    with pytest.raises(error, match=words):
        there.propose(*steps)
    with there.world.store.read() as snapshot:
        assert snapshot.approvals.approvals("default") == ()
        assert snapshot.approvals.open_plans() == ()
        assert [one for one in snapshot.actions.actions("default") if one.task == there.task.id] == []
    assert there.world.left(there.task) == before
    (kept,) = there.world.records()[records:]
    assert (kept["event"]["kind"], kept["event"]["code"]) == ("plan-refused", error.code)
    assert there.propose().questions


def test_the_refusal_names_the_step(here: Planner) -> None:
    with pytest.raises(PlanRefusedError) as error:
        here.propose(FIRST, SECOND, pay(51))
    assert error.value.where == "step 3 (`bank__pay`)"
    assert here.world.events("plan-refused")[0]["step"] == "step 3 (`bank__pay`)"


def test_a_plan_whose_steps_need_other_words_is_refused() -> None:
    policy = ASKED + (
        '@id("looked") @hold("confirm")'
        ' forbid (principal, action == Taskbound::Action::"bank__look", resource);'
    )
    here = Planner(sqlite_store(), policy)
    with pytest.raises(PlanRefusedError, match="it needs `confirm`, and step 1 needs `approval:finance`"):
        here.propose(FIRST, step({"path": "/srv/a"}, "bank__look"))


def test_a_plan_that_only_different_persons_could_answer_is_refused() -> None:
    policy = hold_policy("approval:agent") + (
        '@id("looked") @hold("approval:agent")'
        ' forbid (principal, action == Taskbound::Action::"bank__look", resource);'
    )
    here = Planner(sqlite_store(), policy)
    for tool, who in (("bank__pay", "bob"), ("bank__look", "carl")):
        set_approvers(here.world.adapters, "default", tool, (who,), actor=ANN, owns=True)
    look = step({"path": "/srv/a"}, "bank__look")
    with pytest.raises(PlanRefusedError, match="0 may answer every step"):
        here.propose(FIRST, look)
    set_approvers(here.world.adapters, "default", "bank__look", ("bob", "carl"), actor=ANN, owns=True)
    plan = here.propose(FIRST, look)
    with pytest.raises(NotEntitledError):
        here.sign(plan, "carl")
    assert here.stands(plan) == ("pending", 0, ["pending"] * 2)
    assert here.sign(plan, "bob").state is ApprovalState.APPROVED
    here.world.approvals.withdraw("default", plan.id, ANN, reason="")
    turned = here.propose(look, FIRST)
    with pytest.raises(NotEntitledError):
        here.sign(turned, "carl")  # who may answer the first step, and not the second


def test_a_plan_is_not_asked_beside_open_questions_or_another_plan(there: Planner) -> None:
    held = id_of(there.call(pay(3)))
    with pytest.raises(PlanOpenError, match="open questions"):
        there.propose()
    there.say(held, "bob", DENY)
    there.propose()
    with pytest.raises(PlanOpenError, match="open plan"):
        there.propose()


def test_a_plan_that_is_too_long_to_show_is_refused(here: Planner) -> None:
    here.task = here.world.start(scope={"grants": [{"tool": "bank__pay", "others": "any"}]})
    long = "\n".join(str(number) for number in range(1500))
    with pytest.raises(TooLongToShowError):
        here.propose(*(step({"amount": number, "note": long, "to": "bob"}) for number in range(1, 6)))


def test_its_steps_count_as_so_many_questions(here: Planner) -> None:
    here.world.store.write(lambda tx: tx.approvals.put_limits(limits(open=2)))
    with pytest.raises(PlanRefusedError, match="too-many-holds"):
        here.propose()
    here.propose(FIRST, SECOND)


def limits(**values: int) -> Any:
    from taskbound.core.approval.fatigue import parse_limits  # noqa: PLC0415  # of this story alone

    return parse_limits("default", **values)


def test_a_yes_that_nobody_can_have_read_is_told_once_for_the_plan(here: Planner) -> None:
    plan = here.propose()
    note_display_of_plan(here.world.adapters, "default", plan.id, actor_of("bob"))
    note_display_of_plan(here.world.adapters, "default", plan.id, actor_of("bob"))
    (shown,) = here.world.events("approval-shown")
    assert (shown["approval"], shown["person"]) == (plan.id, "bob")
    assert shown["length"] > 4000
    here.world.clock.advance(5)
    here.sign(plan)
    (answered,) = here.world.events("plan-answered")
    assert (answered["hasty"], answered["length"]) == (True, shown["length"])
    news = [one for one in here.world.monitor.messages if one.get("kind") == "taskbound-hasty-answer"]
    assert [one["plan"] for one in news] == [plan.id]
    _, _, (load,) = measure(here.world.adapters, "default", 1)
    assert (load.person, load.shown, load.yes, load.hasty, load.unseen) == ("bob", 3, 3, 3, 0)


@pytest.mark.parametrize("who", ["bob", "carl"])
def test_only_who_is_in_charge_of_the_task_or_runs_in_it_proposes(here: Planner, who: str) -> None:
    with pytest.raises(NotEntitledError):
        here.propose(by=actor_of(who))
    assert not here.world.events("plan-asked")
    assert here.stands(here.propose(by=actor_of(who), beneath=True))[0] == "pending"


def test_a_task_that_is_not_there_has_no_plan(here: Planner) -> None:
    with pytest.raises(NoTaskError):
        here.propose(task=replace(here.task, id="tsk_none"))


def test_the_same_steps_asked_again_are_another_plan(here: Planner) -> None:
    plan = here.propose()
    here.world.approvals.withdraw("default", plan.id, ANN, reason="")
    other = here.propose()
    assert plan.digest != other.digest
    raw = here.statement_of(plan, "bob", question=other.id)
    with pytest.raises(OtherQuestionError):
        here.world.plans.answer("default", raw, here.devices["bob"][1].sign(raw))
