from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.task import TaskEvent, TaskSyntaxError, Template
from taskbound.flows.task import ChildOrder, TaskOrder, save_template
from tests.world import ANN, SCOPE, World, code_of, scope_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.ports.store import Store

HOLD = """
@id("all") permit (principal, action, resource);
@id("ask") @hold("confirm") forbid (principal, action, resource);
"""


def begin(world: World, **more: Any) -> Task:
    world.settle_in()
    world.add_agent("helper")
    plain: dict[str, Any] = {"heartbeat": 30, "grace": 600}
    order = TaskOrder(
        namespace="default",
        agent="coder",
        purpose="pay",
        seconds=7200,
        scope=scope_of(SCOPE),
        **plain | more,
    )
    return world.tasks.start(order, ANN)


def look(world: World) -> list[tuple[str, str]]:
    return [(one.task, one.state.value) for one in world.watch.look()]


def hear(world: World, task: Task) -> None:
    world.watch.hear({"default": [task.id]})


def test_a_task_that_nobody_is_there_for_is_paused_and_after_its_grace_it_ends(world: World) -> None:
    task = begin(world)
    world.clock.advance(29)
    assert look(world) == []
    world.clock.advance(1)
    assert look(world) == [(task.id, "paused")]
    assert code_of(world.ask(task)) == "task-paused"
    world.clock.advance(599)
    assert look(world) == []
    world.clock.advance(1)
    assert look(world) == [(task.id, "expired")]
    assert look(world) == []
    changed = [(one["event"], one["by"]) for one in world.events("task-changed")]
    assert changed == [("miss-heartbeat", "daemon"), ("overstay-grace", "daemon")]


def save(world: World, *, heartbeat: int, grace: int) -> Template:
    order = Template(
        namespace="default",
        name="bills",
        scope=scope_of(SCOPE),
        seconds=7200,
        purpose="pay",
        heartbeat=heartbeat,
        grace=grace,
    )
    return save_template(world.adapters, order, ANN)


def test_a_task_has_the_heartbeat_of_its_template_unless_it_names_one(world: World) -> None:
    world.settle_in()
    save(world, heartbeat=30, grace=600)
    plain: dict[str, Any] = {"namespace": "default", "agent": "coder", "purpose": "pay", "seconds": 7200}
    plain["template"] = "bills"
    of_template = world.tasks.start(TaskOrder(**plain), ANN)
    its_own = world.tasks.start(TaskOrder(**plain, heartbeat=60, grace=60), ANN)
    assert (of_template.heartbeat, of_template.grace) == (30, 600)
    assert (its_own.heartbeat, its_own.grace) == (60, 60)
    said = world.events("template-saved")[-1]
    assert (said["heartbeat"], said["grace"]) == (30, 600)
    world.clock.advance(30)
    assert look(world) == [(of_template.id, "paused")]
    world.clock.advance(30)
    assert look(world) == [(its_own.id, "paused")]


@pytest.mark.parametrize(("heartbeat", "grace"), [(30, 0), (0, 30), (-1, 30), (30, 2**40)])
def test_a_template_keeps_no_heartbeat_that_a_task_could_not_have(
    world: World, heartbeat: int, grace: int
) -> None:
    with pytest.raises(TaskSyntaxError):
        save(world, heartbeat=heartbeat, grace=grace)
    with world.store.read() as snapshot:
        assert snapshot.tasks.templates("default") == ()


def test_a_child_that_nobody_is_there_for_gives_back_what_it_had_and_its_parent_goes_on(world: World) -> None:
    parent = begin(world, heartbeat=0, grace=0)
    before = left(world, parent)
    child = world.delegations.delegate(
        ChildOrder(
            namespace="default",
            parent=parent.id,
            agent="helper",
            purpose="pay two of them",
            scope=scope_of(SCOPE),
            heartbeat=30,
            grace=60,
        ),
        ANN,
    )
    assert left(world, parent) != before
    world.clock.advance(30)
    assert look(world) == [(child.id, "paused")]
    assert code_of(world.ask(child, agent="helper")) == "task-paused"
    world.clock.advance(60)
    assert look(world) == [(child.id, "expired")]
    assert left(world, parent) == before
    assert code_of(world.ask(parent)) == "permit"


