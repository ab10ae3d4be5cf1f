"""Two daemons of one database whose groups end, lease and tell of the same target's credentials at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.core.credential import CredentialState, LeaseHeldError, LeaseLostError
from taskbound.core.transition import WrongStateError
from taskbound.flows.credential.leasing import lease
from taskbound.flows.credential.revoking import revoke_credentials
from taskbound.surfaces.api.operations.broker import ReportBatcher
from taskbound.surfaces.api.server.worker import Worker
from tests.stories.brokering import TARGET, Broker, put_many, put_target
from tests.world import ANN, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.credential import Credential
    from taskbound.flows.credential.leasing import BrokerReport, Leased
    from taskbound.ports.store import Transaction
    from tests.postgres import Server

S = CredentialState
MANY = 60


@pytest.fixture
def worlds(server: Server) -> Iterator[tuple[World, World]]:
    name = server.database()
    stores = [PostgresStore(server.url(name)) for _ in range(2)]
    first = World(store=stores[0])
    yield first, World(store=stores[1], chance=first.chance, clock=first.clock)
    for one in stores:
        one.close()
    server.drop(name)


async def work(world: World, refused: list[BaseException]) -> None:
    """What a person and three brokers ask of one daemon, until nothing lives and nothing is being revoked."""
    worker = Worker(asyncio.get_running_loop())
    tellings = ReportBatcher(world.adapters, worker)
    worker.start()

    def end(tx: Transaction | None) -> bool:
        return revoke_credentials(world.adapters, "default", target=TARGET, actor=ANN, tx=tx).more

    def tell(told: BrokerReport, tx: Transaction | None) -> Credential:
        return replace(told, tx=tx).gone(0, ())

    def take(wanted: list[str], tx: Transaction | None) -> tuple[Leased, ...]:
        return lease(world.adapters, "default", wanted, (), tx=tx)

    async def person() -> None:
        while await tellings.take(end):
            pass

    async def broker(number: int) -> None:
        while True:
            with world.store.read() as seen:
                rows = seen.credentials.credentials("default", states={S.REVOKING}, limit=500)
                alive = seen.credentials.alive_in("default", TARGET, limit=1)
            if not rows and not alive:
                return
            wanted = [one.id for one in (rows if number % 2 else rows[::-1])[:3]]
            given = await tellings.take(partial(take, wanted))
            for one in given:
                told = Broker(world=world).telling(one.credential, one.credential.lease.fence)
                try:
                    await tellings.take(partial(tell, told))
                except (LeaseLostError, LeaseHeldError, WrongStateError) as error:
                    refused.append(error)

    await asyncio.gather(person(), *(broker(number) for number in range(3)))
    await asyncio.to_thread(worker.stop)


def test_i55_two_daemons_that_end_all_of_one_target_at_once_end_each_credential_once(
    worlds: tuple[World, World],
) -> None:
    put_target(worlds[0])
    put_many(worlds[0], MANY, state=S.ACTIVE, acknowledged=True)
    raised: list[BaseException] = []
    refused: list[BaseException] = []

    def run(world: World) -> None:
        try:
            asyncio.run(work(world, refused))
        except BaseException as error:  # noqa: BLE001 - said below
            raised.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in worlds]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)
    assert not any(one.is_alive() for one in threads)
    assert raised == []
    with worlds[0].store.read() as seen:
        rows = seen.credentials.credentials("default", target=TARGET, limit=500)
    assert Counter(one.state for one in rows) == {S.REVOKED: MANY}
    moved = worlds[0].events("credential-moved")
    ended = Counter(one["credential"] for one in moved if one["event"] == "end")
    gone = Counter(one["credential"] for one in moved if one["event"] == "gone")
    assert set(ended.values()) == set(gone.values()) == {1}
    assert len(ended) == len(gone) == MANY
