"""The facts that are recorded beside a refusal say what its decision found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.task import TaskEvent
from taskbound.flows.action import explain
from taskbound.flows.revocation import stop
from tests.sqlite import sqlite_store
from tests.world import ANN, World, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task
    from taskbound.flows.decision import Answer


def _outside(world: World, task: Task) -> Answer:
    return world.ask(task, "bank__pay", {"to": "mallory", "amount": 1})


def _unknown(world: World, task: Task) -> Answer:
    return world.ask(task, "bank__burn", {})


def _ended(world: World, task: Task) -> Answer:
    world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="done")
    return world.ask(task)


def _paused(world: World, task: Task) -> Answer:
    world.tasks.pause("default", task.id, ANN, reason="lunch")
    return world.ask(task)


def _stopped(world: World, task: Task) -> Answer:
    stop(world.adapters, "default", stopped=True, reason="drill", actor=ANN)
    return world.ask(task)


def _exhausted(world: World, task: Task) -> Answer:
    for _ in range(5):
        world.ask(task)
    return world.ask(task)


@pytest.mark.parametrize(
    ("refuse", "code", "covered"),
    [
        (_outside, "outside-scope", "false"),
        (_unknown, "unknown-tool", None),
        (_ended, "task-ended", None),
        (_paused, "task-paused", None),
        (_stopped, "stopped", None),
        (_exhausted, "exhausted", "true"),
        (World.ask, "permit", "true"),
    ],
)
def test_recorded_fact_covered_is_what_the_decision_found(
    refuse: Callable[[World, Task], Answer], code: str, covered: str | None
) -> None:
    world = World(store=sqlite_store())
    answer = refuse(world, world.settle_in())
    assert code_of(answer) == code
    found = explain(world.adapters, "default", id_of(answer))
    assert dict(found.action.facts).get("covered") == covered
    assert any(one.startswith("covered ") for one in found.facts) is (covered is not None)
