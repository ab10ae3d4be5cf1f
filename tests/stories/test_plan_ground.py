from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.approval import (
    AnswerKind,
    PlanRefusedError,
    Subject,
)
from taskbound.core.task import TaskEvent
from taskbound.core.tool import parse_definition
from taskbound.flows.approval.hold.holds import HOLD_LIFE
from taskbound.flows.approval.proof.kept import signed
from tests.peers.holding import ASKED
from tests.peers.planning import FIRST, SECOND, Planner
from tests.sqlite import sqlite_store
from tests.stories.test_operands import Bills as BillHolding
from tests.world import ANN, LOOK, PAY, SCOPE, World, code_of, id_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


def test_the_sweep_ends_what_is_left_after_a_step_that_failed(here: Planner) -> None:
    plan = here.propose()
    here.sign(plan)
    here.world.tell(id_of(here.call(FIRST)), "failed", None)
    assert len(here.world.approvals.sweep()) == 2
    assert here.stands(plan)[0] == "superseded"
    assert here.world.approvals.sweep() == []


def test_an_approver_who_leaves_before_the_next_step_ends_what_is_left(there: Planner) -> None:
    plan = there.propose()
    there.sign(plan)
    run(there, FIRST)
    there.leave("bob")
    assert code_of(there.call(SECOND)) == "hold"
    assert there.stands(plan)[0] == "superseded"
    assert "may not do so any more" in there.whole(plan).stored.reason


def ends_task(there: Planner) -> None:
    there.world.tasks.end("default", there.task.id, TaskEvent.COMPLETE, ANN, reason="done")


def changes_policy(there: Planner) -> None:
    there.rule(ASKED + '@id("more") permit (principal, action, resource);')


def change_tool(world: World) -> None:
    """The bank shows another `pay`, and a person accepts it."""
    with world.store.read() as snapshot:
        kept = snapshot.tools.server("default", "bank")
    assert kept is not None
    changed = {**PAY, "title": "Pay at once"}
    raws = [json.dumps(one).encode() for one in (changed, LOOK)]
    world.sights.see("default", "bank", kept.identity, raws, agent="coder")
    world.sights.accept("default", "bank__pay", parse_definition(raws[0]).digest, ANN)


