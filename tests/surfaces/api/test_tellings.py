from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.core.audit.events.work import CredentialMoved
from taskbound.core.credential import Credential, CredentialEvent, CredentialState, LeaseLostError, Step
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.credential import open_mark
from taskbound.flows.credential.leasing import Leased, lease
from taskbound.surfaces.api.operations import broker as module
from taskbound.surfaces.api.operations.broker import BURST, TOGETHER, ReportBatcher
from taskbound.surfaces.api.server.worker import Lane, OverloadedError, Worker
from tests.stories.brokering import TARGET, Broker, moves, put, row_of
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from taskbound.flows.credential.leasing import BrokerReport
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
    open_mark(found.adapters)
    yield found
    store.close()


def taken(world: World, count: int) -> list[BrokerReport]:
    """What is being revoked, each in a broker's hand."""
    broker = Broker(world=world)
    rows = [put(world, one, state=S.REVOKING, ended=world.clock.now()) for one in "abcdefghijkl"[:count]]
    return [broker.take(row, Step.REVOKE) for row in rows]


def recorded(world: World, told: Sequence[BrokerReport]) -> None:
    """That they were found by a sweep, which is how a row begins with its end."""
    events = [
        CredentialMoved(
            credential=one.credential,
            target=TARGET,
            task="tsk_1",
            before="",
            after=S.REVOKING.value,
            event=CredentialEvent.REAPPEAR.value,
            why="",
        )
        for one in told
    ]
    world.store.write(
        lambda tx: tx.audit.append("default", world.adapters.writer, events, world.adapters.clock.now())
    )


def together(
    world: World, told: Sequence[BrokerReport], leased: Sequence[str] = ()
) -> tuple[list[object], int, list[str]]:
    """What each is answered that is told or leased while the worker is busy; the transactions; the turns."""
    store, order = Counting(world.store), list[str]()
    adapters = replace(world.adapters, store=store)  # type: ignore[arg-type]  # it is a store by what it passes on
    busy, over = threading.Event(), threading.Event()

    def block(jobs: Sequence[str]) -> Sequence[str]:
        for one in jobs:
            order.append(one)
            if one == "block":
                busy.set()
                over.wait(10)
        return jobs

    def tell(one: BrokerReport) -> Callable[[Transaction | None], Credential]:
        def done(tx: Transaction | None) -> Credential:
            order.append("told")
            return replace(one, adapters=adapters, tx=tx).gone(0, ())

        return done

    def ask(name: str) -> Callable[[Transaction | None], tuple[Leased, ...]]:
        def done(tx: Transaction | None) -> tuple[Leased, ...]:
            order.append("leased")
            return lease(adapters, "default", [name], (), tx=tx)

        return done

    async def story() -> list[object]:
        worker = Worker(asyncio.get_running_loop())
        calls: Lane[str, str] = Lane(worker, block)
        tellings = ReportBatcher(adapters, worker)
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
    recorded(world, told)
    found, written, order = together(world, told)
    assert [one.state for one in found if isinstance(one, Credential)] == [S.REVOKED] * COUNT
    assert written == 2
    assert order == ["block", *["told"] * TOGETHER, "call", *["told"] * (COUNT - TOGETHER)]
    assert [event for _, event, _ in moves(world)] == ["reappear"] * COUNT + ["gone"] * COUNT
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


def groups_of(count: int, *, seconds: float) -> tuple[list[int], float]:
    """How many are told in each transaction, where so many brokers tell on and on; the seconds it took."""
    groups: list[int] = []

    class Store:
        def write(self, work: Callable[[Transaction], Sequence[object]]) -> Sequence[object]:
            done = work(None)  # type: ignore[arg-type]  # what is told looks at nothing
            groups.append(len(done))
            return done

    class Means:
        store = Store()

    async def story() -> float:
        loop = asyncio.get_running_loop()
        worker = Worker(loop)
        tellings = ReportBatcher(Means(), worker)  # type: ignore[arg-type]  # the store is all that is asked
        worker.start()
        began = loop.time()

        async def broker() -> None:
            while loop.time() < began + seconds:
                before = len(groups)
                await tellings.take(lambda _: None)
                if len(groups) == before:
                    groups.append(1)  # told alone: no transaction of several

        await asyncio.gather(*(broker() for _ in range(count)))
        took = loop.time() - began
        await asyncio.to_thread(worker.stop)
        return took

    return groups, asyncio.run(story())


