from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.adapters.clock.system import SystemChance, SystemClock
from taskbound.core.clock import Instant

if TYPE_CHECKING:
    from taskbound.ports.clock import Chance, Clock

DAY = 86_400 * 1_000_000_000
YEAR = 365 * DAY


@dataclass
class Machine:
    wall: int = 1_764_000_000_000_000_000
    steady: int = 5_000_000_000

    def clock(self, last: int = 0) -> SystemClock:
        return SystemClock(Instant(last), wall=lambda: self.wall, elapsed=lambda: self.steady)

    def wait(self, nanoseconds: int) -> None:
        self.wall += nanoseconds
        self.steady += nanoseconds


def test_the_clock_follows_the_wall_clock() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.now() == machine.wall // 1000
    machine.wait(DAY)
    assert clock.now() == machine.wall // 1000


@pytest.mark.parametrize("back", [1_000_000_000, DAY, 10 * YEAR])
def test_i52_a_wall_clock_set_back_changes_nothing(back: int) -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.wall -= back
    machine.wait(7_000)
    assert clock.now() == before + 7


def test_i53_a_wall_clock_set_forward_is_never_taken_back() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += YEAR
    forward = clock.now()
    machine.wall -= 2 * YEAR
    machine.wait(1_000_000)
    assert clock.now() == forward + 1000


def test_the_clock_goes_on_while_the_wall_clock_stands_still() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.steady += 90_000_000_000
    assert clock.now() == before + 90_000_000


def test_a_clock_starts_no_earlier_than_the_last_recorded_instant() -> None:
    machine = Machine()
    last = machine.wall // 1000 + 3_600_000_000
    clock = machine.clock(last)
    assert clock.now() == last
    machine.wait(1_000)
    assert clock.now() == last + 1


def test_time_below_a_microsecond_is_not_lost_however_often_the_clock_is_asked() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.wall = 0
    for _ in range(1000):
        machine.steady += 999
        clock.now()
    assert clock.now() == before + 999


def test_a_monotonic_clock_that_steps_back_takes_nothing_back() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.wall = 0
    machine.steady -= 1_000_000
    assert clock.now() == before


@given(
    st.lists(st.tuples(st.integers(-10 * YEAR, 10 * YEAR), st.integers(0, DAY)), max_size=30),
    st.integers(0, 2_000_000_000_000_000),
)
def test_no_sequence_of_clock_settings_makes_an_answer_less(steps: list[tuple[int, int]], last: int) -> None:
    machine = Machine()
    clock = machine.clock(last)
    answers = [last, clock.now()]
    for jump, passed in steps:
        machine.wall += jump
        machine.steady += passed
        answers.append(clock.now())
        assert answers[-1] >= answers[-2] + passed // 1000 - 1
    assert all(one <= other for one, other in pairwise(answers))


def test_the_real_clock_never_answers_less_than_before() -> None:
    clock: Clock = SystemClock(Instant(0))
    answers = [clock.now() for _ in range(1000)]
    assert answers == sorted(answers)


def test_a_name_has_its_prefix_a_time_and_26_characters_that_differ_each_time() -> None:
    chance: Chance = SystemChance()
    names = {chance.name("act") for _ in range(1000)}
    assert len(names) == 1000
    assert all(re.fullmatch("act_[a-z2-7]{35}", name) for name in names)
    for place in range(13, 39):
        assert {name[place] for name in names} == set("abcdefghijklmnopqrstuvwxyz234567")


@given(st.integers(0, 2**45 - 1), st.integers(0, 2**45 - 1))
def test_a_name_of_a_later_millisecond_sorts_behind_an_earlier_one(one: int, other: int) -> None:
    instants = iter([at * 1_000_000 for at in sorted((one, other))])
    chance = SystemChance(wall=lambda: next(instants))
    earlier, later = chance.name("act"), chance.name("act")
    assert earlier[:13] <= later[:13]
    assert one == other or earlier < later


def test_names_of_a_clock_that_is_set_back_or_stands_still_differ() -> None:
    instants = iter([5_000_000_000, 1_000_000_000] * 500)
    chance = SystemChance(wall=lambda: next(instants))
    assert len({chance.name("act") for _ in range(1000)}) == 1000


def test_a_code_is_8_digits_in_two_groups_that_a_person_can_type() -> None:
    codes = {SystemChance().code() for _ in range(1000)}
    assert all(re.fullmatch(r"[0-9]{4}-[0-9]{4}", code) for code in codes)
    assert len(codes) > 990


def test_f44_a_fork_draws_other_names_than_its_parent() -> None:
    chance = SystemChance()
    chance.name("act")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, chance.name("act").encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        theirs = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert re.fullmatch("act_[a-z2-7]{35}", theirs)
    assert theirs != chance.name("act")
