from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.core.credential import Credential, CredentialState, LeaseLostError, Step
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.credential.leasing import Leased, lease
from taskbound.surfaces.api.tellings import TOGETHER, Tellings
from taskbound.surfaces.api.worker import Lane, Worker
from tests.stories.brokering import Broker, moves, put, put_target, row_of
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from taskbound.flows.credential.telling import Telling
    from taskbound.ports.store import Store, Transaction

S = CredentialState
T = TypeVar("T")
COUNT = 12


class Counting:
    """A store that counts what is written, and is one in everything else."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.written = 0

    def write(self, work: Callable[[Transaction], T], *, reserve: bool = False) -> T:
        self.written += 1
        return self._store.write(work, reserve=reserve)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = SqlStore(tmp_path / "told.db", reserve=4096)
    found = World(store)
    put_target(found)
    yield found
    store.close()


def taken(world: World, count: int) -> list[Telling]:
    """What is being revoked, each in a broker's hand."""
    broker = Broker(world=world)
    rows = [put(world, one, state=S.REVOKING, ended=world.clock.now()) for one in "abcdefghijkl"[:count]]
    return [broker.take(row, Step.REVOKE) for row in rows]


def together(
    world: World, told: Sequence[Telling], leased: Sequence[str] = ()
) -> tuple[list[object], int, list[str]]:
    """What each is answered that is told or leased while the worker is busy; the transactions; the turns."""
    store, order = Counting(world.store), list[str]()
    means = replace(world.means, store=store)  # type: ignore[arg-type]  # it is a store by what it passes on
    busy, over = threading.Event(), threading.Event()

    def block(jobs: Sequence[str]) -> Sequence[str]:
        for one in jobs:
            order.append(one)
            if one == "block":
                busy.set()
                over.wait(10)
        return jobs

    def tell(one: Telling) -> Callable[[Transaction | None], Credential]:
        def done(tx: Transaction | None) -> Credential:
            order.append("told")
            return replace(one, means=means, tx=tx).gone(0, ())

        return done

    def ask(name: str) -> Callable[[Transaction | None], tuple[Leased, ...]]:
        def done(tx: Transaction | None) -> tuple[Leased, ...]:
            order.append("leased")
            return lease(means, "default", [name], (), tx=tx)

        return done

    async def story() -> list[object]:
        worker = Worker(asyncio.get_running_loop())
        calls: Lane[str, str] = Lane(worker, block)
        tellings = Tellings(means, worker)
        worker.start()
        first = calls.put("block")
        await asyncio.to_thread(busy.wait, 10)
        waiting: list[asyncio.Future[object]] = [
            asyncio.ensure_future(tellings.take(one)) for one in (*map(tell, told), *map(ask, leased))
        ]
        await asyncio.sleep(0)
        call = calls.put("call")
        over.set()
        found: list[object] = list(await asyncio.gather(*waiting, return_exceptions=True))
        await asyncio.gather(first, call)
        await asyncio.to_thread(worker.stop)
        return found

    return asyncio.run(story()), store.written, order


def test_what_brokers_tell_meanwhile_is_one_transaction_and_no_call_waits_for_all_of_it(world: World) -> None:
    told = taken(world, COUNT)
    found, written, order = together(world, told)
    assert [one.state for one in found if isinstance(one, Credential)] == [S.REVOKED] * COUNT
    assert written == 2
    assert order == ["block", *["told"] * TOGETHER, "call", *["told"] * (COUNT - TOGETHER)]
    assert len(moves(world)) == COUNT
    with world.store.read() as seen:
        assert compare_rows(seen, lambda _done, _total: None).differences == ()


def test_i55_one_that_is_refused_is_in_no_others_way_and_changes_nothing(world: World) -> None:
    told = taken(world, TOGETHER)
    told[2] = replace(told[2], fence=told[2].fence - 1)
    found, written, _ = together(world, told)
    assert [type(one) for one in found] == [
        LeaseLostError if number == 2 else Credential for number in range(TOGETHER)
    ]
    assert written == 1 + TOGETHER
    assert row_of(world, told[2].credential).state is S.REVOKING
    assert len(moves(world)) == TOGETHER - 1


def test_what_brokers_lease_meanwhile_is_of_the_same_transaction(world: World) -> None:
    told, due = taken(world, 2), [put(world, one, state=S.REVOKING, ended=world.clock.now()) for one in "mn"]
    found, written, order = together(world, told, [one.id for one in due])
    assert written == 1
    assert order == ["block", "told", "told", "leased", "leased", "call"]
    for row, given in zip(due, found[2:], strict=True):
        assert isinstance(given, tuple)
        assert [(one.credential.id, one.step) for one in given] == [(row.id, Step.REVOKE)]
        assert row_of(world, row.id).lease == given[0].credential.lease != row.lease
