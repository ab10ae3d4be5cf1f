from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.task import (
    NoStepError,
    NotInChargeError,
    NotNextStepError,
    TaskEndedError,
    TaskEvent,
    TaskPausedError,
    TaskSyntaxError,
    WideningError,
)
from taskbound.flows.action import explain
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.identity import register_person
from taskbound.flows.means import Actor
from taskbound.flows.task.change import ScopeChangedError
from tests.world import ANN, code_of, id_of, scope_of

if TYPE_CHECKING:
    from taskbound.core.scope import Scope
    from taskbound.core.task import Task
    from tests.world import World

BOB = Actor(name="bob", proof="peer-uid:1001 (unproven)")
LOOK: dict[str, Any] = {"tool": "bank__look", "others": "any"}
STEPS = {
    "steps": [
        {"name": "look", "grants": [LOOK]},
        {"name": "pay", "grants": [{"tool": "bank__pay", "others": "any", "uses": 2}]},
        {"name": "check", "keep": True, "grants": [LOOK]},
    ]
}


def pay(uses: int = 0, **more: Any) -> dict[str, Any]:
    return {"tool": "bank__pay", "others": "any", **({"uses": uses} if uses else {}), **more}


def grants(*some: dict[str, Any]) -> Scope:
    return scope_of({"grants": list(some)})


def settle(world: World, *some: dict[str, Any]) -> Task:
    world.settle_in()
    world.add_agent("helper")
    return world.start(scope={"grants": list(some)})


def paid(world: World, task: Task, amount: int = 1, to: str = "bob") -> str:
    return code_of(world.ask(task, arguments={"to": to, "amount": amount}, agent=task.agent))


def looked(world: World, task: Task) -> str:
    return code_of(world.ask(task, "bank__look", {"path": "/srv/a"}, agent=task.agent))


def step(world: World, task: Task, name: str = "") -> Task:
    return world.changes.step("default", task.id, name, ANN)


def amend(world: World, task: Task, scope: Scope, **more: Any) -> list[str]:
    return [one.task for one in world.changes.amend("default", task.id, scope, ANN, **more)]


def differences(world: World) -> tuple[str, ...]:
    with world.store.read() as snapshot:
        return compare_rows(snapshot, lambda _done, _total: None).differences


def test_a_step_drops_the_grants_of_the_one_before_unless_it_keeps_them(world: World) -> None:
    world.settle_in()
    task = world.start(scope=STEPS)
    assert (looked(world, task), paid(world, task)) == ("permit", "outside-scope")
    step(world, task)
    assert (looked(world, task), paid(world, task)) == ("outside-scope", "permit")
    step(world, task, "check")
    assert (looked(world, task), paid(world, task)) == ("permit", "permit")
    assert paid(world, task) == "exhausted", "what was used of a kept grant stays used"
    assert [(one["step"], one["name"]) for one in world.events("task-stepped")] == [(1, "pay"), (2, "check")]
    assert differences(world) == ()


def test_there_is_no_way_back_and_none_past_the_next_step(world: World) -> None:
    world.settle_in()
    task = world.start(scope=STEPS)
    for name in ("look", "check", "nothing", "\u202epay"):
        with pytest.raises(NotNextStepError):
            step(world, task, name)
    step(world, task, "pay")
    with pytest.raises(WideningError):
        amend(world, task, grants(LOOK))
    with pytest.raises(NotNextStepError):
        step(world, task, "pay")
    with pytest.raises(NotNextStepError):
        step(world, task, "look")
    step(world, task)
    with pytest.raises(NoStepError):
        step(world, task)
    with pytest.raises(NoStepError):
        step(world, world.start())
    assert world.task(task).step == 2


def test_a_step_is_entered_only_while_the_task_runs_and_by_those_in_charge_of_it(world: World) -> None:
    world.settle_in()
    register_person(world.adapters, "default", "bob", uid=1001, actor=ANN)
    task = world.start(scope=STEPS)
    with pytest.raises(NotInChargeError):
        world.changes.step("default", task.id, "", BOB)
    world.tasks.pause("default", task.id, ANN, reason="")
    with pytest.raises(TaskPausedError):
        step(world, task)
    world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="")
    with pytest.raises(TaskEndedError):
        step(world, task)


