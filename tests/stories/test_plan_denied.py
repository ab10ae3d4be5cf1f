from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.approval import (
    AnswerKind,
    ApprovalOverError,
    ApprovalState,
    NotEntitledError,
    PlanRefusedError,
)
from taskbound.core.identity.person_key import NotStandingError
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.identity.leaving import People
from taskbound.flows.identity.person import withdraw
from tests.peers.people import OWNER, actor_of
from tests.peers.planning import BY_TOOL, FIRST, LAST, Planner, step
from tests.sqlite import sqlite_store
from tests.world import code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Plan
    from taskbound.ports.store import Store

LOOK: dict[str, JsonValue] = {"path": "/srv/a"}
APPROVE, DENY = AnswerKind.APPROVE, AnswerKind.DENY


def planner(store: Store) -> Planner:
    """Payments are bob's to approve, and looks bob's or carl's; dora may approve neither."""
    there = Planner(store, BY_TOOL)
    there.name_approvers(pay=("bob",), look=("bob", "carl"))
    return there


@pytest.fixture
def there(store: Store) -> Planner:
    return planner(store)


@pytest.fixture
def here() -> Planner:
    return planner(sqlite_store())


def propose(there: Planner) -> Plan:
    return there.propose(FIRST, step(LOOK, "bank__look"), LAST)


def look(there: Planner) -> str:
    return code_of(there.world.ask(there.task, "bank__look", LOOK))


@pytest.mark.parametrize("signed", [False, True], ids=["nobody has signed", "it is approved"])
def test_who_may_answer_one_step_alone_denies_that_and_by_it_the_plan(
    there: Planner, *, signed: bool
) -> None:
    plan = propose(there)
    if signed:
        assert there.sign(plan, "bob").state is ApprovalState.APPROVED
    said = there.sign(plan, "carl", DENY)
    assert (said.state, said.denied) == (ApprovalState.DENIED, (2,))
    assert [one.state.value for one in said.told] == ["superseded", "denied", "superseded"]
    assert there.stands(plan) == ("denied", 0, ["superseded", "denied", "superseded"])
    assert [one.reason for one in there.whole(plan).steps] == [
        "step 2: denied by carl",
        "denied by carl",
        "step 2: denied by carl",
    ]
    assert there.whole(plan).stored.reason == "step 2: denied by carl"
    assert look(there) == "approval-denied"
    assert [code_of(there.call(one)) for one in (FIRST, LAST)] == ["hold", "hold"]
    with pytest.raises(ApprovalOverError):
        there.sign(plan, "bob")


def test_the_log_says_which_step_was_denied_by_whom_and_what_came_of_the_rest(there: Planner) -> None:
    plan = propose(there)
    there.sign(plan, "carl", DENY)
    steps = there.whole(plan).steps
    (answered,) = there.world.events("plan-answered")
    assert (answered["person"], answered["answer"]) == ("carl", "deny")
    assert answered["approvals"] == [steps[1].question.id]
    assert [len(one.answers) for one in steps] == [0, 1, 0]
    ended = {one["approval"]: one for one in there.world.events("approval-changed")}
    assert [ended[one.question.id]["after"] for one in steps] == ["superseded", "denied", "superseded"]
    assert {one["by"] for one in ended.values()} == {"carl"}
    (changed,) = there.world.events("plan-changed")
    assert (changed["after"], changed["reason"]) == ("denied", "step 2: denied by carl")
    with there.world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()


def test_a_yes_of_all_that_are_left_is_in_the_log_as_such(here: Planner) -> None:
    plan = propose(here)
    here.sign(plan, "bob")
    (answered,) = here.world.events("plan-answered")
    assert answered["approvals"] == [one.question.id for one in here.whole(plan).steps]


def test_a_plan_that_runs_is_over_by_the_denial_of_one_step_and_what_was_used_stays_used(
    there: Planner,
) -> None:
    plan = propose(there)
    there.sign(plan, "bob")
    first = there.call(FIRST)
    assert code_of(first) == "permit"
    said = there.sign(plan, "carl", DENY)
    assert [one.state.value for one in said.told] == ["denied", "superseded"]
    assert there.stands(plan) == ("denied", 1, ["consumed", "denied", "superseded"])
    there.world.tell(id_of(first), connection="con_a")
    assert look(there) == "approval-denied"
    assert code_of(there.call(LAST)) == "hold"


