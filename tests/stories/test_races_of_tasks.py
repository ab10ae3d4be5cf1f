"""Two daemons on one database hand on, decide and end at once; nothing is multiplied, and nothing is lost."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.core.decision import Permit, Settled
from taskbound.core.errors import TaskboundError
from taskbound.core.task import ENDED, TaskEvent, held
from taskbound.flows.audit.rows import compare_rows
from tests.world import ANN, World, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.task import Task
    from tests.postgres import Server

USES = 60


def uses(count: int) -> dict[str, Any]:
    return {"grants": [{"tool": "bank__pay", "others": "any", "uses": count}]}


@pytest.fixture
def worlds(server: Server) -> Iterator[tuple[World, World]]:
    name = server.database()
    stores = [PostgresStore(server.url(name)) for _ in range(2)]
    first = World(store=stores[0])
    yield first, World(store=stores[1], clock=first.clock, chance=first.chance)
    for one in stores:
        one.close()
    server.drop(name)


def living(world: World, root: Task) -> list[Task]:
    with world.store.read() as snapshot:
        return [one for one in snapshot.tasks.tree("default", root.id) if one.state not in ENDED]


def together(*works: Any) -> None:
    barrier = threading.Barrier(len(works))

    def run(work: Any) -> None:
        barrier.wait()
        work()

    threads = [threading.Thread(target=run, args=(one,)) for one in works]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def test_law_3_two_daemons_that_split_one_task_at_once_multiply_nothing(worlds: tuple[World, World]) -> None:
    root = worlds[0].settle_in()
    worlds[0].add_agent("helper")
    root = worlds[0].start(scope=uses(5))
    taken: list[str] = []

    def split(world: World) -> None:
        for _ in range(8):
            try:
                taken.append(world.delegate(root, scope=scope_of(uses(1))).id)
            except TaskboundError as error:
                assert error.code in {"outside-parent", "conflict"}  # noqa: PT017 - whichever came first

    together(*(lambda world=world: split(world) for world in worlds))
    assert len(taken) == 5
    assert worlds[0].left(root) == {"g0/uses": 0}
    assert worlds[0].left(worlds[0].task(root)) == {"g0/uses": 0}


def test_law_3_what_is_spent_held_and_left_is_what_there_was_whatever_happens_at_once(
    worlds: tuple[World, World],
) -> None:
    worlds[0].settle_in()
    worlds[0].add_agent("helper")
    root = worlds[0].start(scope=uses(USES))
    permits: list[str] = []

    def act(world: World, seed: int) -> None:
        chosen = random.Random(seed)  # noqa: S311  # a course of events that can be repeated
        for _ in range(30):
            tasks = living(world, root)
            task = chosen.choice(tasks)
            try:
                match chosen.randrange(4):
                    case 0:
                        world.delegate(task, scope=scope_of(uses(chosen.randint(1, 6))))
                    case 1 if task.id != root.id:
                        world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="")
                    case _:
                        answer = world.ask(task, agent=task.agent, connection=f"con_{seed}")
                        if isinstance(answer, Settled) and isinstance(answer.decision, Permit):
                            permits.append(answer.proposal.id)
            except TaskboundError as error:
                allowed = {
                    "outside-parent",
                    "task-ended",
                    "conflict",
                    "no-task",
                    "tree-too-large",
                    "wrong-state",
                }
                assert error.code in allowed  # noqa: PT017 - whichever came first

    together(*(lambda world=world, seed=seed: act(world, seed) for seed, world in enumerate(worlds)))
    with worlds[0].store.read() as snapshot:
        tasks = [one for one in snapshot.tasks.tree("default", root.id) if one.state not in ENDED]
        left = {one.id: snapshot.tasks.remainders("default", one.id) for one in tasks}
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
        for one in tasks:
            assert one.parent == "" or one.parent in left, "nothing runs beneath what has ended"
    assert held(tasks[0], tasks, left)["g0/uses"] + len(permits) == USES


def test_law_3_two_daemons_that_narrow_one_task_at_once_give_it_one_scope_and_nothing_back(
    worlds: tuple[World, World],
) -> None:
    worlds[0].settle_in()
    worlds[0].add_agent("helper")
    root = worlds[0].start(scope=uses(USES))
    worlds[0].delegate(root, scope=scope_of(uses(8)))
    permits: list[str] = []
    given: list[int] = []

    def narrow(world: World, seed: int) -> None:
        for turn in range(6):
            most = USES - 4 * turn - 2 * seed - 1
            try:
                world.changes.amend("default", root.id, scope_of(uses(most)), ANN)
                given.append(most)
            except TaskboundError as error:
                assert error.code in {"amendment-widens", "conflict"}  # noqa: PT017 - whichever came first
            for task in living(world, root):
                answer = world.ask(task, agent=task.agent, connection=f"con_{seed}")
                if isinstance(answer, Settled) and isinstance(answer.decision, Permit):
                    permits.append(answer.proposal.id)

    together(*(lambda world=world, seed=seed: narrow(world, seed) for seed, world in enumerate(worlds)))
    with worlds[0].store.read() as snapshot:
        tasks = [one for one in snapshot.tasks.tree("default", root.id) if one.state not in ENDED]
        left = {one.id: snapshot.tasks.remainders("default", one.id) for one in tasks}
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
    now = worlds[0].task(root)
    assert now.scope == scope_of(uses(min(given))), "the narrowest of them holds, whichever came last"
    assert held(now, tasks, left)["g0/uses"] + len(permits) == min(given)
    assert (
        sum(one["task"] == root.id for one in worlds[0].events("task-amended"))
        == len(given)
        == now.scope_version - 1
    )
