"""A daemon is killed while it proposes a bundle and puts it in force: the old or the new one is, whole."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.core.policy import ActiveBundle
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.policy import Policies
from tests.crash.kills import run_until_killed
from tests.crash.worker import POINTS, Kill, hook, mortal
from tests.stories.test_bundles import LARGE, NEVER, put_in_force
from tests.world import CEILING, World, WorldChance, code_of

if TYPE_CHECKING:
    from pathlib import Path

WRITES = ("open", "propose", "activate")
STEPS = (40, 200, 400, 700, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000)


def chance(number: int) -> WorldChance:
    """Names that no other process of this database gives."""
    found = WorldChance()
    for _ in range(number * 1_000):
        found.name("x")
    return found


def live(path: Path, number: int, kill: Kill) -> None:
    """A daemon's life, to its end: it starts, somebody proposes, and puts it in force."""
    machine = Machine(factory=mortal(kill.steps)) if kill.steps else Machine()
    world = World(store=SqlStore(path, reserve=0, at=hook(kill), machine=machine), chance=chance(number))
    world.clock.at += number * 1_000_000
    put_in_force(world, NEVER.replace("never", f"never-{number}"))
    os.kill(os.getpid(), signal.SIGKILL)


def make(path: Path) -> tuple[str, ActiveBundle]:
    """A database with a running task, and a bundle in force that lets it pay."""
    store = SqlStore(path, reserve=0)
    world = World(store=store)
    world.settle_in()
    task = world.start(scope=CEILING)  # as often as it likes
    digest = put_in_force(world, LARGE)
    store.close()
    return task.id, ActiveBundle(epoch=1, digest=digest)


def require_one_whole(path: Path, task: str, before: ActiveBundle, number: int) -> ActiveBundle:
    """Start again: what is in force is what was or what was to be, with its records, and it decides."""
    store = SqlStore(path, reserve=0)
    world = World(store=store, chance=chance(500 + number))
    world.clock.at += number * 1_000_000 + 500_000
    with store.read() as snapshot:
        now = snapshot.policy.in_force("default")
        kept = {one.digest for one in snapshot.policy.bundles("default")}
        running = snapshot.tasks.task("default", task)
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
    put = [(one["epoch"], one["bundle"]) for one in world.events("policy-activated")]
    assert put[-1] == (now.epoch, now.digest)
    assert kept == {one["bundle"] for one in world.events("policy-proposed")}
    policies = world.adapters.policy
    assert isinstance(policies, Policies)
    assert policies.at("default", now).bundle == now.digest
    if now != before:
        assert now.epoch == before.epoch + 1
    assert running is not None
    answer = world.ask(running, arguments={"to": "eve", "amount": number}, request=f"r{number}")
    assert code_of(answer) in {"permit", "forbidden"}
    assert world.events("action-decided")[-1]["bundle"] == now.digest
    store.close()
    return now


@pytest.mark.timeout(300)
@pytest.mark.parametrize("point", POINTS)
def test_i24_a_kill_at_any_point_of_a_proposal_or_an_activation_leaves_one_bundle_in_force_whole(
    tmp_path: Path, point: str
) -> None:
    task, before = make(tmp_path / "t.db")
    for number, write in enumerate(WRITES, start=1):
        run_until_killed(partial(live, tmp_path / "t.db", number, Kill(point=point, times=number)))
        now = require_one_whole(tmp_path / "t.db", task, before, number)
        assert (now != before) is (write == "activate" and point == "after-commit"), write
        before = now


@pytest.mark.timeout(300)
def test_i24_a_kill_within_any_statement_leaves_one_bundle_in_force_whole(tmp_path: Path) -> None:
    task, before = make(tmp_path / "t.db")
    moved = []
    for number, steps in enumerate(STEPS, start=1):
        run_until_killed(partial(live, tmp_path / "t.db", number, Kill(steps=steps)))
        now = require_one_whole(tmp_path / "t.db", task, before, number)
        moved.append(now != before)
        before = now
    assert set(moved) == {True, False}, "the kills are all on one side of the commit"