def test_a_call_that_was_judged_before_a_step_is_judged_again(world: World) -> None:
    world.settle_in()
    task = world.start(scope=STEPS)
    assert looked(world, task) == "permit"
    other = world.beside()
    world.meanwhile(lambda: step(other, task))
    assert looked(world, task) == "outside-scope"


def test_a_child_loses_what_its_parents_step_drops(world: World) -> None:
    world.settle_in()
    world.add_agent("helper")
    parent = world.start(scope=STEPS)
    child = world.delegate(parent, scope=grants(LOOK))
    assert looked(world, child) == "permit"
    other = world.beside()
    world.meanwhile(lambda: step(other, parent))
    assert looked(world, child) == "outside-scope"
    late = world.delegate(parent, scope=grants(pay(1)))
    assert paid(world, late) == "permit"
    assert world.left(parent) == {"g1/uses": 1}


def test_an_amendment_narrows_at_once_and_what_was_used_stays_used(world: World) -> None:
    money = {"arguments": {"amount": {"any": True}}}
    task = settle(world, pay(5, total={"amount": {"limit": 10000, "exponent": 2}}, **money), LOOK)
    for _ in range(2):
        assert paid(world, task, 20) == "permit"
    amend(world, task, grants(pay(3, total={"amount": {"limit": 50, "exponent": 0}}, **money)))
    assert world.left(task) == {"g0/uses": 1, "g0/total/amount": 10}
    assert (looked(world, task), paid(world, task, 11), paid(world, task, 10)) == (
        "outside-scope",
        "exhausted",
        "permit",
    )
    after = world.task(task)
    assert (after.scope_version, after.step) == (2, 0)
    (event,) = world.events("task-amended")
    assert (event["before"], event["scope"]) == (task.scope.digest, after.scope.digest)
    assert event["left"] == ["g0/total/amount=10", "g0/uses=1"]
    assert differences(world) == ()


@pytest.mark.parametrize(
    "wider",
    [
        [pay(6)],
        [pay()],
        [pay(5), LOOK],
        [pay(3, arguments={"to": {"equals": "bob"}}), pay(3, arguments={"to": {"equals": "eve"}})],
        [pay(5), pay(1, arguments={"to": {"equals": "bob"}})],
    ],
)
def test_a_wider_scope_is_refused_and_changes_nothing(world: World, wider: list[dict[str, Any]]) -> None:
    task = settle(world, pay(5))
    before = len(world.records())
    with pytest.raises(WideningError):
        amend(world, task, grants(*wider))
    assert len(world.records()) == before
    assert world.left(task) == {"g0/uses": 5}
    assert world.task(task) == task


def test_law_3_no_row_of_amendments_gives_anything_back(world: World) -> None:
    task = settle(world, pay(6))
    split = [pay(3, arguments={"to": {"equals": "bob"}}), pay(3, arguments={"to": {"equals": "eve"}})]
    count = 0
    for _ in range(2):
        count += paid(world, task) == "permit"
    amend(world, task, grants(*split))
    for _ in range(9):
        count += paid(world, task) == "permit"
        count += paid(world, task, to="eve") == "permit"
    assert count <= 6
    with pytest.raises(WideningError):
        amend(world, task, grants(pay(6)))


def test_law_3_an_amendment_that_counts_in_other_words_gives_nothing_back(world: World) -> None:
    money = {"arguments": {"amount": {"any": True}}, "total": {"amount": {"limit": 100, "exponent": 0}}}
    task = settle(world, pay(9, **money))
    assert [paid(world, task, 40), paid(world, task, 40)] == ["permit", "permit"]
    tens = pay(5, arguments={"amount": {"equals": 10}})
    with pytest.raises(WideningError):
        amend(world, task, grants(tens))
    amend(world, task, grants({**tens, "uses": 4}))
    assert [paid(world, task, 10) for _ in range(3)] == ["permit", "permit", "exhausted"]


def test_law_3_an_amended_rate_begins_no_new_window(world: World) -> None:
    task = settle(world, pay(rate={"uses": 3, "seconds": 60}))
    assert [paid(world, task) for _ in range(2)] == ["permit", "permit"]
    amend(world, task, grants(pay(rate={"uses": 2, "seconds": 60})))
    assert paid(world, task) == "exhausted"
    world.clock.advance(60)
    assert [paid(world, task) for _ in range(3)] == ["permit", "permit", "exhausted"]


