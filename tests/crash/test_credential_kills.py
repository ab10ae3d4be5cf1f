"""A daemon is killed while it permits credentials: each permit has its row, and each row its permit."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.flows.audit.rows import compare_rows
from tests.crash.kills import run_until_killed
from tests.crash.test_approval_kills import append
from tests.crash.test_bundle_kills import chance
from tests.crash.worker import POINTS, Kill, hook, mortal
from tests.peers.targeting import ALICE, Targets
from tests.world import World, codes_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.flows.decision import Answer

STEPS: Final = (3_000, 4_200, 4_900)
"""Steps of SQLite's machine after which a process is killed; the points are those of its second write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a process does until it is killed."""

    path: Path
    number: int
    at: int
    task: str
    kill: Kill = field(default_factory=Kill)


def ask(there: Targets, number: int) -> tuple[Answer, ...]:
    """A group of calls, two of them for credentials, each under a key of its own."""
    world, task = there.world, there.task
    return world.decide(
        [
            world.call(task, "bank__pay", agent="minter", key=f"pay {number}"),
            *(
                world.call(
                    task,
                    f"orders-db__credential/{kind}",
                    {"customer": "42"} if kind == "reader" else {},
                    agent="minter",
                    recipient=ALICE,
                    key=f"{kind} {number}",
                )
                for kind in ("reader", "writer")
            ),
        ]
    )


def live(life: Life) -> None:
    """A daemon starts, decides one group, says what was acknowledged, and is killed at the latest then."""
    machine = Machine(factory=mortal(life.kill.steps)) if life.kill.steps else Machine()
    store = SqlStore(life.path, reserve=0, at=hook(life.kill), machine=machine)
    there = object.__new__(Targets)
    there.world = World(store=store, chance=chance(life.number))
    there.world.clock.at = life.at
    with store.read() as snapshot:
        found = snapshot.tasks.task("default", life.task)
    assert found is not None
    there.task = found
    append(life.path, "told", " ".join(codes_of(ask(there, life.number))))
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    "kill",
    [
        *(Kill(point=point, times=2) for point in POINTS),
        *(Kill(steps=steps) for steps in STEPS),
        Kill(),
    ],
    ids=lambda kill: kill.point or f"steps {kill.steps}",
)
def test_i01_a_kill_while_credentials_are_permitted_leaves_each_with_its_permit_or_neither(
    tmp_path: Path, kill: Kill
) -> None:
    path = tmp_path / "t.db"
    store = SqlStore(path, reserve=0)
    world = World(store=store)
    world.settle_in()
    there = Targets(world)
    store.close()
    clock = world.clock
    run_until_killed(partial(live, Life(path=path, number=1, at=clock.at, task=there.task.id, kill=kill)))
    told = path.with_suffix(".told")
    store = SqlStore(path, reserve=0)
    clock.at += 1_000_000
    there.world = World(store=store, clock=clock, chance=chance(500))
    there.require_recorded()
    before = there.rows()
    assert len(before) in ({2} if told.exists() else {0, 2})
    again = codes_of(ask(there, 1))
    assert again == (["duplicate"] * 3 if before else ["permit"] * 3)
    assert len(there.rows()) == 2
    there.require_recorded()
    with store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
    store.close()
