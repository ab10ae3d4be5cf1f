"""What the broker does in a real database by what stands in the store."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from taskbound.adapters.keys.sealing import seal
from taskbound.core.clock import seconds
from taskbound.core.credential import CredentialState, name_of
from taskbound.core.target import PostgresAccess
from taskbound.core.tool import ADMIN_SLOT, Binding
from taskbound.ports.target import Gone, TargetUnavailableError
from taskbound.surfaces.broker.steps import LeaseClock, mint, revoke
from taskbound.wire.target import TellFailed, TellMinted
from tests.peers.minter import ADMIN
from tests.sqlite import sqlite_store
from tests.stories.minting import SPACE
from tests.surfaces.broker.brokering import Brokering, Quick, declared_at, plug
from tests.wiring.running import until
from tests.world import ANN

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.credential import Credential
    from tests.peers.minter import Orders

S = CredentialState


def ours(broker: Brokering, database: Orders) -> set[str]:
    """The logins of this broker's installation that the database has."""
    with broker.world.adapters.store.read() as seen:
        mark = seen.targets.mark()
    with database.owner() as owner:
        found = owner.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", (f"tb_{mark}_",))
        return {str(name) for (name,) in found}


def login(database: Orders, broker: Brokering, row: Any) -> psycopg.Connection[tuple[object, ...]]:
    return database.login(broker.open(row))


def test_a_target_is_ready_once_its_canary_was_minted_used_and_is_gone(
    broker: Brokering, database: Orders
) -> None:
    (canary,) = broker.declare(declared_at(database.server.folder))
    assert broker.world.row().state.value == "untested"
    broker.settle()
    assert broker.world.row().state.value == "ready", broker.world.row().trouble
    assert broker.row(canary).state is S.REVOKED
    assert [one.sealed for one in broker.daemon.told if isinstance(one, TellMinted)] == [""]
    assert ours(broker, database) == set()
    assert broker.daemon.attended == {SPACE}


def test_f13_an_access_that_the_database_does_not_know_is_said_and_the_target_is_not_ready(
    broker: Brokering, database: Orders
) -> None:
    broker.declare(
        declared_at(database.server.folder), PostgresAccess(user=ADMIN.user, password="another-one")
    )
    broker.settle()
    kept = broker.world.row()
    assert kept.state.value == "refused"
    assert "another-one" not in kept.trouble
    assert "[target-unreached]" in kept.trouble
    broker.world.targets.remove(
        SPACE, kept.name, ANN, owns=True
    )  # nothing was sent, so nothing is waited for
    with broker.world.adapters.store.read() as seen:
        assert seen.targets.targets(SPACE) == ()


@pytest.mark.parametrize(
    "other", [{"number": 2}, {"identity": "2" * 64}, {"server": "other"}, {"namespace": "b"}]
)
def test_an_access_that_was_sealed_for_another_target_opens_nothing(
    broker: Brokering, database: Orders, other: dict[str, Any]
) -> None:
    if "number" in other:
        broker.declare(declared_at(database.server.folder))
        put_number(broker)
    else:
        broker.declare(declared_at(database.server.folder))
        reseal(broker, **other)
    broker.settle()
    assert broker.world.row().state.value == "refused"
    assert "[bad-secret]" in broker.world.row().trouble
    assert ours(broker, database) == set()


def test_a_target_whose_logins_can_t_be_used_is_not_ready(broker: Brokering, database: Orders) -> None:
    with database.owner() as owner:
        owner.execute(
            b"REVOKE CONNECT ON DATABASE orders FROM PUBLIC; GRANT CONNECT ON DATABASE orders TO minter"
        )
    try:
        broker.declare(declared_at(database.server.folder))
        broker.settle()
    finally:
        with database.owner() as owner:
            owner.execute(b"GRANT CONNECT ON DATABASE orders TO PUBLIC")
    assert (broker.world.row().state.value, ours(broker, database)) == ("refused", set())


