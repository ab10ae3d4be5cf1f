from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import OPEN, ApprovalState, Plan
from taskbound.core.clock import Instant
from taskbound.ports.approval import PlanChange, StoredApproval, StoredPlan
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import NOW, OTHER, SPACE, read
from tests.contracts.store.test_approval import approval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.ports.store import Store, Transaction

S = ApprovalState


def steps(plan: str, *, task: str = "tsk_1", first: int = 1, namespace: str = SPACE) -> list[StoredApproval]:
    """Three of them, of which the ids are in another order than the places."""
    some = [approval(first + number, task=task, namespace=namespace) for number in (2, 0, 1)]
    return [
        replace(one, question=replace(one.question, plan=plan, step=place))
        for place, one in enumerate(some, 1)
    ]


def plan_of(
    some: Sequence[StoredApproval],
    *,
    state: ApprovalState = ApprovalState.PENDING,
    used: int = 0,
    asked: int = 1,
) -> StoredPlan:
    question = some[0].question
    plan = Plan(
        namespace=question.namespace,
        id=question.plan,
        task=question.task,
        requester="ann \u2014 'quoted'",
        questions=tuple(one.question.digest for one in some),
        nonce="n",
        asked=Instant(NOW + asked),
        deadline=Instant(2**53 - 1),
    )
    return StoredPlan(plan=plan, agent="coder", state=state, used=used)


def put(store: Store, some: Sequence[StoredApproval], plan: StoredPlan) -> None:
    def work(tx: Transaction) -> None:
        tx.approvals.insert_approvals(some)
        tx.approvals.insert_plan(plan)

    store.write(work)


def change(**changes: Any) -> PlanChange:
    plain: dict[str, Any] = {
        "id": "pln_1",
        "before": (S.PENDING, 0),
        "after": (S.APPROVED, 0),
        "finished": Instant(0),
        "reason": "enough \u2028",
    }
    return PlanChange(**plain | changes)


@pytest.mark.parametrize("state", ApprovalState)
def test_a_plan_and_its_steps_are_read_as_they_were_written(store: Store, state: ApprovalState) -> None:
    some = steps("pln_1")
    plan = replace(plan_of(some, state=state, used=2), finished=Instant(7), reason="why \u00fc")
    put(store, some, plan)
    whole = tuple(replace(one, plan=plan.plan) for one in some)
    assert read(store, lambda seen: seen.approvals.plan(SPACE, "pln_1")) == plan
    assert read(store, lambda seen: seen.approvals.steps_of(SPACE, {"pln_1"})) == whole
    assert store.write(lambda tx: tx.approvals.lock_plan(SPACE, "pln_1")) == plan
    assert store.write(lambda tx: tx.approvals.lock_steps(SPACE, {"pln_1", "pln_2"})) == whole
    assert read(store, lambda seen: seen.approvals.approval(SPACE, "apr_1")) == whole[1]
    assert read(store, lambda seen: seen.approvals.approval_of(SPACE, "act_3")) == whole[0]
    assert store.write(lambda tx: tx.approvals.lock_holds(SPACE, {("tsk_1", "d1")})) == {
        ("tsk_1", "d1"): (whole[1], whole[2], whole[0])
    }
    assert read(store, lambda seen: seen.approvals.plan(OTHER, "pln_1")) is None
    assert read(store, lambda seen: seen.approvals.steps_of(OTHER, {"pln_1"})) == ()
    assert read(store, lambda seen: seen.approvals.steps_of(SPACE, {""})) == ()


def test_a_question_without_a_plan_is_a_step_of_none(store: Store) -> None:
    store.write(lambda tx: tx.approvals.insert_approvals([approval(1)]))
    assert read(store, lambda seen: seen.approvals.approval(SPACE, "apr_1")).plan is None  # type: ignore[union-attr]  # it was put there


def test_open_plans_are_found_over_all_namespaces_and_by_task(store: Store) -> None:
    one, two, three = (
        steps("pln_1"),
        steps("pln_2", task="tsk_2", first=11),
        steps("pln_3", task="tsk_3", first=21),
    )
    abroad = steps("pln_1", namespace=OTHER)
    put(store, one, plan_of(one, asked=3))
    put(store, two, plan_of(two, state=S.APPROVED, asked=2))
    put(store, three, plan_of(three, state=S.CONSUMED))
    put(store, abroad, plan_of(abroad, asked=1))
    found = read(store, lambda seen: seen.approvals.open_plans())
    assert [(each.plan.namespace, each.plan.id) for each in found] == [
        (OTHER, "pln_1"),
        (SPACE, "pln_2"),
        (SPACE, "pln_1"),
    ]
    wanted = {"tsk_1", "tsk_2", "tsk_3", "tsk_4"}
    locked = store.write(lambda tx: tx.approvals.lock_plans(SPACE, wanted))
    assert [each.plan.id for each in locked] == ["pln_1", "pln_2"]
    assert store.write(lambda tx: tx.approvals.lock_plans(SPACE, {"tsk_3"})) == ()
    assert store.write(lambda tx: tx.approvals.lock_plans(SPACE, set())) == ()


@pytest.mark.parametrize("state", [one for one in S if one in OPEN])
def test_a_task_has_one_open_plan_and_an_id_is_one_plans(store: Store, state: ApprovalState) -> None:
    one, two = steps("pln_1"), steps("pln_2", first=11)
    put(store, one, plan_of(one, state=state))
    with pytest.raises(ConflictError):
        put(store, two, plan_of(two))
    store.write(
        lambda tx: tx.approvals.move_plan(
            SPACE, change(before=(state, 0), after=(S.DENIED, 0), finished=Instant(5))
        )
    )
    put(store, two, plan_of(two))
    again = steps("pln_1", task="tsk_5", first=21)
    with pytest.raises(ConflictError):
        put(store, again, plan_of(again))


def test_a_plan_moves_from_where_it_was_seen_and_from_nowhere_else(store: Store) -> None:
    some = steps("pln_1")
    put(store, some, plan_of(some))
    store.write(lambda tx: tx.approvals.move_plan(SPACE, change()))
    for wrong in (
        change(),
        change(before=(S.APPROVED, 1), after=(S.APPROVED, 2)),
        change(before=(S.DENIED, 0)),
        change(id="pln_9"),
    ):
        with pytest.raises(ConflictError):
            store.write(lambda tx, wrong=wrong: tx.approvals.move_plan(SPACE, wrong))  # type: ignore[misc]  # bound now
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.approvals.move_plan(OTHER, change(before=(S.APPROVED, 0))))
    last = change(before=(S.APPROVED, 0), after=(S.CONSUMED, 3), finished=Instant(9), reason="used")
    store.write(lambda tx: tx.approvals.move_plan(SPACE, last))
    found = read(store, lambda seen: seen.approvals.plan(SPACE, "pln_1"))
    assert found is not None
    assert (found.state, found.used, found.finished, found.reason) == (S.CONSUMED, 3, 9, "used")
    assert found.plan == plan_of(some).plan
