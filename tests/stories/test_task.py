from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.errors import DeniedError
from taskbound.core.identity import InactiveAgentError, UnknownIdentityError
from taskbound.core.revocation import StoppedError
from taskbound.core.task import (
    AmbiguousTaskError,
    BadEvidenceError,
    NoTaskError,
    TaskEndedError,
    TaskEvent,
    TaskExpiredError,
    TaskSyntaxError,
    Template,
)
from taskbound.core.transition import WrongStateError
from taskbound.flows.identity import MonitorOverdueError, register_person
from taskbound.flows.revocation import stop
from taskbound.flows.task import TaskOrder, bind, drop_template, register_run, save_template
from taskbound.flows.task.delegate import UnknownTemplateError
from taskbound.flows.task.life import OutsideCeilingError
from taskbound.ports.audit import StoredCheckpoint
from tests.world import ANN, CEILING, SCOPE, scope_of

if TYPE_CHECKING:
    from taskbound.core.scope import Scope
    from tests.world import World

BOOT = "boot-1"


def order(**changes: Any) -> TaskOrder:
    plain: dict[str, Any] = {
        "namespace": "default",
        "agent": "coder",
        "purpose": "pay bills",
        "seconds": 60,
        "scope": scope_of(SCOPE),
    }
    return TaskOrder(**plain | changes)


def where(world: World, *ancestry: tuple[int, int], agent: str = "coder", named: str = "") -> str:
    return bind(world.adapters, "default", agent, boot=BOOT, ancestry=ancestry, named=named).id


def run(world: World, task: str, pid: int, started: int = 7) -> None:
    register_run(world.adapters, "default", task, ANN, boot=BOOT, pid=pid, started=started)


def test_a_started_task_runs_and_is_recorded_with_its_scope(world: World) -> None:
    task = world.settle_in()
    (event,) = world.events("task-started")
    assert (event["task"], event["scope"], event["requester"]) == (task.id, task.scope.digest, "ann")
    assert world.left(task) == {"g0/uses": 5, "g0/total/amount": 10000}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"purpose": " "}, TaskSyntaxError),
        ({"seconds": 0}, TaskSyntaxError),
        ({"seconds": 10**9}, TaskSyntaxError),
        ({"scope": None}, TaskSyntaxError),
        ({"template": "bills"}, TaskSyntaxError),
        ({"scope": None, "template": "none"}, TaskSyntaxError),
        ({"evidence": tuple(f"ticket:a:{n}" for n in range(21))}, TaskSyntaxError),
        ({"evidence": ("ticket:a:1", "ticket:a:1")}, TaskSyntaxError),
        ({"evidence": ("OPS-17",)}, BadEvidenceError),
        ({"agent": "nobody"}, UnknownIdentityError),
        ({"scope": scope_of({"grants": [{"tool": "bank__burn", "others": "any"}]})}, OutsideCeilingError),
    ],
)
def test_a_task_that_can_not_be_is_refused_and_leaves_nothing(
    world: World, changes: dict[str, Any], error: type[Exception]
) -> None:
    world.settle_in()
    before = len(world.records())
    with pytest.raises(error):
        world.tasks.start(order(**changes), ANN)
    assert len(world.records()) == before


def test_no_task_starts_while_everything_is_stopped_and_none_is_resumed(world: World) -> None:
    task = world.settle_in()
    world.tasks.pause("default", task.id, ANN, reason="")
    stop(world.adapters, "default", stopped=True, reason="", actor=ANN)
    with pytest.raises(StoppedError):
        world.tasks.start(order(), ANN)
    with pytest.raises(StoppedError):
        world.tasks.resume("default", task.id, ANN)


def test_law_9_no_task_starts_for_an_agent_that_is_not_active(world: World) -> None:
    world.settle_in()
    world.agents.suspend("default", "coder", ANN, reason="")
    with pytest.raises(InactiveAgentError):
        world.tasks.start(order(), ANN)


def test_a_monitor_that_takes_nothing_for_fifteen_minutes_starts_no_new_task(world: World) -> None:
    task = world.settle_in()
    checkpoint = StoredCheckpoint(size=1, root=b"r" * 32, note="note", at=world.clock.now())
    world.monitor.broken = True
    world.deliveries.bring(checkpoint)
    world.clock.advance(899)
    world.deliveries.bring(checkpoint)
    world.tasks.start(order(), ANN)
    world.clock.advance(2)
    with pytest.raises(MonitorOverdueError):
        world.tasks.start(order(), ANN)
    assert world.tasks.pause("default", task.id, ANN, reason="")
    world.monitor.broken = False
    assert world.deliveries.bring(checkpoint) == 1
    world.tasks.start(order(), ANN)
    assert [one["outcome"] for one in world.events("delivery")] == ["failed", "delivered"]


