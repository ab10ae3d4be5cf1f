from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.clock import Instant, minutes, seconds
from taskbound.flows.identity import register_person
from taskbound.flows.token import sweep_claims
from taskbound.wire.jose.dpop import DPOP_AHEAD, DPOP_BEHIND
from tests.surfaces.api.test_operations import station
from tests.surfaces.network.holding import Holding
from tests.surfaces.network.serving import api
from tests.token_world import ISSUER, TokenWorld
from tests.world import ANN, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.core.clock import Duration
    from taskbound.ports.store import Store
    from tests.postgres import Server

Two = tuple["Store", "Store"]
HOUR = minutes(60)
_numbers = count()


@pytest.fixture(params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Two]:
    """Two handles of one database, as two daemons have them."""
    server: Server | None = request.getfixturevalue("server") if request.param == "postgres" else None
    name = "" if server is None else server.database()

    def opened() -> Store:
        if server is not None:
            return PostgresStore(server.url(name))
        return SqlStore(tmp_path / "both.db", reserve=0)

    both = opened(), opened()
    yield both
    for one in both:
        one.close()
    if server is not None:
        server.drop(name)


def over_two(stores: Two, folder: Path, work: Callable[[Holding, Holding], None]) -> None:
    """Work with two daemons, each with a clock and an API of its own."""

    async def story() -> None:
        first = World(store=stores[0])
        first.settle_in()
        second = World(store=stores[1], chance=first.chance)
        async with AsyncExitStack() as stack:
            places = []
            for number, world in enumerate((first, second)):
                (at := folder / str(number)).mkdir()
                places.append(await stack.enter_async_context(station(at, issuer=ISSUER, beside=world)))
            tokens = TokenWorld(stores[0], folder, world=places[0].world)
            tokens.keys.tend()

            def there() -> None:
                with (
                    api(places[0].path, "--origin", ISSUER) as one,
                    api(places[1].path, "--origin", ISSUER) as other,
                ):
                    work(Holding(one, places[0], tokens), Holding(other, places[1], tokens))

            try:
                await asyncio.to_thread(there)
            finally:
                tokens.close()

    asyncio.run(story())


def said(one: Holding, shown: dict[str, str]) -> tuple[int, str]:
    answer = one.say("GET", "/v1/tasks", **shown)
    return answer.status, "" if answer.status == 200 else answer.code


def move(one: Holding, to: Instant) -> int:
    """Set a daemon's clock, and have it write a record then and forget what it may; how many that were."""
    clock = one.world.clock
    clock.at = to
    number = next(_numbers)
    register_person(one.world.adapters, "default", f"person-{number}", uid=5000 + number, actor=ANN)
    return sweep_claims(one.world.adapters)


def test_i41_a_proof_that_one_daemon_took_is_a_replay_at_the_other_in_its_window_and_the_skew(
    stores: Two, tmp_path: Path
) -> None:
    def work(first: Holding, second: Holding) -> None:
        now = first.world.clock.now()
        token = first.person()
        issued = now // 1_000_000 + DPOP_AHEAD // 1_000_000
        shown = first.shown(
            "GET", "/v1/tasks", token, iat=issued
        )  # of a client that is as far ahead as may be
        fresh = [first.shown("GET", "/v1/tasks", token, iat=issued) for _ in range(4)]
        assert said(first, shown) == (200, "")
        last = Instant(seconds(issued) + DPOP_BEHIND)
        for at in (now, Instant(now + minutes(1)), Instant(last - seconds(1))):
            for one in (first, second):
                assert move(one, at) == 0
                assert said(one, shown) == (401, "replayed")
        assert said(second, fresh[0]) == (200, "")  # where another proof of that instant is still believed
        assert said(first, fresh[0]) == (401, "replayed")
        for one in (first, second):
            assert move(one, Instant(last + seconds(1))) == 0
            assert said(one, shown) == (401, "dpop-window")

    over_two(stores, tmp_path, work)


@pytest.mark.parametrize("apart", [minutes(3), HOUR])
def test_i54_a_proof_stays_a_replay_at_a_daemon_whose_clock_is_far_behind_another_s(
    stores: Two, tmp_path: Path, apart: Duration
) -> None:
    def work(behind: Holding, ahead: Holding) -> None:
        token = behind.person()
        shown = behind.shown("GET", "/v1/tasks", token)
        assert said(behind, shown) == (200, "")
        at = behind.world.clock.now()
        assert move(ahead, Instant(at + apart + DPOP_BEHIND)) == 1
        assert said(behind, shown) == (401, "replayed")
        assert said(behind, shown) == (401, "replayed")
        again = behind.shown("GET", "/v1/tasks", token, iat=behind.world.clock.now() // 1_000_000 + 1)
        assert said(behind, again) == (200, "")  # what nobody has used is believed

    over_two(stores, tmp_path, work)
