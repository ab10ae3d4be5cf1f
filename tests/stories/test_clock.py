from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.clock.system import SystemClock
from taskbound.core.clock import Instant
from taskbound.flows.action import Withhold
from tests.world import World, code_of, id_of

if TYPE_CHECKING:
    from taskbound.ports.store import Store

START = 1_800_000_000_000_000_000
DAY = 86_400
YEAR = 365 * DAY


class Machine:
    """A wall clock that can be set, and one that can't."""

    def __init__(self) -> None:
        self.wall = START
        self.steady = 0

    def pass_by(self, seconds: float) -> None:
        self.wall += round(seconds * 1e9)
        self.steady += round(seconds * 1e9)

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock so far from where it stands."""
        self.wall += round(seconds * 1e9)

    def clock(self, last: int = 0) -> SystemClock:
        return SystemClock(Instant(last), wall=lambda: self.wall, elapsed=lambda: self.steady)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def world(store: Store, machine: Machine) -> World:
    return World(store=store, clock=machine.clock())  # type: ignore[arg-type]  # the real clock in a world


def test_i52_a_clock_set_back_a_day_prolongs_no_task(world: World, machine: Machine) -> None:
    task = world.settle_in()
    machine.set_wall(-DAY)
    machine.pass_by(3599)
    assert code_of(world.ask(task)) == "permit"
    machine.pass_by(2)
    assert code_of(world.ask(task)) == "task-expired"


def test_i53_a_clock_set_forward_a_year_expires_early_and_coming_back_resurrects_nothing(
    world: World, machine: Machine
) -> None:
    task = world.settle_in()
    action = id_of(world.ask(task, key="k"))
    machine.set_wall(YEAR)
    assert code_of(world.ask(task)) == "task-expired"
    assert [one.task for one in world.tasks.expire()] == [task.id]
    machine.set_wall(-YEAR)
    assert code_of(world.ask(task)) == "task-ended"
    assert code_of(world.ask(task, key="k")) == "task-ended"
    assert isinstance(world.tell(action), Withhold)
    assert code_of(world.ask(world.start())) == "permit"


def test_i52_a_restart_on_a_clock_set_back_starts_from_the_last_recorded_instant(
    world: World, machine: Machine
) -> None:
    task = world.settle_in()
    machine.pass_by(3000)
    world.ask(task)
    machine.set_wall(-DAY)
    again = World(
        store=world.store,
        clock=machine.clock(world.store.last_instant()),  # type: ignore[arg-type]  # the real clock in a world
        chance=world.chance,
    )
    machine.pass_by(599)
    assert code_of(again.ask(task, connection="con_b")) == "permit"
    machine.pass_by(2)
    assert code_of(again.ask(task, connection="con_b")) == "task-expired"


def test_records_never_go_back_in_time(world: World, machine: Machine) -> None:
    task = world.settle_in()
    for step in (10, -DAY, YEAR, -YEAR, 1):
        machine.set_wall(step)
        machine.pass_by(0.5)
        world.ask(task)
    instants = [one["at"] for one in world.records()]
    assert instants == sorted(instants)
    assert len(set(instants[-5:])) == 5


RATED = {"grants": [{"tool": "bank__look", "others": "any", "rate": [{"uses": 2, "seconds": 60}]}]}


@pytest.mark.parametrize("jump", [-YEAR, -DAY, -61])
def test_a_clock_set_back_neither_opens_a_window_of_a_rate_nor_keeps_it_shut(
    world: World, machine: Machine, jump: int
) -> None:
    world.settle_in()
    task = world.start(scope=RATED)
    assert [code_of(world.ask(task, "bank__look", {})) for _ in range(2)] == ["permit", "permit"]
    machine.set_wall(jump)
    machine.pass_by(30)
    assert code_of(world.ask(task, "bank__look", {})) == "exhausted"
    machine.pass_by(31)
    codes = [code_of(world.ask(task, "bank__look", {})) for _ in range(3)]
    assert codes == ["permit", "permit", "exhausted"]
