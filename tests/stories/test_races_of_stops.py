"""Two daemons decide, record outcomes and throw the kill switch at once, stopped at every step."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.errors import TaskboundError
from taskbound.flows.action import Release
from taskbound.flows.revocation import stop
from tests.stories.test_races_of_bundles import Two, keep, locked_in, since, waits_within
from tests.world import ANN, CEILING, World, codes_of, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.flows.decision import Answer
    from taskbound.ports.store import Store
    from tests.postgres import Server

DECIDES = 8
"""Where a decision or an outcome may stop."""
STOPS = 5
"""Where a stop may: before its transaction, and before each of its steps within."""


@pytest.fixture(params=["sqlite", "postgres"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Two]:
    if request.param == "sqlite":
        handles: list[Store] = [SqlStore(tmp_path / "t.db", reserve=0) for _ in range(2)]
        yield Two(handles, waits_within)
        for one in handles:
            one.close()
        return
    server: Server = request.getfixturevalue("server")
    name = server.database()
    shared: list[Store] = [PostgresStore(server.url(name)) for _ in range(2)]
    seen = server.connect(name)
    yield Two(shared, partial(locked_in, seen))
    seen.close()
    for one in shared:
        one.close()
    server.drop(name)


def throw(world: World, *, stopped: bool) -> None:
    stop(world.adapters, "default", stopped=stopped, reason="enough", actor=ANN)


def throw_or_tell(world: World, told: list[str]) -> None:
    try:
        throw(world, stopped=True)
    except TaskboundError as error:
        told.append(error.code)


def tell(world: World, told: list[Any], action: str) -> None:
    told.append(world.tell(action))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["the decision goes on first", "the stop goes on first"])
def test_i24_nothing_is_permitted_behind_the_record_of_a_stop_nor_refused_behind_that_of_its_lift(
    two: Two, first: int
) -> None:
    two.first.settle_in()
    task = two.first.start(scope=CEILING)
    came: set[tuple[str, ...]] = set()
    for stops in product(range(DECIDES), range(STOPS)):
        two.first.ask(task, "bank__look", {"path": "/srv/a"})  # evaluates under the switch as it is
        start = len(two.first.records())
        answers: list[Answer] = []
        asking = partial(keep, answers, partial(two.first.ask, task))
        two.interleave(stops, first, [asking, partial(throw, two.second, stopped=True)])
        story = [
            (one["kind"], one.get("decision", ""), one.get("epoch", 0))
            for one in since(two.first, start)
            if one["kind"] in {"action-decided", "kill-switch-changed"}
        ]
        [(_, _, epoch)] = [one for one in story if one[0] == "kill-switch-changed"]
        thrown = ("kill-switch-changed", "", epoch)
        permitted, refused = ("action-decided", "permit", epoch - 1), ("action-decided", "refuse", epoch)
        assert story in ([permitted, thrown], [thrown, refused]), (stops, story)
        assert codes_of(answers) == (["permit"] if story[0] == permitted else ["stopped"]), stops
        came.add(tuple(codes_of(answers)))
        throw(two.second, stopped=False)
    assert came == {("permit",), ("stopped",)}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["the outcome goes on first", "the stop goes on first"])
def test_no_result_is_released_behind_the_record_of_a_stop(two: Two, first: int) -> None:
    two.first.settle_in()
    task = two.first.start(scope=CEILING)
    came: set[bool] = set()
    for stops in product(range(DECIDES), range(STOPS)):
        action = id_of(two.first.ask(task))
        start = len(two.first.records())
        told: list[Any] = []
        telling = partial(tell, two.first, told, action)
        two.interleave(stops, first, [telling, partial(throw, two.second, stopped=True)])
        kinds = [
            one["kind"]
            for one in since(two.first, start)
            if one["kind"] in {"action-outcome", "kill-switch-changed"}
        ]
        released = isinstance(told[0], Release)
        assert len(kinds) == 2, (stops, since(two.first, start))
        assert released == (kinds[0] == "action-outcome"), (stops, kinds)
        came.add(released)
        throw(two.second, stopped=False)
    assert came == {True, False}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1])
def test_of_two_stops_at_once_one_is_recorded_and_neither_fails(two: Two, first: int) -> None:
    two.first.settle_in()
    for stops in product(range(STOPS), repeat=2):
        start = len(two.first.records())
        told: list[str] = []
        two.interleave(stops, first, [partial(throw_or_tell, one, told) for one in (two.first, two.second)])
        kinds = [one["kind"] for one in since(two.first, start)]
        assert (told, kinds) == ([], ["kill-switch-changed"]), stops
        throw(two.second, stopped=False)