def test_f13_an_access_that_was_given_anew_is_the_one_that_is_used(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    put_number(broker)
    reseal(broker, number=2, password="another-one")
    broker.world.targets.test(SPACE, "orders-db", ANN)
    broker.settle()
    assert "[target-" in broker.world.row().trouble
    reseal(broker, number=2)
    broker.world.targets.test(SPACE, "orders-db", ANN)
    broker.settle()
    assert broker.world.row().trouble == ""


def put_number(broker: Brokering) -> None:
    row = broker.world.row()
    other = replace(row, number=2, version=row.version + 1)
    broker.world.adapters.store.write(lambda tx: tx.targets.put_target(other, expect=row.version))


def reseal(broker: Brokering, password: str = ADMIN.password, **other: Any) -> None:
    row = broker.world.row()
    said: dict[str, Any] = {
        "namespace": SPACE,
        "server": row.name,
        "identity": row.identity,
        "slot": ADMIN_SLOT.text,
        "number": 1,
    }
    text = PostgresAccess(user=ADMIN.user, password=password).text
    sealed = seal(text, Binding(**said | other), public=broker.key.public)
    changed = replace(row, sealed=sealed, version=row.version + 1)
    broker.world.adapters.store.write(lambda tx: tx.targets.put_target(changed, expect=row.version))


def test_i04_who_asked_gets_a_login_that_is_gone_with_its_sessions_when_it_ends(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.round()
    assert broker.row(row.id).state is S.ACTIVE
    with login(database, broker, row) as session:
        assert session.execute("SELECT count(*) FROM parcels").fetchone() == (1,)  # of the tenant `red`
        broker.end(broker.row(row.id))
        broker.round()
        assert broker.row(row.id).state is S.REVOKED
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        login(database, broker, row)
    assert ours(broker, database) == set()


def test_what_nobody_waits_for_is_not_minted_and_is_over(broker: Brokering, database: Orders) -> None:
    broker.ready(database)
    row = broker.ask(waits=False)
    broker.round()
    assert (broker.row(row.id).state, ours(broker, database)) == (S.JOURNALED, set())
    broker.later(10)
    broker.settle(3)
    assert broker.row(row.id).state is S.REVOKED


def test_what_was_passed_over_is_taken_at_once_when_the_daemon_says_that_it_is_due(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    row = broker.ask(waits=False)
    broker.work.round()
    broker.daemon.waiting.add(row.id)
    broker.round()
    assert broker.row(row.id).state is S.JOURNALED
    broker.work.push(SPACE, "orders-db", sweep=False)
    broker.round()
    assert broker.row(row.id).state is S.ACTIVE


def test_k9_what_was_minted_and_could_not_be_told_ends_with_its_lease(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.daemon.deaf = True
    broker.work.round()
    assert broker.work.settle(patience=10)
    assert ours(broker, database) != set()
    broker.daemon.deaf = False
    broker.start()  # another broker, which knows nothing
    broker.round()
    assert broker.row(row.id).state is S.MINTING
    broker.later(10)
    broker.settle(3)
    assert (broker.row(row.id).state, ours(broker, database)) == (S.REVOKED, set())
    assert broker.daemon.handed == {
        one.credential: "" for one in broker.daemon.told if isinstance(one, TellMinted)
    }


def test_i12_what_ends_while_it_is_minted_is_handed_to_nobody(broker: Brokering, database: Orders) -> None:
    broker.ready(database)
    row = broker.ask()
    orders = broker.daemon.lease(SPACE, [row.id])
    broker.end(broker.row(row.id))
    (order,) = orders.orders
    mint(broker.desk, SPACE, row.id, gripped(broker, order.fence))
    assert row.id not in broker.daemon.handed
    broker.settle(2)
    assert (broker.row(row.id).state, ours(broker, database)) == (S.REVOKED, set())


def gripped(broker: Brokering, fence: int, lasts: float = 10) -> LeaseClock:
    watch = broker.desk.watch
    return LeaseClock(watch=watch, asked=watch.now(), lasts=lasts, fence=fence)


@pytest.mark.parametrize(
    "stopped", ["the machine slept", "the wall clock jumped", "the lease is about to end"]
)
def test_i55_whoever_was_stopped_does_nothing_in_a_target(
    broker: Brokering, database: Orders, stopped: str
) -> None:
    broker.ready(database)
    row = broker.ask()
    (order,) = broker.daemon.lease(SPACE, [row.id]).orders
    grip = gripped(broker, order.fence, 2.4 if stopped == "the lease is about to end" else 10)
    if stopped == "the machine slept":
        broker.late += 7.6
    elif stopped == "the wall clock jumped":
        broker.world.world.clock.advance(7.6)
    before = list(broker.daemon.told)
    mint(broker.desk, SPACE, row.id, grip)
    assert (ours(broker, database), broker.daemon.told) == (set(), before)
    broker.end(broker.row(row.id))
    broker.later(10)
    (order,) = broker.daemon.lease(SPACE, [row.id]).orders
    revoke(broker.desk, SPACE, row.id, gripped(broker, order.fence, 2.4))
    assert broker.row(row.id).state is S.REVOKING


def test_i05_an_order_of_an_older_lease_does_nothing(broker: Brokering, database: Orders) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.daemon.lease(SPACE, [row.id])
    mint(broker.desk, SPACE, row.id, gripped(broker, 0))
    assert ours(broker, database) == set()
    other = broker.ask()
    broker.round()
    broker.end(broker.row(other.id))
    (order,) = broker.daemon.lease(SPACE, [other.id]).orders
    revoke(broker.desk, SPACE, other.id, gripped(broker, order.fence - 1))
    assert (broker.row(other.id).state, len(ours(broker, database))) == (S.REVOKING, 1)


def test_f10_a_target_that_was_out_of_reach_is_done_with_once_it_is_back(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.round()
    database.server.stop("fast")
    try:
        broker.end(broker.row(row.id))
        for _ in range(3):
            broker.round()
            broker.later(5)
    finally:
        database.server.start()
    now = broker.row(row.id)
    assert (now.state, now.attempts, now.trouble != "") == (S.REVOKING, 3, True)
    broker.round()
    assert (broker.row(row.id).state, ours(broker, database)) == (S.REVOKED, set())


def test_f12_what_was_dropped_by_hand_is_seen_to_be_gone(broker: Brokering, database: Orders) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.round()
    with database.owner() as owner:
        owner.execute(f'DROP ROLE "{broker.open(row).open["PGUSER"]}"'.encode())
    broker.end(broker.row(row.id))
    broker.round()
    assert broker.row(row.id).state is S.REVOKED


def test_i07_what_was_minted_in_another_target_is_not_found_gone_in_this_one(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.round()
    broker.world.forge(broker.row(row.id), identity="2" * 64)
    broker.end(broker.row(row.id))
    broker.settle(2)
    now = broker.row(row.id)
    assert (now.state, "[target-replaced]" in now.trouble) == (S.REVOKING, True)
    assert ours(broker, database) != set()
    broker.world.forge(now, identity=row.identity)
    broker.later(5)
    broker.settle(2)
    assert ours(broker, database) == set()


def test_i59_a_target_that_hangs_delays_no_other(broker: Brokering, database: Orders, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hole:
        hole.bind(str(tmp_path / ".s.PGSQL.5432"))
        hole.listen(64)  # takes connections, and says nothing
        broker.declare(declared_at(tmp_path, "hanging"))
        for _ in range(6):
            broker.world.targets.test(SPACE, "hanging", ANN)
        broker.work.round()
        begun = time.monotonic()
        broker.declare(declared_at(database.server.folder))
        while broker.world.row().state.value == "untested" and time.monotonic() - begun < 30:
            broker.work.round()
        assert broker.world.row().state.value == "ready"
        assert not broker.work.settle(patience=0), "the one that hangs does so still"
    assert broker.work.settle(patience=30)


class Drawn(Quick):
    """A target in which the ends of some names are drawn out until they fail, as by locks in a database."""

    def __init__(self) -> None:
        self.out: dict[str, str] = {}
        self.asked: list[str] = []
        self.turns = threading.Semaphore(0)

    def revoke(self, *names: object, **_: object) -> Gone:
        (name,) = names
        if name not in self.out:
            return Gone(cut=0)
        self.asked.append(self.out[str(name)])
        assert self.turns.acquire(timeout=20)
        raise TargetUnavailableError("somebody has what this needs")


def test_i59_an_agent_that_draws_out_a_hundred_ends_is_in_no_others_way(database: Orders) -> None:
    drawn = Drawn()
    broker = Brokering(sqlite_store(), plugs={"postgres": lambda _file, _access: drawn})
    broker.ready(database)
    with broker.world.adapters.store.read() as seen:
        mark = seen.targets.mark()

    def end(agent: str = "") -> Credential:
        row = broker.ask(waits=False)
        broker.world.forge(row, state=S.REVOKING, ended=row.made, agent=agent or row.agent)
        drawn.out |= {name_of(mark, row.id): agent} if agent else {}
        return row

    for agent in ("greedy", "its-friend"):
        for _ in range(50):
            end(agent)
    broker.work.round()
    until(lambda: len(drawn.asked) == 2, "the first two are at work")
    assert set(drawn.asked) == {"greedy", "its-friend"}  # the agent that has the fewest is next
    broker.later(2)
    drawn.turns.release(3)
    until(lambda: len(drawn.asked) == 4, "what was leased with the first two is gone on with")
    broker.work.round()
    mine = end()
    broker.later(1)
    broker.work.round()
    begun = time.monotonic()
    while broker.row(mine.id).state is not S.REVOKED and time.monotonic() - begun < 30:
        threading.Event().wait(0.01)
    assert broker.row(mine.id).state is S.REVOKED
    assert not broker.work.settle(patience=0)
    drawn.turns.release(100)
    assert broker.work.settle(patience=20)


class Rude:
    """A target whose adapter raises what is no error of ours, with a secret in it."""

    def mint(self, *_: object, **__: object) -> object:
        raise RuntimeError("hunter2")

    sweep = revoke = look = mint


def test_what_an_adapter_raises_beside_our_errors_is_told_by_its_name_alone(
    caplog: pytest.LogCaptureFixture, database: Orders
) -> None:
    broker = Brokering(sqlite_store(), plugs={"postgres": lambda _file, _access: Rude()})
    broker.declare(declared_at(database.server.folder))
    broker.settle(2)
    failed = [one for one in broker.daemon.told if isinstance(one, TellFailed)]
    assert {(one.code, "RuntimeError" in one.trouble) for one in failed} == {("target-unavailable", True)}
    assert "hunter2" not in caplog.text + str(failed)


def test_a_kind_that_nothing_speaks_to_is_said(database: Orders) -> None:
    broker = Brokering(sqlite_store(), plugs={"openssh": plug})
    broker.declare(declared_at(database.server.folder))
    broker.settle(2)
    assert "[no-such-kind]" in broker.world.row().trouble


def test_a_look_finds_what_arrived_late_and_it_is_revoked_again(broker: Brokering, database: Orders) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.daemon.lease(SPACE, [row.id])
    broker.end(broker.row(row.id))
    broker.settle(2)
    gone = broker.row(row.id)
    assert (gone.state, gone.late > 0) == (S.REVOKED, True)
    with broker.world.adapters.store.read() as seen:
        name = name_of(seen.targets.mark(), row.id)
    with database.owner() as owner:
        owner.execute(f'CREATE ROLE "{name}" LOGIN; GRANT "{name}" TO minter WITH ADMIN OPTION'.encode())
    broker.later((gone.late - broker.world.world.clock.at) / seconds(1) + 1)
    broker.settle(3)
    assert (broker.row(row.id).state, ours(broker, database)) == (S.REVOKED, set())
