"""How long a credential may live: asked for, by its kind, and never past its task and what that stands on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.clock import Instant, seconds
from taskbound.core.task import TaskHead, TaskState, deadline_with
from tests.peers.targeting import MAY_MINT, Targets
from tests.sqlite import sqlite_store
from tests.world import World, code_of

LIVES = st.one_of(st.none(), st.integers(min_value=1, max_value=600))
AFTER = st.lists(st.integers(min_value=2, max_value=2000), min_size=1, max_size=4)
"""Seconds until the deadline of a task, and of each that is beneath it."""


@settings(max_examples=60, deadline=None)
@given(asked=LIVES, after=AFTER, late=st.integers(min_value=0, max_value=2_000_000))
def test_i03_no_credential_lasts_longer_than_was_asked_than_its_kind_or_than_any_task_above(
    asked: int | None, after: list[int], late: int
) -> None:
    world = World(store=sqlite_store())
    world.settle_in()
    there = Targets(world)
    task = world.start(scope=MAY_MINT, agent="minter", seconds=2500)
    began = world.clock.now()
    deadlines = [task.deadline]
    for much in after:
        task = world.child(task, scope=MAY_MINT)
        ends = Instant(began + seconds(much))
        with_end = replace(task, deadline=ends, version=2)
        world.store.write(lambda tx, one=with_end: tx.tasks.put_task(one, expect=1))  # type: ignore[misc]  # bound in the loop
        task = with_end
        deadlines.append(ends)
    world.views.forget()
    world.meanwhile(lambda: world.clock.advance(late / 1_000_000))
    arguments: dict[str, Any] = {"customer": "42"} if asked is None else {"customer": "42", "seconds": asked}
    code = code_of(there.ask(arguments=arguments, task=task))
    rows = there.rows()
    if code == "permit":
        (row,) = rows
        assert row.ends == min(row.made + seconds(asked or 600), *deadlines)
        assert row.ends - row.made >= seconds(1)
        there.require_recorded()
    else:
        assert code in {"bad-credential-life", "task-expired"}
        assert rows == ()
        assert min(deadlines) - world.clock.at < seconds(1)


@given(st.lists(st.integers(min_value=1, max_value=10**9), min_size=1, max_size=8))
def test_the_first_deadline_above_counts_wherever_it_is(deadlines: list[int]) -> None:
    heads = {
        f"t{number}": TaskHead(
            namespace="default",
            id=f"t{number}",
            agent="a",
            parent=f"t{number + 1}" if number + 1 < len(deadlines) else "",
            state=TaskState.RUNNING,
            deadline=Instant(one),
            version=1,
        )
        for number, one in enumerate(deadlines)
    }
    assert deadline_with("t0", heads) == min(deadlines)
