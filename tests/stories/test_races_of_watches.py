"""One daemon hears of a task while another one looks, stopped at every step of their transactions."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from tests.sqlite import sqlite_store
from tests.stories.test_races_of_bundles import Two, locked_in, waits_within
from tests.stories.test_watch import begin, begin_more, hear, look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.ports.store import Store
    from tests.postgres import Server

HEARS, LOOKS = 5, 8
"""Where each of two may stop: before its transaction, and before each of its first steps within."""


@pytest.fixture(params=["sqlite", "postgres"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Two]:
    if request.param == "sqlite":
        yield Two([sqlite_store(tmp_path / "t.db") for _ in range(2)], waits_within)
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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["who hears goes on first", "who looks goes on first"])
def test_a_missed_heartbeat_is_not_undone_by_who_heard_of_it_at_once(two: Two, first: int) -> None:
    begin(two.first, heartbeat=86_400, grace=86_400)
    came: set[str] = set()
    for stops in product(range(HEARS), range(LOOKS)):
        task = begin_more(two.first)
        two.first.clock.advance(30)
        two.interleave(stops, first, [partial(hear, two.first, task), partial(look, two.second)])
        state = two.first.task(task).state.value
        with two.first.store.read() as snapshot:
            missed = snapshot.tasks.heartbeats("default", [task.id])[task.id].missed
        assert missed == (state == "paused"), (stops, state)
        came.add(state)
        two.first.clock.advance(600)
        if missed:
            assert (task.id, "expired") in look(two.second), stops
        else:
            assert (task.id, "paused") in look(two.second), stops
            two.first.clock.advance(600)
            assert (task.id, "expired") in look(two.second), stops
    assert came == {"paused", "running"}