def test_law_5_a_checkpoint_goes_to_the_monitors_of_every_namespace(world: World) -> None:
    world.settle_in()
    register_person(world.adapters, "other", "bo", uid=1001, actor=ANN)
    given = {"owner": "bo", "approvers": ("bo",), "monitor": "world:2", "ceiling": scope_of(CEILING)}
    world.agents.register("other", "helper", actor=ANN, **given)  # type: ignore[arg-type]  # by their names
    world.agents.test_monitor("other", "helper", ANN)
    world.agents.acknowledge("other", "helper", world.monitor.messages[-1]["code"], ANN)
    world.agents.activate("other", "helper", ANN)
    checkpoint = StoredCheckpoint(size=1, root=b"r" * 32, note="note", at=world.clock.now())
    assert world.deliveries.bring(checkpoint) == 2


def test_ending_what_has_ended_changes_nothing(world: World) -> None:
    task = world.settle_in()
    assert world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="")
    before = len(world.records())
    assert world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="") == []
    assert len(world.records()) == before


def test_an_unknown_task_is_not_moved(world: World) -> None:
    world.settle_in()
    with pytest.raises(NoTaskError):
        world.tasks.end("default", "tsk_none", TaskEvent.COMPLETE, ANN, reason="")
    with pytest.raises(NoTaskError):
        world.tasks.pause("default", "tsk_none", ANN, reason="")


def test_a_running_task_is_not_resumed(world: World) -> None:
    task = world.settle_in()
    with pytest.raises(WrongStateError):
        world.tasks.resume("default", task.id, ANN)


def test_tasks_expire_by_their_deadline_oldest_first_and_only_those(world: World) -> None:
    long = world.settle_in()
    short = world.tasks.start(order(seconds=10), ANN)
    shorter = world.tasks.start(order(seconds=5), ANN)
    world.clock.advance(11)
    assert [one.task for one in world.tasks.expire()] == [shorter.id, short.id]
    assert world.tasks.expire() == []
    with world.store.read() as snapshot:
        found = snapshot.tasks.task("default", long.id)
    assert found is not None
    assert found.state.value == "running"


def test_i52_a_clock_set_back_a_day_resurrects_no_task(world: World) -> None:
    world.settle_in()
    task = world.tasks.start(order(seconds=5), ANN)
    world.clock.advance(6)
    world.tasks.expire()
    world.clock.advance(-86_400)
    with pytest.raises(WrongStateError):
        world.tasks.resume("default", task.id, ANN)


def test_a_connection_belongs_to_the_one_running_task(world: World) -> None:
    task = world.settle_in()
    assert where(world, (10, 1)) == task.id


def test_a_connection_with_two_running_tasks_and_no_run_is_refused(world: World) -> None:
    world.settle_in()
    world.start()
    with pytest.raises(AmbiguousTaskError):
        where(world, (10, 1))


def test_of_two_running_tasks_the_one_that_is_named_is_bound(world: World) -> None:
    first, second = world.settle_in(), world.start()
    assert where(world, (10, 1), named=first.id) == first.id
    assert where(world, (10, 1), named=second.id) == second.id


def test_a_name_is_no_way_into_a_task_of_another_agent_an_ended_one_or_one_beside_the_run(
    world: World,
) -> None:
    task, beside = world.settle_in(), world.start()
    world.add_agent("other")
    with pytest.raises(NoTaskError):
        where(world, (10, 1), agent="other", named=task.id)
    run(world, beside.id, 100)
    with pytest.raises(NoTaskError):
        where(world, (100, 7), named=task.id)
    assert where(world, (100, 7), named=beside.id) == beside.id
    world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="")
    with pytest.raises(TaskEndedError):
        where(world, (10, 1), named=task.id)


def test_a_connection_without_a_running_task_is_refused(world: World) -> None:
    task = world.settle_in()
    world.tasks.pause("default", task.id, ANN, reason="")
    with pytest.raises(NoTaskError):
        where(world, (10, 1))


def test_a_task_past_its_deadline_is_nobodys_before_the_sweep_came(world: World) -> None:
    world.settle_in()
    world.clock.advance(3600)
    with pytest.raises(NoTaskError):
        where(world, (10, 1))


def test_the_nearest_run_above_a_connection_names_its_task(world: World) -> None:
    outer = world.settle_in()
    inner = world.start()
    run(world, outer.id, 100)
    run(world, inner.id, 200)
    assert where(world, (9, 1), (200, 7), (100, 7)) == inner.id
    assert where(world, (9, 1), (100, 7)) == outer.id


