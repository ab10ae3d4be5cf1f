from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from taskbound.core.credential import LEASE
from taskbound.wire.connection import Done
from taskbound.wire.target import RevokeCredentials, RevokingCredentials
from taskbound.wire.task import EndTask
from tests.peers.cutting import Cutting, How
from tests.peers.minter import Orders, minting
from tests.wiring.broking import House, house, roles
from tests.wiring.running import client, until

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECOND = 1_000_000


class Stopping(Cutting):
    """A way to the database at which the broker is stopped as a word goes through, which goes through."""

    def __init__(self, folder: Path, server: Path) -> None:
        super().__init__(folder, server)
        self.house: House | None = None
        self.stopped: list[int] = []

    def _cut(self, piece: bytes) -> How | None:
        if super()._cut(piece) is not None and self.house is not None:
            self.stopped = self.house.brokers()
            for one in self.stopped:
                os.kill(one, signal.SIGSTOP)
        return None

    def go_on(self) -> None:
        for one in self.stopped:
            os.kill(one, signal.SIGCONT)
        self.stopped = []


@pytest.fixture(scope="module")
def database() -> Iterator[Orders]:
    with minting() as found:
        yield found


@pytest.fixture(scope="module")
def way(database: Orders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopping]:
    with Stopping(tmp_path_factory.mktemp("way"), database.server.folder) as found:
        yield found
        found.go_on()


@pytest.fixture(scope="module")
def there(way: Stopping, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), way.folder) as found:
        way.house = found
        yield found
        way.go_on()


def test_i12_f19_what_a_stopped_broker_had_minted_when_its_task_ended_is_handed_to_nobody_and_gone(
    there: House, database: Orders, way: Stopping
) -> None:
    task = there.start_task()
    way.at(b"COMMIT", "before")
    asked = there.askers.get()
    credential = asked.next()["permitted"]
    until(lambda: bool(way.stopped), "the broker is stopped as its mint is written")
    until(lambda: bool(roles(database)), "it is minted")
    with client(there.socket) as one:
        one.ask(EndTask(task=task), Done)
    way.go_on()
    assert "code" in asked.next()
    there.gone(credential)
    assert roles(database) == set()


def test_i55_f19_k26_a_broker_that_was_stopped_for_longer_than_its_leases_goes_on_with_what_is_due_now(
    there: House, database: Orders, way: Stopping
) -> None:
    task = there.start_task()
    credential, minted = there.askers.get().minted()
    with database.login(minted) as session:
        way.at(b"NOLOGIN", "before")
        with client(there.socket) as one:
            one.ask(RevokeCredentials(credential=credential), RevokingCredentials)
        until(lambda: bool(way.stopped), "the broker is stopped as it shuts the login")
        another = there.askers.get()
        waiting = another.next()["permitted"]
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun > LEASE / _SECOND + 1, "its leases are over")
        until(lambda: there.row(waiting).state == "revoking", "what nobody minted is over")
        assert there.row(credential).state == "revoking"
        way.go_on()
        there.gone(credential)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert "code" in another.next()
    there.gone(waiting)
    assert roles(database) == set()
    with client(there.socket) as one:
        one.ask(EndTask(task=task), Done)
