from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from taskbound.wire.connection import Done
from taskbound.wire.target import ListTargets, RevokeCredentials, RevokingCredentials, TargetRows
from taskbound.wire.task import EndTask
from tests.peers.cutting import Cutting, How
from tests.peers.minter import Orders, minting
from tests.wiring.broking import House, house, key_of, roles
from tests.wiring.running import Running, client, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODULE = (sys.executable, "-I", "-m", "taskbound.wiring.broker")


class Killing(Cutting):
    """A way to the database that has somebody killed just as a word goes through."""

    def __init__(self, folder: Path, server: Path) -> None:
        super().__init__(folder, server)
        self.kill: Callable[[], None] = lambda: None
        self.killed = 0

    def _cut(self, piece: bytes) -> How | None:
        how = super()._cut(piece)
        if how is not None:
            self.kill()
            self.killed += 1
        return how


@pytest.fixture(scope="module")
def database() -> Iterator[Orders]:
    with minting() as found:
        yield found


@pytest.fixture(scope="module")
def way(database: Orders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killing]:
    with Killing(tmp_path_factory.mktemp("way"), database.server.folder) as found:
        yield found


@pytest.fixture(scope="module")
def there(way: Killing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), way.folder) as found:
        way.kill = found.kill_broker
        yield found


def make_key(keys: Path) -> str:
    command = (*MODULE, "--keys", str(keys), "--create")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_without_a_socket_it_makes_the_key_prints_the_public_half_and_ends(tmp_path: Path) -> None:
    made = make_key(tmp_path / "keys")
    assert (len(made), make_key(tmp_path / "keys")) == (43, made)
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "keys").iterdir()}
    assert modes == {"key.pem": 0o600, "broker.json": 0o600, "lock": 0o600}


def test_without_create_no_key_is_made_and_without_a_store_it_does_not_start(tmp_path: Path) -> None:
    flags = ("--socket", str(tmp_path / "b.sock"), "--daemon", str(tmp_path / "d.sock"))
    one = Running("broker", "--keys", str(tmp_path / "keys"), *flags)
    assert one.wait() == 4
    assert "[key-missing]" in one.said
    other = Running("broker", "--keys", str(tmp_path / "keys"), "--create", *flags)
    assert other.wait() == 4
    assert "which database is to be read" in other.said


def test_a_target_becomes_ready_by_the_daemon_s_own_broker_which_nobody_reads(there: House) -> None:
    assert there.target().state == "ready"
    (pid,) = there.brokers()
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    assert next(line for line in limits.splitlines() if line.startswith("Max core")).split()[4:6] == [
        "0",
        "0",
    ]
    if os.geteuid():
        with pytest.raises(PermissionError):
            Path(f"/proc/{pid}/environ").read_bytes()
    assert stat.S_IMODE(there.broker.stat().st_mode) == 0o600
    assert key_of(there.broker) == key_of(there.broker)


def test_i04_a_task_has_a_login_until_it_ends_and_no_session_outlives_it(
    there: House, database: Orders
) -> None:
    task = there.start_task()
    credential, minted = there.askers.get().minted()
    assert there.row(credential).state == "active"
    with database.login(minted) as session:
        assert session.execute("SELECT count(*) FROM orders").fetchone() == (2,)
        with client(there.socket) as one:
            one.ask(EndTask(task=task), Done)
        there.gone(credential)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        database.login(minted)
    assert roles(database) == set()


MINTS = ["CREATE ROLE", "COMMIT"]
ENDS = ["NOLOGIN", "DROP ROLE"]


def test_i02_a_broker_that_is_killed_at_a_message_leaves_nothing_that_no_row_names(
    there: House, database: Orders, way: Killing
) -> None:
    task = there.start_task()
    lives = [there.askers.get().minted()[0] for _ in ENDS]
    hit: list[str] = []
    for word in MINTS:  # K7 to K9
        strike(there, way, word)
        hit.append(there.askers.get().next()["permitted"])
        until(lambda: way.killed == 1, f"the broker is killed at {word}")
    for word, credential in zip(ENDS, lives, strict=True):  # K14 to K16
        strike(there, way, word)
        with client(there.socket) as one:
            one.ask(RevokeCredentials(credential=credential), RevokingCredentials)
        until(lambda: way.killed == 1, f"the broker is killed at {word}")
    for credential in (*hit, *lives):
        there.gone(credential)
    assert roles(database) == set()
    with client(there.socket) as one:
        one.ask(EndTask(task=task), Done)


def test_i09_a_login_is_renewed_by_the_next_broker_where_one_is_killed_before_it_tells(
    there: House, database: Orders, way: Killing
) -> None:
    task = there.start_task()
    credential, minted = there.askers.get(seconds=300).minted()
    before = there.row(credential)
    strike(there, way, "VALID UNTIL")
    asked = there.askers.get(seconds=600, renews=credential)
    assert asked.next()["permitted"] == credential
    until(lambda: way.killed == 1, "the broker is killed as the database was told")
    row = there.row(credential)
    assert (row.renewal_state, row.ends) == ("wanted", before.ends)
    assert asked.next()["renewed"] == row.renewal_ends
    row = there.row(credential)
    assert (row.renewal_state, row.state, row.ends) == ("done", "active", row.renewal_ends)
    database.login(minted).close()
    with client(there.socket) as one:
        one.ask(EndTask(task=task), Done)
    there.gone(credential)
    with pytest.raises(psycopg.OperationalError):
        database.login(minted)


def strike(there: House, way: Killing, word: str) -> None:
    """Have the broker killed as this word has reached the database, once."""
    until(lambda: connected(there), "a broker is there")
    way.killed = 0
    way.at(word.encode(), "after")


def connected(there: House) -> bool:
    with client(there.socket) as one:
        return one.ask(ListTargets(), TargetRows).broker
