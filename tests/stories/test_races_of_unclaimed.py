"""One daemon lets somebody in to a task while another one gives it up, stopped at every step of both."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import pytest

from taskbound.core.task import TaskEndedError, TaskState
from taskbound.flows.task import TaskOrder, claim_task
from tests.stories.test_races_of_watches import two
from tests.world import ANN, SCOPE, World, scope_of

if TYPE_CHECKING:
    from tests.stories.test_races_of_bundles import Two

__all__ = ["two"]

CLAIMS, SWEEPS = 4, 7
"""Where each of two may stop: before its transaction, and before each of its first steps within."""
ORDER = TaskOrder(
    namespace="default", agent="coder", purpose="pay", seconds=7200, scope=scope_of(SCOPE), unclaimed=True
)


def claimed(world: World, task: str, done: list[str]) -> None:
    with suppress(TaskEndedError):
        claim_task(world.adapters, "default", task)
        done.append(task)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["who claims goes on first", "who gives up goes on first"])
def test_a_task_is_claimed_or_given_up_and_never_both(two: Two, first: int) -> None:
    two.first.settle_in()
    came: set[bool] = set()
    for stops in product(range(CLAIMS), range(SWEEPS)):
        task = two.first.tasks.start(ORDER, ANN)
        two.first.clock.advance(60)
        done: list[str] = []
        two.interleave(
            stops, first, [partial(claimed, two.first, task.id, done), two.second.tasks.end_unclaimed]
        )
        state = two.first.task(task).state
        assert (state is TaskState.RUNNING) == (done == [task.id]), (stops, state)
        with two.first.store.read() as snapshot:
            assert snapshot.unclaimed.due(two.first.clock.now()) == (), stops
        two.second.tasks.end_unclaimed()
        assert two.first.task(task).state is state
        came.add(state is TaskState.RUNNING)
    assert came == {True, False}
