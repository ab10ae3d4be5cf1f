"""What the broker renews in a real database, by what stands in the store."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    Credential,
    CredentialState,
    RenewalState,
    Step,
    acknowledge,
    end_in_target,
    step_of,
)
from taskbound.core.errors import TaskboundError
from taskbound.ports.target import RenewalUnsupportedError, TargetUnavailableError
from taskbound.wire.target import TellFailed, TellGone, TellRenewed
from tests.sqlite import sqlite_store
from tests.surfaces.broker.brokering import Brokering, declared_at, plug

if TYPE_CHECKING:
    from taskbound.core.target import TargetFile
    from taskbound.ports.target import Target
    from tests.peers.minter import Orders

S = CredentialState


@dataclass
class Renewing:
    """PostgreSQL, and what comes between a renewal and its answer."""

    inner: Any
    now: list[Any] = field(default_factory=list)
    """What is done or raised in the next calls to renew, the first first."""
    before: bool = False
    """Whether that comes before the database is called."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:
        what = self.now.pop(0) if self.now else None
        if not self.before or what is None:
            self.inner.renew(name, ends, patience=patience)
        if isinstance(what, Exception):
            raise what
        if what is not None:
            what()


class Having(Brokering):
    """A broker, and a login that somebody has."""

    def __init__(self, *first: Exception) -> None:
        self.target: Renewing | None = None
        self._first = first
        super().__init__(sqlite_store(), plugs={"postgres": self._plug})

    def _plug(self, file: TargetFile, access: Any) -> Target[Any]:
        self.target = Renewing(plug(file, access), list(self._first), before=True)
        return self.target

    def have(self, database: Orders) -> Credential:
        self.ready(database, renewable=True)
        row = self.ask()
        self.settle()
        self.world.move(row.id, acknowledge)
        self.later(100)
        return self.row(row.id)

    def renew(self, row: Credential) -> Credential:
        self.world.prolong(row, leased=False)
        self.settle(2)
        return self.row(row.id)

    def renewals(self) -> list[Any]:
        return [one for one in self.daemon.told if isinstance(one, TellRenewed | TellFailed)]


@pytest.fixture
def broker() -> Having:
    return Having()


def valid_until(database: Orders, broker: Having, row: Credential) -> Instant:
    """When the database ends it by itself."""
    user = broker.open(row).open["PGUSER"]
    with database.owner() as owner:
        found = owner.execute(
            "SELECT extract(epoch FROM rolvaliduntil)::bigint FROM pg_roles WHERE rolname = %s", (user,)
        ).fetchone()
    assert found is not None
    return Instant(seconds(int(str(found[0]))))


def test_i09_a_login_that_is_renewed_ends_later_in_the_database_too(broker: Having, database: Orders) -> None:
    row = broker.have(database)
    assert valid_until(database, broker, row) == end_in_target(row.ends)
    done = broker.renew(row)
    assert done.renewal is not None
    assert (done.renewal.state, done.ends) == (RenewalState.DONE, done.renewal.ends)
    assert valid_until(database, broker, row) == end_in_target(done.ends)
    broker.later(done.ends / seconds(1) - broker.world.adapters.clock.now() / seconds(1) - 50)
    broker.settle(1)
    with database.login(broker.open(row)) as session:
        assert session.execute("SELECT count(*) FROM orders").fetchone() == (2,)
        broker.later(51)
        broker.settle(3)
        assert broker.row(row.id).state is S.REVOKED
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        database.login(broker.open(row))


def test_a_target_that_can_not_renew_is_no_target_of_a_kind_that_is_to_be(database: Orders) -> None:
    broker = Having(unsupported())
    broker.declare(declared_at(database.server.folder, renewable=True))
    broker.settle()
    assert broker.world.row().state.value == "refused"
    assert "[renewal-unsupported]" in broker.world.row().trouble


def unsupported() -> RenewalUnsupportedError:
    return RenewalUnsupportedError("a certificate ends when it was signed to")


def test_what_a_target_does_not_renew_ends_when_it_did(broker: Having, database: Orders) -> None:
    row = broker.have(database)
    assert broker.target is not None
    broker.target.now, broker.target.before = [unsupported()], True
    kept = broker.renew(row)
    assert kept.renewal is not None
    assert (kept.state, kept.ends, kept.renewal.state) == (S.ACTIVE, row.ends, RenewalState.FAILED)
    assert "[renewal-unsupported]" in kept.trouble
    assert valid_until(database, broker, row) == end_in_target(row.ends)
    assert step_of(kept, Instant(row.ends)) is Step.END