def test_who_may_answer_only_a_step_that_was_used_denies_nothing(here: Planner) -> None:
    plan = here.propose(step(LOOK, "bank__look"), FIRST, LAST)
    here.sign(plan, "bob")
    answer = here.world.ask(here.task, "bank__look", LOOK)
    assert code_of(answer) == "permit"
    here.world.tell(id_of(answer), connection="con_a")
    with pytest.raises(NotEntitledError):
        here.sign(plan, "carl", DENY)
    assert here.stands(plan) == ("approved", 1, ["consumed", "approved", "approved"])
    assert code_of(here.call(FIRST)) == "permit"


@pytest.mark.parametrize("kind", [APPROVE, DENY])
def test_who_may_answer_no_step_says_nothing_to_the_plan(there: Planner, kind: AnswerKind) -> None:
    plan = propose(there)
    with pytest.raises(NotEntitledError, match="`dora` cannot answer"):
        there.sign(plan, "dora", kind)
    assert there.stands(plan) == ("pending", 0, ["pending"] * 3)
    assert [one.answers for one in there.whole(plan).steps] == [(), (), ()]
    assert there.world.events("plan-answered") == []


def test_a_yes_to_a_plan_still_needs_a_word_that_counts_for_every_step(there: Planner) -> None:
    plan = propose(there)
    with pytest.raises(NotEntitledError):
        there.sign(plan, "carl")
    assert there.stands(plan) == ("pending", 0, ["pending"] * 3)
    assert [one.answers for one in there.whole(plan).steps] == [(), (), ()]


def _asks(there: Planner) -> str:
    there.name_approvers(look=("bob", "ann"))
    return "ann"


def _controls(there: Planner) -> str:
    there.world.store.write(lambda tx: tx.tasks.keep_account("default", there.task.id, 1002))
    return "carl"


def _is_kin(there: Planner) -> str:
    there.child("carl")
    return "carl"


def _left(there: Planner) -> str:
    there.name_approvers(look=("bob", "carl", "dora"))
    world = there.world
    People(world.adapters, world.views).leave("default", "dora", OWNER, owns=True, reason="")
    return "dora"


def _approves_no_more(there: Planner) -> str:
    there.name_approvers(look=("bob",))
    return "carl"


def _has_no_key(there: Planner) -> str:
    key = there.devices["carl"][0].id
    withdraw(there.world.adapters, "default", key, actor_of("carl"), owns=False, reason="")
    return "carl"


@pytest.mark.parametrize("be", [_asks, _controls, _is_kin, _left, _approves_no_more, _has_no_key])
def test_who_could_not_deny_the_step_by_itself_does_not_deny_it_in_a_plan(
    here: Planner, be: Callable[[Planner], str]
) -> None:
    plan = propose(here)
    who = be(here)
    with pytest.raises((NotEntitledError, NotStandingError)):
        here.sign(plan, who, DENY)
    assert here.stands(plan) == ("pending", 0, ["pending"] * 3)


def test_a_denial_of_one_step_makes_no_other_usable(there: Planner) -> None:
    plan = propose(there)
    there.sign(plan, "bob")
    there.sign(plan, "carl", DENY)
    for number, arguments in ((0, FIRST), (2, LAST)):
        action = there.whole(plan).steps[number].question.action
        anew = there.call(arguments, resume=action)
        assert (code_of(anew), id_of(anew) == action) == ("hold", False)
    assert look(there) == "approval-denied"
    assert {one["decision"] for one in there.world.events("action-decided")} == {"hold", "refuse"}


def test_what_was_not_denied_is_proposed_again_and_what_was_is_not(there: Planner) -> None:
    plan = propose(there)
    there.sign(plan, "carl", DENY)
    with pytest.raises(PlanRefusedError, match="approval-denied"):
        propose(there)
    again = there.propose(FIRST, LAST)
    assert there.sign(again, "bob").state is ApprovalState.APPROVED
    with pytest.raises(NotEntitledError):
        there.sign(again, "carl", DENY)
    assert code_of(there.call(FIRST)) == "permit"