def test_a_pid_that_was_given_to_another_process_is_no_run(world: World) -> None:
    task = world.settle_in()
    beside = world.start()
    run(world, task.id, 100, started=7)
    assert where(world, (100, 8)) == beside.id


def test_a_run_of_before_the_machines_restart_is_no_run(world: World) -> None:
    task = world.settle_in()
    beside = world.start()
    register_run(world.adapters, "default", task.id, ANN, boot="boot-0", pid=100, started=7)
    assert where(world, (100, 7)) == beside.id


def test_a_run_of_another_agents_task_gives_nothing(world: World) -> None:
    task = world.settle_in()
    world.add_agent("other")
    run(world, task.id, 100)
    with pytest.raises(NoTaskError):
        where(world, (100, 7), agent="other")


def test_only_a_live_task_takes_a_run(world: World) -> None:
    task = world.settle_in()
    world.clock.advance(3600)
    with pytest.raises(TaskExpiredError):
        run(world, task.id, 100)
    with pytest.raises(DeniedError):
        run(world, "tsk_none", 100)


def template(name: str, scope: Scope, **more: Any) -> Template:
    return Template(namespace="default", name=name, scope=scope, seconds=60, purpose=name, **more)


def test_a_task_made_from_a_template_has_its_scope(world: World) -> None:
    world.settle_in()
    save_template(world.adapters, template("bills", scope_of(SCOPE)), ANN)
    task = world.tasks.start(order(scope=None, template="bills"), ANN)
    assert task.scope == scope_of(SCOPE)
    assert world.events("task-started")[-1]["template"] == "bills"
    drop_template(world.adapters, "default", "bills", ANN)
    with pytest.raises(TaskSyntaxError):
        world.tasks.start(order(scope=None, template="bills"), ANN)
    with pytest.raises(UnknownTemplateError):
        drop_template(world.adapters, "default", "bills", ANN)


def test_a_template_saved_again_replaces_the_one_before(world: World) -> None:
    world.settle_in()
    narrow = scope_of({"grants": [{"tool": "bank__look", "others": "any"}]})
    for scope in (scope_of(SCOPE), narrow):
        save_template(world.adapters, template("t", scope), ANN)
    assert world.tasks.start(order(scope=None, template="t"), ANN).scope == narrow


def test_a_stop_that_comes_while_a_task_is_being_started_wins(world: World) -> None:
    world.settle_in()
    world.meanwhile(lambda: stop(world.adapters, "default", stopped=True, reason="", actor=ANN))
    with pytest.raises(StoppedError):
        world.tasks.start(order(), ANN)


def test_a_suspension_that_comes_while_a_task_is_being_started_wins(world: World) -> None:
    world.settle_in()
    world.meanwhile(lambda: world.agents.suspend("default", "coder", ANN, reason=""))
    with pytest.raises(UnknownIdentityError):
        world.tasks.start(order(), ANN)


def test_f6_what_ends_something_may_use_the_reserve_and_what_permits_may_not(world: World) -> None:
    task = world.settle_in()
    write = world.store.write
    asked: list[bool] = []

    def note(work: Any, *, reserve: bool = False) -> Any:
        asked.append(reserve)
        return write(work, reserve=reserve)

    world.store.write = note  # type: ignore[method-assign]  # listens at the seam
    world.tasks.pause("default", task.id, ANN, reason="")
    stop(world.adapters, "default", stopped=True, reason="", actor=ANN)
    world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="")
    world.agents.suspend("default", "coder", ANN, reason="")
    assert asked == [True] * 4
    asked.clear()
    stop(world.adapters, "default", stopped=False, reason="", actor=ANN)
    world.ask(task)
    assert asked == [False] * 2


def test_the_task_of_a_run_that_was_killed_ends_and_that_of_one_that_lives_goes_on(world: World) -> None:
    killed = world.settle_in()
    living = world.start()
    run(world, killed.id, 100)
    run(world, living.id, 200)
    alive = {(100, 7), (200, 7)}
    assert world.tasks.end_orphans(BOOT, lambda pid, started: (pid, started) in alive) == []
    alive.remove((100, 7))
    ended = world.tasks.end_orphans(BOOT, lambda pid, started: (pid, started) in alive)
    assert [(one.task, one.state.value) for one in ended] == [(killed.id, "cancelled")]
    assert world.tasks.end_orphans(BOOT, lambda pid, started: (pid, started) in alive) == []
    assert world.events("task-changed")[-1]["by"] == "daemon"


def test_a_pid_that_is_another_process_by_now_does_not_keep_a_task_alive(world: World) -> None:
    task = world.settle_in()
    run(world, task.id, 100, started=7)
    assert len(world.tasks.end_orphans(BOOT, lambda pid, started: (pid, started) == (100, 8))) == 1
