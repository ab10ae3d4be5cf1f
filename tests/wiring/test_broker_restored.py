"""A data directory that is put back from a copy while credentials live, with real processes (I-15, F45)."""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from taskbound.surfaces.cli.app import run
from taskbound.wire.audit import ExportAudit, ExportPage
from taskbound.wiring.cli import make_plugs
from tests.peers.minter import Orders, minting
from tests.wiring.broking import Askers, House, house, roles
from tests.wiring.running import client, covered, daemon, placed, status, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def database() -> Iterator[Orders]:
    with minting() as found:
        yield found


def reconciled(there: House) -> list[dict[str, Any]]:
    """What the log says of stores that were restored."""
    until(lambda: placed(there.socket), "every record has its place")
    with client(there.socket) as one:
        found = [json.loads(each) for each in one.ask(ExportAudit(limit=5000), ExportPage).records]
    return [one["event"] for one in found if one["event"]["kind"] == "store-reconciled"]


def put_back(home: Path, copy: Path) -> None:
    """Yesterday's data directory, with all that was kept beside it; what the broker keeps apart stays."""
    for one in copy.iterdir():
        kept = home / one.name
        if one.is_dir():
            shutil.rmtree(kept)
            shutil.copytree(one, kept)
        else:
            shutil.copy2(one, kept)
    for one in home.iterdir():
        if not (copy / one.name).exists() and one.name != "broker":
            one.unlink()


def test_f45_what_lives_when_yesterday_s_copy_is_put_back_is_ended_said_and_only_then_anything_is_minted(
    database: Orders, tmp_path: Path
) -> None:
    with house(tmp_path / "house", database.server.folder) as there:
        there.start_task()
        assert status(there.socket).epoch == 1
        assert reconciled(there) == []
        there.process.end()
        shutil.copytree(there.home, tmp_path / "copy", ignore=shutil.ignore_patterns("broker", "*.sock"))
        with daemon(there.home):
            there.askers.close()
            there.askers = Askers(there.socket)
            credential, minted = there.askers.get().minted()
            assert there.row(credential).state == "active"
            with database.login(minted) as session:
                assert session.execute("SELECT count(*) FROM orders").fetchone() == (2,)
        assert len(roles(database)) == 1
        put_back(there.home, tmp_path / "copy")
        with daemon(there.home):
            until(lambda: status(there.socket).epoch == 2, "the broker found it")
            until(lambda: not status(there.socket).doubted, "nothing of before is left")
            assert roles(database) == set()
            (record,) = reconciled(there)
            assert (record["epoch"], record["ended"], record["targets"]) == (2, 1, 1)
            assert record["why"] == "the store has fewer records than the broker saw"
            there.askers.close()
            there.askers = Askers(there.socket)
            credential, _ = there.askers.get().minted()
            assert there.row(credential).state == "active"
            assert len(reconciled(there)) == 1


def test_i15_a_broker_that_is_killed_or_stopped_in_doubt_is_in_doubt_until_the_target_was_seen(
    database: Orders, tmp_path: Path
) -> None:
    others = roles(database)  # another installation's
    with house(tmp_path / "house", database.server.folder) as there:
        there.start_task()
        there.process.end()
        shutil.copytree(there.home, tmp_path / "copy", ignore=shutil.ignore_patterns("broker", "*.sock"))
        with daemon(there.home):
            there.askers.close()
            there.askers = Askers(there.socket)
            there.askers.get().minted()
        assert len(roles(database) - others) == 1
        put_back(there.home, tmp_path / "copy")
        away = ExitStack()
        database.server.stop("fast")
        with away:
            away.callback(database.server.start)
            with daemon(there.home) as process:
                running = House(there.home, process, there.askers)
                until(lambda: status(there.socket).epoch == 2, "the broker found it")
                (before,) = running.brokers()
                os.kill(before, signal.SIGKILL)
                until(lambda: running.brokers() not in ([], [before]), "another broker is there")
                until(lambda: bool(status(there.socket).doubted), "it is in doubt too")
                assert status(there.socket).epoch == 2
            with daemon(there.home):  # and once more, after an ordinary end
                until(lambda: bool(status(there.socket).doubted), "it is in doubt still")
                assert status(there.socket).epoch == 2
                assert reconciled(there) == []
                away.close()
                until(lambda: not status(there.socket).doubted, "nothing of before is left")
                assert roles(database) == others
                (record,) = reconciled(there)
                assert (record["epoch"], record["ended"], record["targets"]) == (2, 1, 1)


def test_i15_f45_what_was_minted_after_a_copy_is_ended_once_the_command_has_put_that_back(
    database: Orders, tmp_path: Path
) -> None:
    others = roles(database)  # another installation's
    copy = tmp_path / "copies" / "one.db"
    copy.parent.mkdir()
    with house(tmp_path / "house", database.server.folder) as there:
        there.start_task()
        until(lambda: covered(there.socket), "the log is signed")
        words = ("--home", str(there.home))
        assert run(("db", "backup", str(copy), *words), make_plugs(os.environ)) == 0
        there.askers.close()
        there.askers = Askers(there.socket)
        _, minted = there.askers.get().minted()
        assert len(roles(database) - others) == 1
        there.process.end()
        assert run(("db", "restore", str(copy), "--yes", *words), make_plugs(os.environ)) == 0
        with daemon(there.home):
            until(lambda: status(there.socket).epoch == 2, "the broker found it")
            until(lambda: not status(there.socket).doubted, "nothing of before is left")
            assert roles(database) == others
            with pytest.raises(psycopg.OperationalError), database.login(minted):
                pass
            (record,) = reconciled(there)
            assert (record["epoch"], record["ended"]) == (2, 1)
            assert status(there.socket).stopped
