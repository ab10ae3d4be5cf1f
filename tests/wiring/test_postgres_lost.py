"""A PostgreSQL database that lost commits, was loaded from a copy, or was restarted (F1, F2, F5, F45)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli.app import run
from taskbound.wire.action import Decide, Permitted
from taskbound.wire.connection import Done
from taskbound.wire.task import ShowTask, TaskDetail
from taskbound.wire.token import Stop
from taskbound.wiring.cli import make_plugs
from taskbound.wiring.home import find_socket, make_home
from tests.postgres import programs, running
from tests.wiring.running import (
    AGENT,
    client,
    code_of,
    covered,
    daemon,
    decide,
    placed,
    settle_in,
    signer,
    start_task,
    status,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import Server

ORIGIN = "example.com/log"
ANOTHER = "example.com/another"
CALL = msgspec.Raw(b'{"text":"a"}')


@pytest.fixture
def own() -> Iterator[Server]:
    """A server of this test's own, since it is stopped."""
    with running() as server:
        yield server


@contextmanager
def log(folder: Path, *, origin: str = ORIGIN) -> Iterator[tuple[str, ...]]:
    """A signer that all daemons share, and what they are told of it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    keys, socket = folder / "keys", folder / "signer.sock"
    with signer(keys, socket, *(() if keys.exists() else ("--create",)), origin=origin):
        yield ("--signer", str(socket), "--origin", origin)


def homes(folder: Path, *names: str) -> list[Path]:
    found = [folder / one for one in names]
    for one in found:
        make_home(one)
    return found


def typed(home: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The document of a command that is done."""
    capsys.readouterr()
    assert run((*words, "--home", str(home), "--json"), make_plugs(os.environ)) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def data(server: Server, to: Path) -> Path:
    """The data of a stopped server, with their owner."""
    subprocess.run(["cp", "-a", str(server.folder / "data"), str(to)], check=True)
    return to


def put_back(server: Server, copy: Path) -> None:
    """The data of before, as a standby has them that did not hear the last commits."""
    shutil.rmtree(server.folder / "data")
    data_now = server.folder / "data"
    subprocess.run(["cp", "-a", str(copy), str(data_now)], check=True)


def remembered(home: Path) -> int:
    """How many records the daemons of a data directory have seen."""
    return int((home / "log-seen").read_text().splitlines()[1])