def test_what_can_not_be_reached_is_told_again_and_ends_when_it_did_where_it_never_can(
    broker: Having, database: Orders
) -> None:
    row = broker.have(database)
    assert broker.target is not None
    broker.target.now, broker.target.before = [TargetUnavailableError("it hangs")] * 2, True
    asked = broker.renew(row)
    assert asked.renewal is not None
    assert asked.renewal.state is RenewalState.WANTED
    assert "[target-unavailable]" in asked.trouble
    broker.later(1)
    broker.settle(2)
    broker.later(1)
    broker.settle(2)
    done = broker.row(row.id)
    assert done.renewal is not None
    assert (done.renewal.state, done.trouble) == (RenewalState.DONE, "")


def test_k9_a_renewal_that_was_done_and_never_told_is_done_again_by_the_next_broker(
    broker: Having, database: Orders
) -> None:
    row = broker.have(database)
    broker.daemon.deaf = True
    asked = broker.renew(row)
    assert asked.renewal is not None
    assert (asked.renewal.state, asked.ends) == (RenewalState.WANTED, row.ends)
    assert valid_until(database, broker, row) == end_in_target(asked.renewal.ends)
    broker.daemon.deaf = False
    broker.start()  # as after a kill
    broker.later(10)
    broker.settle(2)
    assert broker.row(row.id).ends == asked.renewal.ends


def test_i03_a_renewal_that_was_never_told_ends_at_the_old_end_and_never_later_there_than_its_task(
    broker: Having, database: Orders
) -> None:
    row = broker.have(database)
    broker.daemon.deaf = True
    asked = broker.renew(row)
    assert asked.renewal is not None
    with broker.world.adapters.store.read() as seen:
        task = seen.tasks.task("default", row.task)
    assert task is not None
    assert valid_until(database, broker, row) <= task.deadline + seconds(60)
    broker.later(row.ends / seconds(1) - broker.world.adapters.clock.now() / seconds(1) + 1)
    broker.daemon.deaf = False
    broker.settle(4)
    over = broker.row(row.id)
    assert over.renewal is not None
    assert (over.state, over.renewal.state) == (S.REVOKED, RenewalState.FAILED)
    with pytest.raises(psycopg.OperationalError):
        database.login(broker.open(row))


def test_i12_an_end_that_comes_while_the_database_renews_wins(broker: Having, database: Orders) -> None:
    row = broker.have(database)
    assert broker.target is not None
    broker.target.now, broker.target.before = [lambda: broker.end(row)], False
    over = broker.renew(row)
    broker.settle(2)
    over = broker.row(row.id)
    assert over.renewal is not None
    assert (over.state, over.renewal.state) == (S.REVOKED, RenewalState.FAILED)
    assert isinstance(broker.daemon.told[-1], TellGone)
    with pytest.raises(psycopg.OperationalError):
        database.login(broker.open(row))


def test_i07_a_renewal_that_arrives_after_the_end_makes_nothing(broker: Having, database: Orders) -> None:
    row = broker.have(database)
    user = broker.open(row).open["PGUSER"]
    broker.end(row)
    broker.settle(2)
    assert broker.row(row.id).state is S.REVOKED
    assert broker.target is not None
    with pytest.raises(TaskboundError):
        broker.target.inner.renew(user, Instant(row.ends + seconds(600)), patience=5)
    with pytest.raises(psycopg.OperationalError):
        database.login(broker.open(row))
    assert user not in database.roles()


def test_i15_a_store_that_was_restored_renews_nothing(broker: Having, database: Orders) -> None:
    row = broker.have(database)
    broker.paper.data = broker.paper.data and broker.paper.data.replace(b'"count":', b'"count":9')
    broker.start()
    broker.world.prolong(row, leased=False)
    broker.round()
    asked = broker.row(row.id)
    assert asked.renewal is not None
    assert asked.renewal.state is RenewalState.WANTED
    assert "[store-restored]" in asked.trouble
    assert replace(asked.renewal, attempts=0).state is RenewalState.WANTED
