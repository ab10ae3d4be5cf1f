"""What every target owes several threads, and any course of calls (I-05, I-10, I-12)."""

from __future__ import annotations

from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from taskbound.ports.target import ExpiresAt, Gone, NameTakenError, TargetUnavailableError
from tests.contracts.target.bench import (
    NOTHING,
    PATIENCE,
    Bench,
    Made,
    Session,
    end,
    make,
    require_over,
    together,
)
from tests.peers.minter import PREFIX, fresh_name

TOGETHER = 6
"""Threads."""
ROUNDS = 8
which = st.integers(0, 2)


def test_one_target_is_used_by_several_threads_and_each_has_its_own(bench: Bench) -> None:
    target = bench.target()

    def whole() -> list[Made]:
        mine = []
        for _ in range(3):
            made = make(bench, target)
            target.use(made.minted, patience=PATIENCE)
            assert target.look(made.name, patience=PATIENCE).exists
            assert made.name in set(target.sweep(PREFIX, patience=PATIENCE))
            mine.append(made)
        for made in mine[:-1]:
            end(target, made.name, made.ends)
            assert target.look(made.name, patience=PATIENCE) == NOTHING
        return mine

    found = together([whole] * (TOGETHER // bench.slower))
    made = [one for each in found if isinstance(each, list) for one in each]
    assert len(made) == 3 * (TOGETHER // bench.slower), found
    assert len({value for one in made for value in one.minted.secret.values()}) >= len(made)
    kept = [each[-1] for each in found if isinstance(each, list)]
    assert bench.there() == {one.name for one in kept}
    for one in kept:
        bench.target().use(one.minted, patience=PATIENCE)
        require_over(bench, one)


def test_i10_of_several_mints_of_one_name_one_is_it_and_it_is_whole(bench: Bench) -> None:
    for _ in range(ROUNDS // bench.slower):
        name, target = fresh_name(), bench.target()
        found = together([partial(make, bench, target, name=name)] * TOGETHER)
        made = [one for one in found if isinstance(one, Made)]
        others = [one for one in found if not isinstance(one, Made)]
        assert all(isinstance(one, NameTakenError | TargetUnavailableError) for one in others), found
        assert len(made) == 1, found
        bench.target().use(made[0].minted, patience=PATIENCE)
        require_over(bench, made[0])


def test_i05_several_ends_at_once_end_it_once_and_for_all(bench: Bench) -> None:
    for _ in range(ROUNDS // bench.slower):
        made, target = make(bench), bench.target()
        session = bench.open(made.minted)
        found = together([partial(end, target, made.name, made.ends)] * TOGETHER)
        assert all(isinstance(one, Gone | ExpiresAt | TargetUnavailableError) for one in found), found
        if any(isinstance(one, Gone) for one in found):
            assert not session.acts()
            assert bench.shows(made.name) is None
        require_over(bench, made)
        session.close()


def test_i12_whatever_a_mint_met_that_its_end_overtook_one_more_end_ends_it(bench: Bench) -> None:
    for _ in range(ROUNDS // bench.slower):
        name, target = fresh_name(), bench.target()
        found = together(
            [
                partial(make, bench, target, name=name),
                partial(end, target, name, bench.ends),
                partial(end, target, name, bench.ends),
            ]
        )
        assert isinstance(found[0], Made | NameTakenError | TargetUnavailableError), found
        assert all(isinstance(one, Gone | ExpiresAt | TargetUnavailableError) for one in found[1:]), found
        if isinstance(found[0], Made):
            require_over(bench, found[0])
        else:
            end(bench.target(), name, bench.ends)
        assert bench.target().look(name, patience=PATIENCE) == NOTHING
        assert bench.shows(name) is None


class Course(RuleBasedStateMachine):
    """Any course of calls about three names, held against what has to be there."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.target = bench.target()
        self.names = [fresh_name() for _ in range(3)]
        self.made: dict[int, Made] = {}
        self.over: set[int] = set()
        self.open: dict[int, list[Session]] = {}

    @rule(one=which)
    def mint(self, one: int) -> None:
        try:
            made = make(self.bench, self.target, name=self.names[one])
        except NameTakenError:
            assert one in self.made or one in self.over
            return
        assert one not in self.made
        self.made[one] = made

    @rule(one=which)
    def revoke(self, one: int) -> None:
        found = end(self.target, self.names[one], self.bench.ends)
        sessions = self.open.pop(one, [])
        assert isinstance(found, ExpiresAt) or not [each for each in sessions if each.acts()]
        assert isinstance(found, ExpiresAt) or found.cut >= len(sessions)
        for each in sessions:
            each.close()
        self.made.pop(one, None)
        self.over.add(one)  # also of what never was: a system may keep the name, so that nothing comes late

    @rule(one=which, shape=st.integers(0, 20))
    def begin(self, one: int, shape: int) -> None:
        if one in self.made:
            shapes = self.bench.shapes
            session = self.bench.open(self.made[one].minted, shapes[shape % len(shapes)])
            self.open.setdefault(one, []).append(session)

    @rule(one=which)
    def use(self, one: int) -> None:
        if one in self.made:
            self.target.use(self.made[one].minted, patience=PATIENCE)

    @rule(one=which)
    def look(self, one: int) -> None:
        shown = self.target.look(self.names[one], patience=PATIENCE)
        assert shown.exists == (one in self.made)
        assert shown.open >= len(self.open.get(one, ()))

    @rule()
    def sweep(self) -> None:
        mine = {self.names[one] for one in self.made}
        assert set(self.target.sweep(PREFIX, patience=PATIENCE)) == mine == self.bench.there()

    def teardown(self) -> None:
        for one in range(3):
            self.revoke(one)


def test_i05_i12_any_course_of_calls_leads_where_its_last_ones_say(bench: Bench) -> None:
    run_state_machine_as_test(
        lambda: Course(bench),  # type: ignore[arg-type]  # it is called, and need not be a class
        settings=settings(
            max_examples=12 // bench.slower,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
