"""Two daemons at once, in the order in which all lock: none is broken off because it waits for the other."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from tests.peers.people import OWNER
from tests.stories.test_races_of_bundles import Two, keep, locked_in
from tests.world import ANN, CEILING, World, codes_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.flows.decision import Answer
    from tests.postgres import Server

HOLDS, OTHERS = range(0, 16, 3), range(0, 13, 3)
"""Where a decision that is held may stop, and where what is done at once may."""


@pytest.fixture
def broken() -> list[str]:
    """Each time that the server broke a transaction off."""
    return []


@pytest.fixture
def two(server: Server, broken: list[str]) -> Iterator[Two]:
    name = server.database()

    def at(point: str) -> None:
        if point == "again":
            broken.append(point)

    stores = [PostgresStore(server.url(name), at=at) for _ in range(2)]
    seen = server.connect(name)
    yield Two(list(stores), partial(locked_in, seen))
    seen.close()
    for one in stores:
        one.close()
    server.drop(name)


def answered_by(world: World, owner: str, agent: str, uid: int) -> None:
    """One more person, and an active agent of theirs."""
    register_person(world.adapters, "default", owner, uid=uid, actor=ANN)
    world.agents.register(
        "default",
        agent,
        owner=owner,
        approvers=("ann",),
        monitor="world:1",
        ceiling=scope_of(CEILING),
        actor=ANN,
    )
    world.agents.test_monitor("default", agent, ANN)
    world.agents.acknowledge("default", agent, world.monitor.messages[-1]["code"], ANN)
    world.agents.activate("default", agent, ANN)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["the decision goes on first", "who leaves goes on first"])
def test_a_held_decision_and_the_owner_who_leaves_follow_each_other(
    two: Two, broken: list[str], first: int
) -> None:
    two.first.settle_in()
    came: set[str] = set()
    for uid, stops in enumerate(product(HOLDS, OTHERS), start=2000):
        owner, agent = f"p{uid}", f"a{uid}"
        answered_by(two.first, owner, agent, uid)
        task = two.first.start(scope=CEILING, agent=agent)
        assert codes_of([two.first.ask(task, agent=agent, connection=agent)]) == ["permit"]
        two.first.outcomes.lose("default", connection=agent, reason="gone")  # a repeat is held
        answers: list[Answer] = []
        people = People(two.second.adapters, two.second.views)
        two.interleave(
            stops,
            first,
            [
                partial(keep, answers, partial(two.first.ask, task, agent=agent)),
                partial(people.leave, "default", owner, OWNER, owns=True, reason=""),
            ],
        )
        assert broken == [], stops
        assert two.first.task(task).state.value == "paused", stops
        came.update(codes_of(answers))
    assert came == ({"hold", "inactive-agent"} if first == 0 else {"inactive-agent"})


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["who leaves goes on first", "the start goes on first"])
def test_who_leaves_and_a_task_that_starts_follow_each_other(two: Two, broken: list[str], first: int) -> None:
    two.first.settle_in()
    for uid, stops in enumerate(product(OTHERS, OTHERS), start=2000):
        name = f"p{uid}"
        register_person(two.first.adapters, "default", name, uid=uid, actor=ANN)
        people = People(two.first.adapters, two.first.views)
        leave = partial(people.leave, "default", name, OWNER, owns=True, reason="")
        two.interleave(stops, first, [leave, partial(two.second.start, scope=CEILING)])
        assert broken == [], stops