def lets_time_pass(there: Planner) -> None:
    there.world.clock.advance(HOLD_LIFE // 1_000_000)


@pytest.mark.parametrize(
    ("happens", "state", "reason"),
    [
        (ends_task, "withdrawn", "its task has ended"),
        (changes_policy, "superseded", "step 2: the policies are others now"),
        (lets_time_pass, "expired", "step 2: it was not answered in time"),
    ],
)
def test_what_befalls_one_step_befalls_all_that_are_left(
    there: Planner, happens: Callable[[Planner], None], state: str, reason: str
) -> None:
    there.task = there.world.start(seconds=30 * 3600)
    plan = there.propose()
    there.sign(plan)
    run(there, FIRST)
    happens(there)
    there.world.approvals.sweep()
    assert there.stands(plan) == (state, 1, ["consumed", state, state])
    assert there.whole(plan).stored.reason == reason
    assert code_of(there.call(SECOND)) != "permit"


def test_nothing_runs_by_a_plan_while_its_task_is_paused(there: Planner) -> None:
    plan = there.propose()
    there.sign(plan)
    there.world.tasks.pause("default", there.task.id, ANN, reason="")
    assert code_of(there.call(FIRST)) == "task-paused"
    assert there.stands(plan)[0] == "approved"
    there.world.tasks.resume("default", there.task.id, ANN)
    run(there, FIRST)


class Bills(BillHolding, Planner):
    """Plans of payments whose bills are files that a person declared to be looked at."""


@pytest.mark.parametrize("which", ["next", "later", "gone"])
def test_another_thing_behind_an_argument_ends_what_is_left_when_its_step_is_next(
    tmp_path: Path, which: str
) -> None:
    there = Bills(sqlite_store(), tmp_path)
    other = tmp_path / "april.txt"
    other.write_text("pay bob 20\n")
    steps: list[JsonValue] = [
        {"amount": 10, "bill": str(there.bill), "to": "bob"},
        {"amount": 20, "bill": str(other), "to": "bob"},
    ]
    plan = there.propose(*steps)
    there.sign(plan)
    changed = {"next": there.bill, "later": other, "gone": there.bill}[which]
    changed.unlink()
    if which != "gone":
        changed.write_text("pay eve 99\n")
    first = there.call(steps[0])
    if which == "later":
        there.world.tell(id_of(first))
        assert code_of(there.call(steps[1])) == "hold"
        assert there.stands(plan) == ("superseded", 1, ["consumed", "superseded"])
        assert "step 2: what it names is another thing now" in there.whole(plan).stored.reason
        return
    assert code_of(first) == ("hold" if which == "next" else "operand-unreadable")
    assert there.stands(plan) == ("superseded", 0, ["superseded"] * 2)
    assert there.whole(plan).stored.reason.startswith("step 1: what it names")


def test_a_plan_that_names_what_can_not_be_looked_at_is_refused(tmp_path: Path) -> None:
    there = Bills(sqlite_store(), tmp_path)
    with pytest.raises(PlanRefusedError, match="operand-unreadable") as error:
        there.propose(
            {"amount": 10, "bill": str(there.bill), "to": "bob"},
            {"amount": 10, "bill": str(tmp_path / "none"), "to": "bob"},
        )
    assert error.value.where.startswith("step 2")


def test_another_tool_ends_what_is_left(there: Planner) -> None:
    plan = there.propose()
    there.sign(plan)
    run(there, FIRST)
    change_tool(there.world)
    there.world.approvals.sweep()
    assert there.stands(plan)[0] == "superseded"
    assert there.whole(plan).stored.reason == "step 2: the tool is another one now"


def test_another_scope_ends_what_is_left(there: Planner) -> None:
    plan = there.propose()
    there.sign(plan)
    run(there, FIRST)
    less = scope_of({"grants": [SCOPE["grants"][0] | {"uses": 4}]})
    there.world.changes.amend("default", there.task.id, less, ANN)
    assert code_of(there.call(SECOND)) == "hold"
    assert there.stands(plan)[0] == "superseded"
    assert there.whole(plan).stored.reason == "step 2: the scope of its task is another one now"


def test_a_plan_whose_steps_were_exchanged_in_the_store_lets_nothing_run(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    here = Planner(store)
    plan = here.propose()
    here.sign(plan)
    swapped = replace(plan, questions=(plan.questions[1], plan.questions[0], plan.questions[2]))
    connection = driver.connect(tmp_path / "t.db")
    edit = "UPDATE approval_plans SET plan = ? WHERE id = ?"
    assert connection.execute(edit, (swapped.canonical, plan.id)).rowcount == 1
    connection.commit()
    connection.close()
    assert code_of(here.call(SECOND)) == "hold"
    assert here.stands(plan) == ("superseded", 0, ["superseded"] * 3)
    assert here.whole(plan).stored.reason == "what is kept of the plan is about other steps"
    store.close()


def test_a_plan_answers_only_the_questions_that_stand_in_it(here: Planner) -> None:
    plan = here.propose()
    here.sign(plan)
    steps = here.whole(plan).steps
    with here.world.store.read() as snapshot:
        keys = {one.id: one for one in snapshot.identities.person_keys("default")}
    signatures = here.world.adapters.signatures
    for one in steps:
        assert len(signed(one.question, one.answers, keys, signatures, plan=one.plan)) == 1
        assert signed(one.question, one.answers, keys, signatures) == ()
        key, device = here.devices["bob"]
        raw = here.statement_of(plan, "bob", subject=Subject.ACTION)
        forged = replace(one.answers[0], key=key.id, statement=raw, signature=device.sign(raw))
        assert signed(one.question, [forged], keys, signatures, plan=one.plan) == ()
        for changes in (
            {"step": one.question.step % 3 + 1},
            {"plan": "pln_other"},
            {"act": "0" * 64},
            {"plan": ""},
        ):
            other = replace(one.question, **changes)
            assert signed(other, one.answers, keys, signatures, plan=one.plan) == ()