def test_i61_however_fast_brokers_tell_so_many_groups_are_taken_in_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.05)
    groups, took = groups_of(3, seconds=1.0)
    assert BURST < len(groups) <= BURST + took / 0.05 + 1
    assert 3 in groups[BURST:]  # what is told meanwhile is of one transaction


def test_what_is_told_now_and_then_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 3600.0)
    told = 0

    async def story() -> None:
        nonlocal told
        worker = Worker(asyncio.get_running_loop())
        tellings = ReportBatcher(None, worker)  # type: ignore[arg-type]  # none is of a group
        tellings._counted -= 24 * 3600.0  # noqa: SLF001 - nothing was told for a day, which saves up nothing
        worker.start()
        for _ in range(BURST):
            await asyncio.wait_for(tellings.take(lambda _: None), 10)
            told += 1
        late = asyncio.ensure_future(tellings.take(lambda _: None))
        await asyncio.wait({late}, timeout=0.2)
        assert not late.done()
        late.cancel()
        await asyncio.to_thread(worker.stop)

    asyncio.run(story())
    assert told == BURST


def test_who_waits_no_more_keeps_no_other_from_its_answer(world: World) -> None:
    async def story() -> list[object]:
        worker = Worker(asyncio.get_running_loop())
        tellings = ReportBatcher(world.adapters, worker)
        both = [asyncio.ensure_future(tellings.take(lambda _: "told")) for _ in range(2)]
        await asyncio.sleep(0)
        futures = [future for _, future, _ in tellings._lane._jobs]  # noqa: SLF001 - until both wait
        assert len(futures) == 2
        both[0].cancel()
        worker.start()
        found = await asyncio.gather(*both, return_exceptions=True)
        await asyncio.to_thread(worker.stop)
        return list(found)

    gone, other = asyncio.run(story())
    assert isinstance(gone, asyncio.CancelledError)
    assert other == "told"


def test_i61_more_than_can_wait_is_refused_and_what_waits_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.2)
    monkeypatch.setattr(module, "WAITING", 5)

    async def story() -> list[object]:
        worker = Worker(asyncio.get_running_loop())
        tellings = ReportBatcher(None, worker)  # type: ignore[arg-type]  # the groups of it fail, and are told alone
        worker.start()
        for _ in range(BURST):
            await tellings.take(lambda _: "early")
        late = [asyncio.ensure_future(tellings.take(lambda _: "late")) for _ in range(7)]
        found = await asyncio.gather(*late, return_exceptions=True)
        await asyncio.to_thread(worker.stop)
        return list(found)

    found = asyncio.run(story())
    assert found[:5] == ["late"] * 5
    assert [type(one) for one in found[5:]] == [OverloadedError] * 2


def test_what_brokers_lease_meanwhile_is_of_the_same_transaction(world: World) -> None:
    told, due = taken(world, 2), [put(world, one, state=S.REVOKING, ended=world.clock.now()) for one in "mn"]
    found, written, order = together(world, told, [one.id for one in due])
    assert written == 1
    assert order == ["block", "told", "told", "leased", "leased", "call"]
    for row, given in zip(due, found[2:], strict=True):
        assert isinstance(given, tuple)
        assert [(one.credential.id, one.step) for one in given] == [(row.id, Step.REVOKE)]
        assert row_of(world, row.id).lease == given[0].credential.lease != row.lease
