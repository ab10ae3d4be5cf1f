"""When the broker looks up what is due, and when it goes on with what it knows."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskbound.core.credential import NEVER, CredentialState, Step
from taskbound.surfaces.broker.steps import Watch
from taskbound.surfaces.broker.work import AHEAD, WORKERS, Job, PrefetchedEnd, TargetWorkers, Work
from tests.core.credential.crediting import made
from tests.sqlite import sqlite_store
from tests.stories.minting import SPACE
from tests.surfaces.broker.brokering import Brokering, Quick
from tests.wiring.running import until

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractContextManager

    import pytest

    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.ports.store import Readable, Snapshot
    from taskbound.wire.target import Orders as Given
    from tests.peers.minter import Orders

S = CredentialState


def test_what_a_look_showed_is_gone_on_with_until_there_is_less_of_it_than_workers(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    rows = [broker.ask() for _ in range(80)]
    for row in rows:
        broker.end(broker.row(row.id))
    counting = Counting(broker.desk.store)
    work = told_alone(broker, counting)
    work.start()
    until(lambda: all(broker.row(row.id).state is S.REVOKED for row in rows), "all of them are gone")
    work.stop(patience=10)
    assert 2 <= counting.looks <= 20


class Counting:
    """A store that counts how often what is due is looked up, and is one in everything else."""

    def __init__(self, store: Readable) -> None:
        self.looks = 0
        self._store = store

    def read(self) -> AbstractContextManager[Snapshot]:
        self.looks += threading.current_thread().name == "work"
        return self._store.read()

    def last_instant(self) -> Instant:
        return self._store.last_instant()


def told_alone(broker: Brokering, store: Readable) -> Work:
    """Work that looks when it is told to, and once at its start: no look is due by its time."""
    begun = time.monotonic()
    still = Watch(clock=broker.world.adapters.clock, elapsed=lambda: begun)
    return Work(replace(broker.desk, store=store, watch=still))


def test_what_the_daemon_says_just_as_nothing_is_looked_up_is_looked_up_next(
    broker: Brokering, database: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.ready(database)
    counting = Counting(broker.desk.store)
    work = told_alone(broker, counting)
    asked = threading.Event()

    class Late(threading.Event):
        """Nothing is due when it is asked, and something is right behind that."""

        def is_set(self) -> bool:
            found = super().is_set()
            if not found and counting.looks and not asked.is_set():
                asked.set()
                work.push(SPACE, "orders-db", sweep=False)
            return found

    monkeypatch.setattr(work, "_looks", Late())
    work.start()
    until(lambda: counting.looks == 1, "it has looked once")
    work._wake.set()  # noqa: SLF001 - as a worker does that is free again
    until(lambda: counting.looks == 2, "it has looked again")
    work.stop(patience=10)
    assert asked.is_set()


def test_what_was_looked_up_while_a_worker_had_it_is_not_begun_as_it_stood_then() -> None:
    row = made(state=S.REVOKING)
    hall = TargetWorkers(
        in_hand={row.id: Job(giving=False, agent=row.agent, begun=0.0)}, due=[(row, Step.REVOKE)]
    )
    assert hall.choose(1.0) == []
    hall.done(row.id, 1.0)
    assert (hall.choose(1.0), hall.short) == ([], True)


def test_f10_what_can_not_be_looked_for_is_looked_for_again_after_a_while_and_not_at_once(
    broker: Brokering, database: Orders, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "taskbound.surfaces.broker.steps")

    def looks() -> int:
        return caplog.text.count(f"{row.id} can't be looked for")

    broker.ready(database)
    row = broker.ask()
    broker.end(broker.row(row.id))
    broker.round()
    late = broker.world.adapters.clock.now()  # a mint may have arrived until then
    broker.world.forge(broker.row(row.id), late=late, due=late)
    database.server.stop("fast")
    try:
        broker.settle(4)
        assert looks() == 1
        broker.later(5)
        broker.settle(2)
        assert looks() == 2
    finally:
        database.server.start()
    broker.later(5)
    broker.round()
    assert (looks(), broker.row(row.id).due) == (2, NEVER)


def ends(count: int, **changes: Any) -> list[tuple[Credential, Step]]:
    row = made(state=S.REVOKING, **changes)
    return [(replace(row, id=f"crd_{number}"), Step.REVOKE) for number in range(count)]


def nothing() -> None:
    """Do nothing."""


def test_where_ends_are_quick_and_many_are_due_one_worker_fewer_ends_and_more_are_leased() -> None:
    def ending(*, more: bool, took: float) -> tuple[int, int]:
        """How many are ended at once, after an end that took so long, and how many are leased then."""
        before = made(state=S.REVOKING)
        hall = TargetWorkers(
            in_hand={before.id: Job(giving=False, agent=before.agent, begun=0.0)}, due=ends(20), more=more
        )
        hall.done(before.id, took)
        chosen = hall.choose(took)
        assert len(hall.due) == 20 - len(chosen)
        begun = 0
        for row in chosen:
            job = Job(giving=False, agent=row.agent, begun=took)
            if hall.can_begin(job):
                hall.in_hand[row.id] = job
                begun += 1
        return begun, len(chosen)

    assert ending(more=True, took=0.02) == (WORKERS - 2, WORKERS - 2 + AHEAD)
    assert ending(more=False, took=0.02) == (WORKERS - 1, WORKERS - 1)  # few are due
    assert ending(more=True, took=0.2) == (WORKERS - 1, WORKERS - 1)  # the system is far away


def test_what_is_leased_ahead_is_begun_before_anything_more_is_leased() -> None:
    (first, _), (second, _), *due = ends(20)
    hall = TargetWorkers(
        due=due, more=True, quick=True, ahead={first.id: PrefetchedEnd(row=first, work=nothing)}
    )
    assert len(hall.choose(1.0)) == WORKERS - 2  # for those who are free, and none ahead
    again = TargetWorkers(
        due=ends(1), ahead={first.id: PrefetchedEnd(row=first, work=nothing)}
    )  # as it stood before
    assert again.choose(1.0) == []
    hall = TargetWorkers(more=True, quick=True, ahead={first.id: PrefetchedEnd(row=first, work=nothing)})
    hall.in_hand = {second.id: Job(giving=False, agent=second.agent, begun=1.0)}
    following = hall.next(1.0)
    assert following is not None
    assert (following.row, set(hall.in_hand), hall.ahead) == (first, {first.id, second.id}, {})
    assert hall.next(1.0) is None


def test_i59_nothing_is_leased_ahead_for_who_draws_out_ends_nor_a_mint() -> None:
    slow = TargetWorkers(due=ends(20), more=True, quick=True, slow={made().agent: 60.0})
    assert len(slow.choose(1.0)) == 1
    mints = [(replace(made(), id=f"crd_{number}"), Step.MINT) for number in range(20)]
    assert len(TargetWorkers(due=mints, more=True, quick=True).choose(1.0)) == WORKERS - 1


def test_i59_what_is_leased_ahead_is_not_begun_where_it_would_be_one_too_many() -> None:
    (row, _), *_ = ends(1)
    ahead = {row.id: PrefetchedEnd(row=row, work=nothing)}
    hall = TargetWorkers(ahead=ahead, slow={row.agent: 60.0})
    for number in range(WORKERS - 2):
        hall.in_hand[f"crd_slow_{number}"] = Job(giving=False, agent=row.agent, begun=0.0)
    assert hall.next(1.0) is None
    assert hall.ahead == ahead
    hall.in_hand.popitem()
    assert hall.next(1.0) is not None


def test_several_times_as_many_are_ended_as_the_daemon_is_asked_for_leases(
    database: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Brokering(sqlite_store(), plugs={"postgres": lambda _file, _access: Quick()})
    broker.ready(database)
    rows = [broker.ask(waits=False) for _ in range(200)]
    for row in rows:
        broker.world.forge(row, state=S.REVOKING, ended=row.made)
    asked: list[int] = []
    lease = broker.daemon.lease

    def counted(namespace: str, credentials: Collection[str]) -> Given:
        given = lease(namespace, credentials)
        asked.append(len(given.orders))
        return given

    monkeypatch.setattr(broker.daemon, "lease", counted)
    broker.work.start()
    until(lambda: all(broker.row(row.id).state is S.REVOKED for row in rows), "all of them are gone")
    broker.work.stop(patience=10)
    assert sum(asked) == 200
    assert max(asked) == WORKERS - 2 + AHEAD
    assert sum(one for one in asked if one > WORKERS) >= 50


def test_a_mint_of_whom_a_hundred_ends_are_due_is_minted_beside_them(database: Orders) -> None:
    broker = Brokering(sqlite_store(), plugs={"postgres": lambda _file, _access: Quick()})
    broker.ready(database)
    for row in [broker.ask(waits=False) for _ in range(100)]:
        broker.world.forge(row, state=S.REVOKING, ended=row.made)
    wanted = broker.ask()
    broker.work.round()
    assert broker.work.settle(patience=45)
    assert broker.row(wanted.id).state is S.ACTIVE
    with broker.desk.store.read() as seen:
        left = seen.credentials.credentials(SPACE, states={S.REVOKING}, limit=200)
    assert len(left) >= 50  # it didn't wait until all of them were gone


def test_k14_what_is_leased_ahead_is_not_begun_by_who_stops_and_is_ended_by_who_comes_next(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.end(broker.row(row.id))
    work, begun = Work(broker.desk), threading.Event()
    broker.work.settle(patience=10)
    work.round()
    assert work.settle(patience=45)
    hall = work._halls[SPACE, "orders-db"]  # noqa: SLF001 - as a lease that nobody could begin leaves it
    hall.ahead[row.id] = PrefetchedEnd(row=row, work=begun.set)
    work.stop(patience=10)
    other = broker.row(row.id)
    hall.in_hand[other.id] = Job(giving=False, agent=other.agent, begun=0.0)
    assert work._done(SPACE, "orders-db", other.id) is None  # noqa: SLF001 - only it knows
    assert not begun.is_set()


def test_what_is_leased_ahead_is_begun_by_the_next_round_where_no_worker_came_back_for_it(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    row = broker.ask()
    begun = threading.Event()
    broker.round()
    hall = broker.work._halls[SPACE, "orders-db"]  # noqa: SLF001 - as a thread that could not be had leaves it
    hall.ahead[row.id] = PrefetchedEnd(row=row, work=begun.set)
    broker.work.round(look=False)
    assert broker.work.settle(patience=45)
    assert begun.is_set()
    assert hall.ahead == {}


def test_a_worker_that_can_not_be_had_takes_nothing_that_is_leased_ahead_with_it(
    broker: Brokering, database: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.ready(database)
    hall = broker.work._halls[SPACE, "orders-db"]  # noqa: SLF001 - only it knows
    hall.ahead = {one.id: PrefetchedEnd(row=one, work=nothing) for one, _ in ends(WORKERS + 1)}

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        broker.work.round(look=False)
    assert broker.work.settle(patience=1)
    assert (hall.in_hand, len(hall.ahead)) == ({}, 2)


def test_what_the_daemon_says_of_a_target_of_which_more_is_due_than_is_shown_is_no_reason_to_look(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    counting = Counting(broker.desk.store)
    work = told_alone(broker, counting)
    work.round()
    hall = work._halls[SPACE, "orders-db"]  # noqa: SLF001 - only it knows
    hall.due, hall.more = ends(WORKERS), True
    looks = work._looks  # noqa: SLF001 - only it knows
    work.push(SPACE, "orders-db", sweep=False)
    assert not looks.is_set()
    work.push(SPACE, "another", sweep=False)
    assert looks.is_set()  # it is not known yet
    looks.clear()
    work.push(SPACE, "orders-db", sweep=True)
    assert looks.is_set()
    looks.clear()
    hall.more = False  # what is new would be shown, and may have a worker: mints do
    work.push(SPACE, "orders-db", sweep=False)
    assert looks.is_set()
    looks.clear()
    hall.due, hall.more = hall.due[1:], True
    work.push(SPACE, "orders-db", sweep=False)
    assert looks.is_set()


def test_i59_where_one_worker_fewer_ends_who_draws_out_ends_has_no_more_than_one() -> None:
    slow, others = made(state=S.REVOKING), replace(made(state=S.REVOKING), agent="others")
    due = [(replace(slow, id=f"crd_{number}"), Step.REVOKE) for number in range(8)]
    hall = TargetWorkers(due=due, more=True, quick=True, slow={slow.agent: 60.0})
    (one,) = hall.choose(1.0)
    hall.in_hand[one.id] = Job(giving=False, agent=one.agent, begun=1.0)
    hall.due.append((replace(others, id="crd_others"), Step.REVOKE))
    assert [one.agent for one in hall.choose(1.0)] == ["others"]
