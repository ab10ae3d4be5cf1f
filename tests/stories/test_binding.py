"""Which task a connection belongs to once runs have ended: each row is an attempt, and what it gets."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.core.task import NoTaskError, TaskEndedError, TaskEvent
from taskbound.flows.task import bind, follow, register_run
from taskbound.ports.task import Run
from tests.stories.test_unclaimed import begins, newest
from tests.token_world import TokenWorld
from tests.world import ANN, code_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.task import Task
    from tests.world import World

BOOT = "boot-1"
RUN = (100, 7)
BENEATH = ((110, 9), RUN)
DEEP = ((130, 9), (120, 9), RUN)
OUTSIDE = ((50, 3), (1, 0))


def bound(
    world: World,
    ancestry: tuple[tuple[int, int], ...],
    *,
    agent: str = "coder",
    space: str = "default",
    named: str = "",
    last: str = "",
) -> str:
    """The task of a connection, or the code of its refusal."""
    try:
        return bind(world.adapters, space, agent, boot=BOOT, ancestry=ancestry, named=named, last=last).id
    except TaskboundError as error:
        return error.code


def run(world: World, task: Task, process: tuple[int, int] = RUN, boot: str = BOOT) -> None:
    pid, started = process
    register_run(world.adapters, "default", task.id, ANN, boot=boot, pid=pid, started=started)


def end(world: World, task: Task) -> None:
    world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="")


def start(world: World, agent: str, seconds: int = 7200) -> Task:
    return world.start(agent=agent, seconds=seconds)


ENDS = {"person": "task-ended", "swept": "task-ended", "deadline": "task-expired"}
WAYS = {  # ancestry, agent, whether the other task is named; and what it gets, "" for what the end says
    "gateway": (BENEATH, "coder", False, ""),
    "gateway of a grandchild": (DEEP, "coder", False, ""),
    "the run itself": ((RUN,), "coder", False, ""),
    "sdk or exec that names another task": (BENEATH, "coder", True, ""),
    "gateway of another agent": (BENEATH, "payer", False, "no-task"),
    "exec of another agent's task": (BENEATH, "payer", True, "no-task"),
}


@pytest.mark.parametrize(("ending", "way", "others"), list(product(ENDS, WAYS, (0, 1, 2))))
def test_process_beneath_a_run_whose_task_ended_gets_no_other_task(
    world: World, ending: str, way: str, others: int
) -> None:
    task = world.settle_in()
    world.add_agent("payer")
    run(world, task)
    ancestry, agent, names, code = WAYS[way]
    assert bound(world, BENEATH) == task.id
    if ending == "person":
        end(world, task)
    else:
        world.clock.advance(3600)
        if ending == "swept":
            world.tasks.expire()
    beside = [start(world, agent) for _ in range(others)]
    named = beside[0].id if names and beside else ""
    assert bound(world, ancestry, agent=agent, named=named) == (code or ENDS[ending])
    if others == 1:
        assert bound(world, OUTSIDE, agent=agent) == beside[0].id


@pytest.mark.parametrize(
    ("ancestry", "agent", "space"),
    [
        pytest.param(BENEATH, "payer", "default", id="another agent beneath a live run"),
        pytest.param(BENEATH, "coder", "other", id="another namespace beneath a live run"),
        pytest.param(OUTSIDE, "coder", "default", id="outside, and the only task is a run's"),
    ],
)
def test_task_of_a_run_binds_only_its_agent_beneath_it(
    world: World, ancestry: tuple[tuple[int, int], ...], agent: str, space: str
) -> None:
    task = world.settle_in()
    world.add_agent("payer")
    start(world, "payer")
    run(world, task)
    assert bound(world, ancestry, agent=agent, space=space) == "no-task"


def test_task_of_a_run_is_not_reached_by_name_from_outside(world: World) -> None:
    task = world.settle_in()
    run(world, task)
    assert bound(world, OUTSIDE, named=task.id) == "no-task"


def test_task_of_a_run_does_not_make_the_free_task_ambiguous(world: World) -> None:
    run(world, world.settle_in())
    free = start(world, "coder")
    assert bound(world, OUTSIDE) == free.id


def test_task_of_a_run_of_an_earlier_boot_is_reached_by_no_process(world: World) -> None:
    run(world, world.settle_in(), boot="boot-0")
    assert bound(world, BENEATH) == bound(world, OUTSIDE) == "no-task"


def test_reused_process_id_is_outside_the_ended_run(world: World) -> None:
    task = world.settle_in()
    run(world, task)
    end(world, task)
    free = start(world, "coder")
    assert bound(world, ((100, 8),)) == free.id


def test_nearest_run_decides_when_its_task_ended_and_an_outer_one_is_live(world: World) -> None:
    outer = world.settle_in()
    inner = start(world, "coder")
    run(world, outer, (90, 1))
    run(world, inner)
    end(world, inner)
    assert bound(world, (*BENEATH, (90, 1))) == "task-ended"


def test_run_registered_in_another_namespace_decides_after_its_task_ended(world: World) -> None:
    free = world.settle_in()
    foreign = Run(namespace="other", task="tsk_gone", boot=BOOT, pid=RUN[0], started=RUN[1])
    world.store.write(lambda tx: tx.tasks.put_run(foreign))
    assert bound(world, BENEATH) == "no-task"
    assert bound(world, OUTSIDE) == free.id


def test_paused_task_of_a_run_stays_bound(world: World) -> None:
    task = world.settle_in()
    run(world, task)
    world.tasks.pause("default", task.id, ANN, reason="")
    assert bound(world, BENEATH) == task.id


def test_outside_connection_follows_a_task_that_a_person_started_and_the_log_says_so(world: World) -> None:
    before = world.settle_in()
    end(world, before)
    world.clock.advance(1)
    after = start(world, "coder")
    assert bound(world, OUTSIDE, last=before.id) == after.id
    follow(world.adapters, after, before.id, connection="con_1", proof="peer-uid:1000")
    (event,) = world.events("task-followed")
    assert (event["task"], event["before"], event["agent"]) == (after.id, before.id, "coder")
    assert (event["connection"], event["proof"]) == ("con_1", "peer-uid:1000")


@pytest.mark.parametrize("kind", ["delegated", "older"])
def test_outside_connection_does_not_follow_a_task_that_was_not_started_next(world: World, kind: str) -> None:
    first = world.settle_in()
    world.clock.advance(1)
    second = start(world, "coder")
    if kind == "delegated":
        child = world.child(first)
        run(world, first)
        end(world, second)
        assert bound(world, OUTSIDE) == child.id
    else:
        end(world, second)
    assert bound(world, OUTSIDE, last=second.id) == "no-task"


@pytest.mark.parametrize(("others", "restarted"), list(product((0, 1, 2), (False, True))))
def test_bearer_token_of_an_ended_run_is_refused_and_reaches_no_other_task(
    here: TokenWorld, tmp_path: Path, others: int, *, restarted: bool
) -> None:
    task = here.settle_in()
    run(here.world, task)
    issued = here.issue(task)
    assert here.verify(issued.text).token.task == task.id
    end(here.world, task)
    for _ in range(others):
        start(here.world, "coder")
    there = here
    if restarted:
        here.close()
        there = TokenWorld(here.adapters.store, tmp_path, world=here.world.beside())
    with closing(there):
        call = replace(there.world.call(task), token=issued.token.id)
        (answer,) = there.world.decide([call])
        assert code_of(answer) == "task-ended"
        for attempt in (lambda: there.verify(issued.text), lambda: there.issue(task)):
            with pytest.raises(TaskEndedError):
                attempt()
        assert [one["task"] for one in there.world.events("action-decided")] == [task.id]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("before", ["nothing", "another task", "the task itself"])
@pytest.mark.parametrize(
    ("begun", "agent"), [("in a person's name", "coder"), ("handed on", "helper")], ids=["person", "handed"]
)
def test_task_begun_for_a_client_that_shows_a_token_is_given_to_no_connection_outside(
    here: TokenWorld, begun: str, agent: str, before: str, *, named: bool
) -> None:
    begin = begins(here, begun)
    if agent == "coder":
        end(here.world, newest(here.world))
    earlier = start(here.world, agent)
    end(here.world, earlier)
    here.world.clock.advance(1)
    task = begin()
    last = {"nothing": "", "another task": earlier.id, "the task itself": task}[before]
    assert bound(here.world, OUTSIDE, agent=agent, last=last, named=task if named else "") == "no-task"
    mine = start(here.world, agent)
    assert bound(here.world, OUTSIDE, agent=agent, last=last) == mine.id != task


@pytest.mark.parametrize("others", [0, 1])
def test_task_whose_run_was_killed_after_registration_passes_to_no_process(world: World, others: int) -> None:
    task = world.settle_in()
    run(world, task)  # and it is killed: what stood beneath it has another parent now
    free = [start(world, "coder") for _ in range(others)]
    outside = free[0].id if free else "no-task"
    assert bound(world, OUTSIDE) == outside
    assert bound(world, OUTSIDE, named=task.id) == "no-task"
    assert bound(world, BENEATH) == task.id  # connected before the kill: its ancestry was read then
    (moved,) = world.tasks.end_orphans(BOOT, lambda pid, started: (pid, started) != RUN)
    assert moved.task == task.id
    assert bound(world, BENEATH) == "task-ended"
    assert bound(world, OUTSIDE) == outside


def test_call_whose_task_ends_between_its_binding_and_its_commit_is_refused(world: World) -> None:
    task = world.settle_in()
    run(world, task)
    start(world, "coder")
    assert bound(world, BENEATH) == task.id
    world.meanwhile(lambda: end(world, task))
    assert code_of(world.ask(task)) == "task-ended"
    assert {one["task"] for one in world.events("action-decided")} <= {task.id}


def test_task_that_ends_while_a_run_registers_for_it_is_no_runs(world: World) -> None:
    task = world.settle_in()
    world.meanwhile(lambda: end(world, task))
    with pytest.raises(TaskEndedError):
        run(world, task)
    assert world.events("run-registered") == []


def test_end_between_binding_and_registration_leaves_no_run(world: World) -> None:
    task = world.settle_in()
    end(world, task)
    with pytest.raises(TaskEndedError):
        run(world, task)
    with world.store.read() as snapshot:
        assert snapshot.tasks.registered(BOOT) == ()
    with pytest.raises(NoTaskError):
        bind(world.adapters, "default", "coder", boot=BOOT, ancestry=BENEATH)
