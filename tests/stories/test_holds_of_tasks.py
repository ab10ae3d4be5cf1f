"""What waits for people while a task steps, is narrowed, or loses a child."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.flows.action import Withhold
from taskbound.flows.audit.rows import compare_rows
from tests.peers.holding import Holding
from tests.sqlite import sqlite_store
from tests.world import ANN, code_of, id_of, scope_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.ports.store import Store

LOOK = {"tool": "bank__look", "others": "any"}
ANOTHER_SCOPE = "the scope of its task is another one now"


def pay(uses: int, to: str = "") -> dict[str, Any]:
    plain: dict[str, Any] = {"tool": "bank__pay", "others": "any", "uses": uses}
    return {**plain, "arguments": {"to": {"equals": to}}} if to else plain


@pytest.fixture
def there(store: Store) -> Holding:
    return Holding(store)


def held(there: Holding, task: Task, **more: Any) -> str:
    answer = there.world.ask(task, agent=task.agent, **more)
    assert code_of(answer) == "hold"
    return id_of(answer)


def amend(there: Holding, task: Task, *grants: dict[str, Any]) -> None:
    there.world.changes.amend("default", task.id, scope_of({"grants": list(grants)}), ANN)


def whole(there: Holding) -> bool:
    with there.world.store.read() as snapshot:
        return compare_rows(snapshot, lambda _done, _total: None).differences == ()


@pytest.mark.parametrize("change", ["step", "amend"])
def test_what_was_approved_is_outside_scope_when_its_grant_went_meanwhile(
    there: Holding, change: str
) -> None:
    steps = {"steps": [{"name": "pay", "grants": [pay(3)]}, {"name": "look", "grants": [LOOK]}]}
    grants = {"grants": [pay(3), LOOK]}
    task = there.world.start(scope=steps if change == "step" else grants)
    action = held(there, task)
    there.say(action, "bob")
    if change == "step":
        there.world.changes.step("default", task.id, "look", ANN)
    else:
        amend(there, task, LOOK)
    for resume in ("", action):
        assert code_of(there.world.ask(task, resume=resume)) == "outside-scope"
    assert there.state(action)[1] != "consumed"
    assert [one["decision"] for one in there.world.events("action-decided") if one["action"] == action] == [
        "hold"
    ]
    assert whole(there)


def test_what_was_approved_under_another_scope_is_superseded_and_asked_anew_and_says_so(
    there: Holding,
) -> None:
    task = there.world.start(scope={"grants": [pay(3)]})
    action = held(there, task)
    there.say(action, "bob")
    amend(there, task, pay(2))
    again = held(there, task)
    assert again != action
    assert there.state(action) == ("withdrawn", "superseded")
    ends = [one for one in there.world.events("approval-changed") if one["action"] == action]
    assert (ends[-1]["after"], ends[-1]["reason"]) == ("superseded", ANOTHER_SCOPE)
    there.say(again, "bob")
    assert code_of(there.world.ask(task)) == "permit"
    assert whole(there)


def test_a_step_that_keeps_the_grant_keeps_what_was_approved_of_it(there: Holding) -> None:
    steps = {"steps": [{"name": "pay", "grants": [pay(3)]}, {"name": "look", "keep": True, "grants": [LOOK]}]}
    task = there.world.start(scope=steps)
    action = held(there, task)
    there.say(action, "bob")
    there.world.changes.step("default", task.id, "look", ANN)
    answer = there.world.ask(task)
    assert (code_of(answer), id_of(answer)) == ("permit", action)
    assert whole(there)


def test_an_amendment_between_judging_and_using_uses_no_approval(there: Holding) -> None:
    task = there.world.start(scope={"grants": [pay(3), LOOK]})
    action = held(there, task)
    there.say(action, "bob")
    other = there.world.beside()
    narrow = scope_of({"grants": [LOOK]})
    there.world.meanwhile(lambda: other.changes.amend("default", task.id, narrow, ANN))
    assert code_of(there.world.ask(task)) == "outside-scope"
    assert there.state(action)[1] != "consumed"


def test_law_4_what_is_asked_for_a_child_that_an_amendment_ends_is_withdrawn_with_it(there: Holding) -> None:
    there.world.add_agent("helper")
    parent = there.world.start(scope={"grants": [pay(6), LOOK]})
    child = there.world.delegate(parent, scope=scope_of({"grants": [pay(3), LOOK]}))
    below = there.world.delegate(child, scope=scope_of({"grants": [pay(1)]}))
    kept = held(there, parent)
    asked, approved = held(there, child), held(there, below)
    there.say(approved, "bob")
    amend(there, parent, LOOK)
    states = {one: there.world.task(one).state.value for one in (child, below)}
    assert states[below] == "revoked"
    assert there.state(approved) == ("withdrawn", "withdrawn")
    assert there.state(kept)[0] == "held", "its task runs, so that it waits until it is looked at"
    assert states[child] == "running", "it is narrowed to what both permit"
    assert code_of(there.world.ask(child, agent="helper", resume=asked)) == "outside-scope"
    assert code_of(there.world.ask(below, agent="helper", resume=approved)) == "task-ended"
    with_reasons = {one["action"]: one["reason"] for one in there.world.events("approval-changed")}
    assert with_reasons[approved] == "its task has ended"
    assert whole(there)


def test_a_question_of_a_child_that_is_narrowed_is_superseded_when_it_is_presented() -> None:
    there = Holding(sqlite_store())
    there.world.add_agent("helper")
    parent = there.world.start(scope={"grants": [pay(6), LOOK]})
    child = there.world.delegate(parent, scope=scope_of({"grants": [pay(3)]}))
    action = held(there, child)
    there.say(action, "bob")
    amend(there, parent, pay(6, to="bob"), LOOK)
    assert held(there, child) != action
    assert there.state(action) == ("withdrawn", "superseded")


def test_what_was_asked_under_the_scope_of_now_is_not_ended_by_who_still_sees_the_one_before(
    there: Holding,
) -> None:
    task = there.world.start(scope={"grants": [pay(3), LOOK]})
    held(there, task, request="before")  # this daemon has seen the task
    other = there.world.beside()
    other.changes.amend("default", task.id, scope_of({"grants": [pay(2), LOOK]}), ANN)
    asked = other.ask(task, agent=task.agent, request="after")
    there.say(id_of(asked), "bob")
    answer = there.world.ask(task, agent=task.agent, request="after")
    assert (code_of(answer), id_of(answer)) == ("permit", id_of(asked))
    assert there.state(id_of(asked)) == ("permitted", "consumed")


@pytest.mark.parametrize("narrower", [{"uses": 2}, {"arguments": {"to": {"equals": "ann"}}, "uses": 3}])
def test_what_was_not_sent_fills_no_limit_of_an_amended_scope(
    there: Holding, narrower: dict[str, Any]
) -> None:
    world = there.world
    task = world.start(scope={"grants": [{"tool": "bank__look", "others": "any", "uses": 9}]})
    actions = [id_of(world.ask(task, tool="bank__look", request=str(one))) for one in range(4)]
    grant = {"tool": "bank__look", "others": "any", **narrower}
    amend(there, task, grant)
    before = world.left(task)
    for one in actions:
        assert isinstance(world.tell(one, "not-sent"), Withhold)
    assert world.left(task) == before
    assert whole(there)
