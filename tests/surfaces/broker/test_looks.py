"""When the broker looks up what is due, and when it goes on with what it knows."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.credential import NEVER, CredentialState, Step
from taskbound.surfaces.broker.grip import Watch
from taskbound.surfaces.broker.work import WORKERS, Hall, Job, Work
from tests.core.credential.crediting import made
from tests.stories.minting import SPACE
from tests.wiring.running import until

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pytest

    from taskbound.core.clock import Instant
    from taskbound.ports.store import Readable, Snapshot
    from tests.peers.minter import Orders
    from tests.surfaces.broker.brokering import Brokering

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
    still = Watch(clock=broker.world.means.clock, elapsed=lambda: begun)
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
    hall = Hall(in_hand={row.id: Job(giving=False, agent=row.agent, begun=0.0)}, due=[(row, Step.REVOKE)])
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
    late = broker.world.means.clock.now()  # a mint may have arrived until then
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


def test_where_ends_are_quick_and_many_are_due_one_worker_fewer_ends() -> None:
    def ending(*, more: bool, took: float) -> int:
        """How many are ended at once, after an end that took so long."""
        due = [(replace(made(state=S.REVOKING), id=f"crd_{number}"), Step.REVOKE) for number in range(8)]
        before = made(state=S.REVOKING)
        hall = Hall(in_hand={before.id: Job(giving=False, agent=before.agent, begun=0.0)}, due=due, more=more)
        hall.done(before.id, took)
        return len(hall.choose(took))

    assert ending(more=True, took=0.02) == WORKERS - 2
    assert ending(more=False, took=0.02) == WORKERS - 1  # few are due
    assert ending(more=True, took=0.2) == WORKERS - 1  # the system is far away


def test_i59_where_one_worker_fewer_ends_who_draws_out_ends_has_no_more_than_one() -> None:
    slow, others = made(state=S.REVOKING), replace(made(state=S.REVOKING), agent="others")
    due = [(replace(slow, id=f"crd_{number}"), Step.REVOKE) for number in range(8)]
    hall = Hall(due=due, more=True, quick=True, slow={slow.agent: 60.0})
    (one,) = hall.choose(1.0)
    hall.in_hand[one.id] = Job(giving=False, agent=one.agent, begun=1.0)
    hall.due.append((replace(others, id="crd_others"), Step.REVOKE))
    assert [one.agent for one in hall.choose(1.0)] == ["others"]
