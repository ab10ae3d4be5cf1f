"""A broker that is killed with a hundred ends before it, some of which are leased and begun by nobody."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlReader
from taskbound.core.credential import NEVER, CredentialState
from taskbound.surfaces.broker.work import WORKERS
from taskbound.wire.target import RevokeCredentials, RevokingCredentials
from tests.peers.minter import Orders, minting
from tests.wiring.broking import TARGET, House, house, roles
from tests.wiring.running import client, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.core.credential import Credential

MANY = 100
S = CredentialState


@pytest.fixture
def database() -> Iterator[Orders]:
    with minting() as found:
        yield found


@pytest.fixture
def there(database: Orders, tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, database.server.folder) as found:
        yield found


def rows(there: House) -> list[Credential]:
    with SqlReader(there.home / "taskbound.db").read() as seen:
        return list(seen.credentials.credentials("default", target=TARGET, limit=500))


def struck(there: House) -> bool:
    """Whether it is the moment to kill the broker."""
    found = rows(there)
    leased = [one for one in found if one.state is S.REVOKING and one.lease.until != NEVER]
    return len(leased) > WORKERS and sum(one.state is S.REVOKED for one in found) >= MANY // 10


def test_i02_k14_what_a_killed_broker_had_leased_ahead_is_gone_within_a_lease(
    there: House, database: Orders
) -> None:
    there.start_task()
    asked = [there.askers.get() for _ in range(MANY)]
    lives = [one.minted()[0] for one in asked]
    for one in there.brokers():
        os.kill(one, signal.SIGSTOP)  # so that all of it is due at once
    with client(there.socket) as person:
        while person.ask(RevokeCredentials(target=TARGET), RevokingCredentials).more:
            pass
    for one in there.brokers():
        os.kill(one, signal.SIGCONT)
    until(lambda: struck(there), "some of it is gone, and more is leased than is begun")
    there.kill_broker()
    for credential in lives:
        there.gone(credential)
    assert roles(database) == set()
    over = {one.id: one for one in rows(there)}
    assert {over[one].state for one in lives} == {S.REVOKED}
