from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.core.audit import TaskChanged, TaskStarted, parse_record
from taskbound.core.task import TaskState
from taskbound.flows.audit.rows import compare_rows
from tests.crash.kills import run_until_killed
from tests.crash.unclaimed import Chance, exchange_until_killed
from tests.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.task import Task

POINTS = ("begin", "locked", "written", "before-commit", "after-commit", "asked", "signed")
"""Of each transaction of an exchange, and before and after its token is signed."""
STARTS, CLAIMS = 1, 3
"""Which transaction of an exchange starts the task, and which is the one that lets somebody in to it."""
STEP = {"asked": 1, "signed": 1}


def begun(store: Any) -> Task | None:
    """The task of the exchange; the world's own is the first."""
    with store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
        tasks = cast("tuple[Task, ...]", snapshot.tasks.tasks("default", limit=10))
        bodies = [one.body for one in snapshot.audit.pending(1000)]
    events = [parse_record(one).event for one in bodies]
    assert {one.task for one in events if isinstance(one, TaskStarted)} == {one.id for one in tasks}
    ended = {one.task for one in events if isinstance(one, TaskChanged) and one.after == "cancelled"}
    assert ended == {one.id for one in tasks if one.state is TaskState.CANCELLED}
    return tasks[0] if len(tasks) > 1 else None


@pytest.mark.parametrize(
    ("point", "times"),
    [(point, times) for point in POINTS for times in range(1, STEP.get(point, CLAIMS) + 1)],
)
def test_a_kill_at_any_point_of_an_exchange_leaves_no_task_that_runs_for_nobody(
    tmp_path: Path, point: str, times: int
) -> None:
    run_until_killed(partial(exchange_until_killed, tmp_path, point, times))
    assert not (tmp_path / "answered").exists()
    store = SqlStore(tmp_path / "t.db", reserve=0)
    try:
        left = begun(store)
        started = (point, times) == ("after-commit", STARTS) or times > STARTS or point in STEP
        assert (left is not None) is started
        world = World(store=store, chance=Chance(2))
        world.clock.advance(90)
        ended = [one.task for one in world.tasks.end_unclaimed()]
        claimed = (point, times) == ("after-commit", CLAIMS)
        assert ended == ([left.id] if left is not None and not claimed else [])
        after = begun(store)
        if after is not None:
            assert (after.state is TaskState.RUNNING) is claimed
        assert world.tasks.end_unclaimed() == []
    finally:
        store.close()


def test_an_exchange_has_no_transaction_and_no_point_beyond_those(tmp_path: Path) -> None:
    run_until_killed(partial(exchange_until_killed, tmp_path, "begin", CLAIMS + 1))
    assert (tmp_path / "answered").exists()