def test_an_amendment_of_what_has_ended_of_what_was_not_seen_or_to_the_same_is_refused(world: World) -> None:
    task = settle(world, pay(5))
    with pytest.raises(TaskSyntaxError):
        amend(world, task, task.scope)
    with pytest.raises(ScopeChangedError):
        amend(world, task, grants(pay(4)), seen="0" * 64)
    amend(world, task, grants(pay(4)), seen=task.scope.digest)
    world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="")
    with pytest.raises(TaskEndedError):
        amend(world, task, grants(pay(3)))


def test_a_call_that_was_judged_before_an_amendment_is_judged_again(world: World) -> None:
    task = settle(world, pay(5), LOOK)
    assert looked(world, task) == "permit"
    other = world.beside()
    world.meanwhile(lambda: amend(other, task, grants(pay(5))))
    assert looked(world, task) == "outside-scope"


def test_a_paused_task_can_be_narrowed_and_stays_paused(world: World) -> None:
    task = settle(world, pay(5))
    world.tasks.pause("default", task.id, ANN, reason="")
    amend(world, task, grants(pay(1)))
    assert paid(world, task) == "task-paused"
    world.tasks.resume("default", task.id, ANN)
    assert [paid(world, task), paid(world, task)] == ["permit", "exhausted"]


def test_children_that_are_still_covered_go_on_with_what_they_hold(world: World) -> None:
    parent = settle(world, pay(6), LOOK)
    child = world.delegate(parent, scope=grants(pay(3)))
    assert (paid(world, child), paid(world, parent)) == ("permit", "permit")
    assert amend(world, parent, grants(pay(5))) == []
    assert world.left(parent) == {"g0/uses": 1}
    assert world.left(child) == {"g0/uses": 2}
    assert paid(world, child) == "permit"
    world.tasks.end("default", child.id, TaskEvent.COMPLETE, ANN, reason="")
    assert world.left(parent) == {"g0/uses": 2}, "5 in all: one was used here, two by the child"
    assert differences(world) == ()


def test_children_beyond_the_new_scope_are_narrowed_and_so_is_what_is_beneath_them(world: World) -> None:
    parent = settle(world, pay(6, arguments={"to": {"one_of": ["bob", "eve"]}}), LOOK)
    child = world.delegate(parent, scope=grants(pay(4, arguments={"to": {"one_of": ["bob", "eve"]}})))
    below = world.delegate(child, scope=grants(pay(2, arguments={"to": {"one_of": ["bob", "eve"]}})))
    assert paid(world, below, to="eve") == "permit"
    assert amend(world, parent, grants(pay(5, arguments={"to": {"equals": "bob"}}))) == []
    for one in (below, child, parent):
        assert paid(world, one, to="eve") == "outside-scope"
        assert paid(world, one, to="bob") == "permit"
    amended = [one["task"] for one in world.events("task-amended")]
    assert amended == [below.id, child.id, parent.id]
    assert differences(world) == ()


def test_children_that_can_not_be_narrowed_end_with_all_beneath_them(world: World) -> None:
    parent = settle(world, pay(6), LOOK)
    child = world.delegate(parent, scope=grants(LOOK))
    below = world.delegate(child, scope=grants(LOOK))
    assert set(amend(world, parent, grants(pay(6)))) == {child.id, below.id}
    assert looked(world, below) == looked(world, child) == "task-ended"
    assert world.left(parent) == {"g0/uses": 6}
    assert differences(world) == ()


def test_a_child_that_is_narrowed_gives_its_parent_back_what_it_does_not_need(world: World) -> None:
    parent = settle(world, pay(6))
    child = world.delegate(parent, scope=grants(pay(5)))
    assert paid(world, child) == "permit"
    amend(world, child, grants(pay(2)))
    assert world.left(child) == {"g0/uses": 1}
    assert world.left(parent) == {"g0/uses": 4}
    world.tasks.end("default", child.id, TaskEvent.COMPLETE, ANN, reason="")
    assert world.left(parent) == {"g0/uses": 5}
    assert differences(world) == ()


def test_what_was_decided_before_an_amendment_is_not_replayed_against_another_scope(world: World) -> None:

    task = settle(world, pay(5), LOOK)
    action = id_of(world.ask(task, "bank__look", {"path": "/srv"}))
    assert explain(world.adapters, "default", action).replay == "same"
    amend(world, task, grants(pay(5)))
    assert explain(world.adapters, "default", action).replay.startswith("not computed")
