"""Several daemons end what one task has in targets, at once and for reasons of their own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from taskbound.core.credential import CredentialState
from taskbound.core.errors import DeniedError
from taskbound.core.task import TaskEvent
from taskbound.flows.credential import end_credentials, end_stranded
from taskbound.flows.revocation import stop
from tests.stories.test_credential_ends import give, recorded
from tests.world import ANN, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.audit import Event
    from taskbound.core.task import Task
    from taskbound.ports.store import Store, Transaction

LETTERS = ("abcdef", "ghijkl", "mnopqr", "stuvwx")
"""Of the ids of what each task has."""


def ended_by_hand(world: World, task: Task) -> None:
    def work(tx: Transaction) -> None:
        now = world.clock.now()
        events: list[Event] = end_credentials(tx, "default", {task.id}, "a person said so", now)
        if events:
            tx.audit.append("default", world.adapters.writer, events, now)

    world.store.write(work)


def cancelled(world: World, task: Task) -> None:
    world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="no")


def stopped(world: World, task: Task) -> None:
    del task
    stop(world.adapters, "default", stopped=True, reason="all of it", actor=ANN)
    end_stranded(world.adapters, "default")


def at_once(*acts: Callable[[], None]) -> list[BaseException]:
    """All of them at one instant; what was none of the answers that a daemon may have."""
    barrier = threading.Barrier(len(acts))
    odd: list[BaseException] = []

    def run(act: Callable[[], None]) -> None:
        barrier.wait()
        try:
            act()
        except DeniedError:
            return
        except BaseException as error:  # noqa: BLE001 - whatever went wrong is the finding
            odd.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in acts]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return odd


def test_i01_two_daemons_that_end_one_tasks_credentials_at_once_end_each_once(
    stores: tuple[Store, Store],
) -> None:
    first = World(store=stores[0])
    first.settle_in()
    second = World(store=stores[1], clock=first.clock, chance=first.chance)
    for turn in range(len(LETTERS)):
        task = first.start()
        rows = [give(first, task, one) for one in LETTERS[turn]]
        before = len(recorded(first))
        assert at_once(lambda t=task: cancelled(first, t), lambda t=task: ended_by_hand(second, t)) == []  # type: ignore[misc] # bound at once
        assert sorted(one["credential"] for one in recorded(first)[before:]) == [one.id for one in rows]
        require_ended_once(first, task)


def test_i01_a_stop_and_the_end_of_a_task_at_two_daemons_end_each_of_its_credentials_once(
    stores: tuple[Store, Store],
) -> None:
    first = World(store=stores[0])
    first.settle_in()
    second = World(store=stores[1], clock=first.clock, chance=first.chance)
    task = first.start()
    rows = [give(first, task, one) for one in LETTERS[0]]
    assert at_once(lambda: stopped(second, task), lambda: cancelled(first, task)) == []
    end_stranded(first.adapters, "default")
    assert sorted(one["credential"] for one in recorded(first)) == [one.id for one in rows]
    require_ended_once(first, task)


def require_ended_once(world: World, task: Task) -> None:
    with world.store.read() as seen:
        found = seen.credentials.credentials("default", task=task.id)
    assert len(found) == len(LETTERS[0])
    assert {one.state for one in found} == {CredentialState.REVOKING}
    assert {one.version for one in found} == {2}