@pytest.mark.timeout(180)
def test_f5_i15_last_commits_that_a_failover_lost_are_found_with_the_first_call_and_nothing_is_permitted(
    own: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = homes(tmp_path, "one", "two", "idle")
    url = own.url(own.database())
    with log(tmp_path / "apart") as told:
        flags = ("--store", url, *told)
        with daemon(first, *flags) as one, daemon(second, *flags) as two, daemon(third, *flags) as idle:
            task = settle_in(find_socket(first), tmp_path)
            until(lambda: covered(find_socket(first)), "the log is signed")
            own.stop("fast")
            older = data(own, tmp_path / "older")
            own.start()
            until(lambda: code_of(find_socket(first), "1") == "permitted", "the database is back")
            until(lambda: code_of(find_socket(second), "1") == "permitted", "for both")
            until(lambda: placed(find_socket(third)) and covered(find_socket(third)), "all see it")
            records = status(find_socket(third)).records
            until(lambda: remembered(third) >= records, "the idle one remembers it too, whoever leads")
            own.stop("immediate")
            put_back(own, older)
            own.start()
            assert {code_of(find_socket(first), "2"), code_of(find_socket(second), "2")} <= {
                "store-behind",
                "daemon-lost",
            }
            assert (one.wait(), two.wait(), idle.wait()) == (5, 5, 5)  # the idle one lost nothing of its own
            assert "[store-behind]" in one.words
        for home in (first, second, third):
            refused = daemon(home, *flags)
            assert refused.wait() == 5
            assert "[store-behind]" in refused.words
    unsaid = ("db", "reconcile", "--follow", "--store", url, "--yes", "--home", str(second))
    assert run(unsaid, make_plugs(os.environ)) == 3
    assert "[not-reconciled]" in capsys.readouterr().err
    done = typed(first, capsys, "db", "reconcile", "--store", url, "--yes")
    assert (done["tasks"], done["finished"], done["origin"]) == (1, False, "")
    with log(tmp_path / "apart", origin=ANOTHER) as told, daemon(first, "--store", url, *told):
        socket = find_socket(first)
        assert status(socket).stopped
        with client(socket) as person:
            assert person.ask(ShowTask(task=task), TaskDetail).row.state == "revoked"
            person.ask(Stop(stopped=False, reason=""), Done)
            fresh = start_task(person)
        refused = daemon(second, "--store", url, *told)
        assert refused.wait() == 5
        followed = typed(second, capsys, "db", "reconcile", "--follow", "--store", url, "--yes")
        assert (followed["finished"], followed["tasks"]) == (True, 0)
        with daemon(second, "--store", url, *told):
            assert decide(find_socket(second)).task == fresh
            until(lambda: covered(socket), "the log is signed under its new name")


def test_f45_a_database_is_dumped_while_it_is_written_to_and_gone_on_with_where_it_is_loaded(
    own: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home,) = homes(tmp_path, "one")
    url, owner = own.url(name := own.database()), own.url(name, "owner")
    copy, socket, ending = tmp_path / "one.dump", find_socket(home), threading.Event()
    permitted: list[int] = []

    def ask() -> None:
        with client(socket, "gateway", AGENT) as one:
            while not ending.is_set():
                permitted.append(len(permitted))
                one.ask(Decide(tool="echo__say", arguments=CALL, request=str(len(permitted))), Permitted)

    with log(tmp_path / "apart") as told, daemon(home, "--store", url, *told):
        settle_in(socket, tmp_path)
        until(lambda: covered(socket), "the log is signed")
        asker = threading.Thread(target=ask)
        asker.start()
        until(lambda: len(permitted) > 20, "it asks")
        made = typed(home, capsys, "db", "backup", str(copy), "--store", owner)
        ending.set()
        asker.join()
        until(lambda: placed(socket), "every record has its place")
        assert 0 < made["size"] <= made["records"] < status(socket).records
        assert (made["engine"], made["covered"] > 0, made["origin"]) == ("postgresql", True, ORIGIN)
        assert copy.stat().st_mode & 0o777 == 0o600
    loaded = own.url("loaded", "owner")
    with own.connect("postgres") as admin:
        admin.execute("CREATE DATABASE loaded")
    words = ["--no-owner", "--exit-on-error", f"--dbname={loaded}", str(copy)]
    subprocess.run([programs() / "pg_restore", *words], check=True)
    roles = ("--daemon", "daemon", "--signer", "signer", "--broker", "broker")
    typed(home, capsys, "db", "upgrade", "--store", loaded, *roles)
    with log(tmp_path / "apart", origin=ANOTHER) as told:
        flags = ("--store", own.url("loaded"), *told)
        refused = daemon(home, *flags)
        assert refused.wait() == 5
        assert "[store-behind]" in refused.words
        done = typed(home, capsys, "db", "reconcile", "--store", own.url("loaded"), "--yes")
        assert (done["tasks"], done["held"]) == (1, made["records"])
        with daemon(home, *flags):
            assert status(socket).stopped
            with pytest.raises(TaskboundError, match="stopped"), client(socket) as person:
                start_task(person)
            until(lambda: covered(socket), "the log is signed under its new name")


def test_a_database_that_other_daemons_use_is_not_reconciled_beneath_them(
    own: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = homes(tmp_path, "one", "two")
    url = own.url(own.database())
    with log(tmp_path / "apart") as told, daemon(first, "--store", url, *told):
        settle_in(find_socket(first), tmp_path)
        until(lambda: covered(find_socket(first)), "the log is signed, by the daemon that leads")
        words = ("db", "reconcile", "--store", url, "--yes", "--home", str(second))
        assert run(words, make_plugs(os.environ)) == 4
        assert "[other-daemons]" in capsys.readouterr().err
        assert decide(find_socket(first)).action


@pytest.mark.parametrize("how", ["it is stopped", "it does not reach the signer"])
def test_log_of_a_daemon_that_has_the_seat_and_does_nothing_is_signed_by_the_other(
    own: Server, tmp_path: Path, how: str
) -> None:
    first, second = homes(tmp_path, "one", "two")
    url = own.url(own.database())
    with log(tmp_path / "apart") as told:
        way = tmp_path / "way.sock"
        way.symlink_to(told[1])
        flags = ("--store", url, "--origin", ORIGIN)
        with daemon(first, *flags, "--signer", str(way)) as one, daemon(second, *flags, *told[:2]):
            settle_in(find_socket(first), tmp_path)
            until(lambda: covered(find_socket(first)), "the daemon that leads has the log signed")
            if how == "it is stopped":
                one.process.send_signal(signal.SIGSTOP)
            else:
                way.unlink()
            try:
                assert code_of(find_socket(second), "1") == "permitted"
                until(lambda: covered(find_socket(second)), "the other daemon has the log signed")
                assert code_of(find_socket(second), "2") == "permitted"
            finally:
                one.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_f1_a_server_that_is_restarted_beneath_calls_permits_nothing_meanwhile_and_all_goes_on(
    own: Server, tmp_path: Path, how: str
) -> None:
    first, second = homes(tmp_path, "one", "two")
    url = own.url(own.database())
    found: list[tuple[str, str]] = []
    ending = threading.Event()

    def ask(home: Path) -> None:
        number = 0
        while not ending.is_set():
            number += 1
            found.append((home.name, code_of(find_socket(home), str(number))))

    with log(tmp_path / "apart") as told:
        flags = ("--store", url, *told)
        with daemon(first, *flags), daemon(second, *flags):
            settle_in(find_socket(first), tmp_path)
            until(lambda: covered(find_socket(first)), "the log is signed")
            askers = [threading.Thread(target=ask, args=(one,)) for one in (first, second)]
            for one in askers:
                one.start()
            until(lambda: len(found) > 10, "they ask")
            own.stop(how)
            start = len(found)
            until(lambda: len(found) > start + 4, "they are answered without a database")
            away = {code for _, code in found[start + 2 : len(found)]}
            own.start()
            before = len(found)
            until(
                lambda: {("one", "permitted"), ("two", "permitted")} <= set(found[before:]),
                "both go on by themselves",
            )
            ending.set()
            for one in askers:
                one.join()
            assert away <= {"database-lost", "ambiguous-commit"}
            until(lambda: placed(find_socket(first)) and covered(find_socket(first)), "no record is lost")


def test_f2_a_database_that_only_reads_refuses_by_name_and_is_used_again_when_it_writes(
    own: Server, tmp_path: Path
) -> None:
    (home,) = homes(tmp_path, "one")
    name = own.database()
    with log(tmp_path / "apart") as told, daemon(home, "--store", own.url(name), *told):
        settle_in(find_socket(home), tmp_path)
        decide(find_socket(home), request="1")
        with own.connect("postgres") as admin:
            admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            until(
                lambda: code_of(find_socket(home), "2") == "read-only-database",
                "it is said that it only reads",
            )
            assert code_of(find_socket(home), "3") == "read-only-database"
            admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        until(lambda: code_of(find_socket(home), "4") == "permitted", "it goes on by itself")
        until(lambda: covered(find_socket(home)), "the log goes on")
