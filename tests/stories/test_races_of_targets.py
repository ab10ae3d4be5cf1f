"""Two daemons ask for a credential and take its target away at once, stopped at every step."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.credential import LIVE, CredentialState
from taskbound.core.errors import TaskboundError
from tests.peers.people import OWNER
from tests.peers.targeting import ALICE, rows_of
from tests.stories.targeting import TOOLS, Aiming
from tests.stories.test_races_of_bundles import Two, keep, locked_in, waits_within
from tests.world import codes_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.flows.decision import Answer
    from taskbound.ports.store import Store
    from tests.postgres import Server

ASKS = (0, 3, 5, 8)
"""Where asking may stop."""
REMOVES = range(0, 12, 2)
"""Where a removal may: before its transaction, and before each of its steps within."""
CLERK: dict[str, Any] = {"grants": [{"tool": TOOLS[0], "others": "any"}]}


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


def take_away(aiming: Aiming, told: list[str]) -> None:
    try:
        aiming.targets.remove("default", "orders-db", OWNER, owns=True)
    except TaskboundError as error:
        told.append(error.code)
    else:
        told.append("removed")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["the decision goes on first", "the removal goes on first"])
def test_nothing_is_permitted_in_a_target_that_is_gone_nor_does_one_go_in_which_something_was(
    two: Two, first: int
) -> None:
    here, there = Aiming(two.first), Aiming(two.second)
    two.first.settle_in()
    here.known("bob", "carol", first=1001)
    two.first.add_agent("minter", ceiling=CLERK)
    here.ready()
    task = two.first.start(scope=CLERK, agent="minter")
    came: set[tuple[str, ...]] = set()
    for stops in product(ASKS, REMOVES):
        answers: list[Answer] = []
        told: list[str] = []
        asking = partial(two.first.ask, task, TOOLS[0], {}, agent="minter", recipient=ALICE)
        two.interleave(stops, first, [partial(keep, answers, asking), partial(take_away, there, told)])
        came.add((*codes_of(answers), *told))
        living = [one for one in rows_of(two.first.store) if one.state in LIVE]
        if told == ["removed"]:
            assert living == [], stops
            here.ready()
        else:
            (row,) = living
            here.end(row.id)
            here.revoke(row.id)
            assert here.row().state.value == "ready"
        assert {one.state for one in rows_of(two.first.store)} == {CredentialState.REVOKED}
        two.second.views.forget()
    assert came == {("permit", "target-in-use"), ("unknown-tool", "removed")}