def left(world: World, task: Task) -> dict[str, int]:
    with world.store.read() as snapshot:
        return dict(snapshot.tasks.remainders("default", task.id))


def test_a_bound_connection_keeps_a_task_and_is_not_written_at_each_look(world: World) -> None:
    task = begin(world)
    for _ in range(20):
        world.clock.advance(11)
        hear(world, task)
        assert look(world) == []
    with world.store.read() as snapshot:
        before = snapshot.tasks.heartbeats("default", [task.id])
    world.clock.advance(5)
    hear(world, task)
    with world.store.read() as snapshot:
        assert snapshot.tasks.heartbeats("default", [task.id]) == before
    assert code_of(world.ask(task)) == "permit"


def test_law_10_a_clock_that_jumps_pauses_only_who_is_not_there(world: World) -> None:
    here, gone = begin(world), world.task(begin_more(world))
    world.clock.advance(3600)
    hear(world, here)
    assert look(world) == [(gone.id, "paused")]


def begin_more(world: World) -> Task:
    order = TaskOrder(
        namespace="default",
        agent="coder",
        purpose="pay",
        seconds=7200,
        scope=scope_of(SCOPE),
        heartbeat=30,
        grace=600,
    )
    return world.tasks.start(order, ANN)


def test_a_daemon_that_starts_waits_for_each_heartbeat_anew_and_a_grace_goes_on(world: World) -> None:
    here, gone = begin(world), begin_more(world)
    world.clock.advance(20)
    hear(world, here)
    world.clock.advance(11)
    assert look(world) == [(gone.id, "paused")]
    world.clock.advance(300)
    world.watch.begin()
    assert look(world) == []
    world.clock.advance(29)
    assert look(world) == []
    hear(world, here)
    world.clock.advance(271)
    assert (gone.id, "expired") in look(world)


def test_a_resumed_task_is_watched_anew_and_one_that_a_person_paused_is_not_watched(world: World) -> None:
    task = begin(world)
    world.clock.advance(30)
    look(world)
    world.tasks.resume("default", task.id, ANN)
    assert code_of(world.ask(task)) == "permit"
    world.clock.advance(29)
    assert look(world) == []
    world.tasks.pause("default", task.id, ANN, reason="")
    world.clock.advance(3600)
    assert look(world) == []
    world.tasks.resume("default", task.id, ANN)
    assert look(world) == []
    world.clock.advance(30)
    assert look(world) == [(task.id, "paused")]


def test_a_held_action_stops_the_clock_of_the_heartbeat_and_no_other(store: Store) -> None:
    world = World(store=store, policy=HOLD)
    task = begin(world)
    assert code_of(world.ask(task)) == "hold"
    world.clock.advance(100)
    assert look(world) == []
    world.clock.advance(7200)
    assert look(world) == []
    assert [one.state.value for one in world.tasks.expire() if one.task == task.id] == ["expired"]


def test_a_missed_heartbeat_silences_what_is_beneath_and_its_grace_ends_it_all(world: World) -> None:
    task = begin(world)
    child = world.delegate(task)
    world.clock.advance(30)
    assert look(world) == [(child.id, "paused"), (task.id, "paused")]
    assert code_of(world.ask(child, agent="helper")) == "task-paused"
    world.clock.advance(600)
    assert look(world) == [(child.id, "revoked"), (task.id, "expired")]


def test_what_is_there_again_in_the_instant_of_the_look_is_not_paused(world: World) -> None:
    task = begin(world)
    world.clock.advance(30)
    other = world.beside()
    world.meanwhile(lambda: hear(other, task))
    assert look(world) == []


def test_an_ended_task_is_watched_no_more(world: World) -> None:
    task = begin(world)
    world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="")
    with world.store.read() as snapshot:
        assert snapshot.tasks.heartbeats("default", [task.id]) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"heartbeat": 30, "grace": 0},
        {"heartbeat": 0, "grace": 30},
        {"heartbeat": 4},
        {"grace": 86_401},
        {"heartbeat": -1},
    ],
)
def test_a_heartbeat_that_can_not_be_is_refused(world: World, wrong: dict[str, int]) -> None:
    with pytest.raises(TaskSyntaxError):
        begin(world, **wrong)
