from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli.app import run
from taskbound.wire.action import ActionDetail, Decide, Outcome, Permitted, Released, ShowAction
from taskbound.wire.connection import Done
from taskbound.wire.task import EndTask
from taskbound.wiring.cli import make_plugs
from taskbound.wiring.home import find_socket, make_home
from taskbound.wiring.settings import BadSettingError
from taskbound.wiring.store import DriverMissingError, open_store
from tests.wiring.running import (
    AGENT,
    client,
    covered,
    daemon,
    decide,
    placed,
    settle_in,
    signer,
    status,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Server

ORIGIN = "example.com/log"
SAY = Decide(tool="echo__say", arguments=msgspec.Raw(b'{"text":"a"}'), request="1")


@pytest.fixture
def name(server: Server) -> Iterator[str]:
    made = server.database()
    yield made
    server.drop(made)


@pytest.fixture
def apart(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "apart"
    folder.mkdir(mode=0o700)
    return folder / "keys", folder / "signer.sock"


def test_two_daemons_on_one_database_share_tasks_and_one_log(
    server: Server, name: str, tmp_path: Path, apart: tuple[Path, Path]
) -> None:
    keys, socket = apart
    homes = [tmp_path / "one", tmp_path / "two"]
    for one in homes:
        make_home(one)
    flags = ("--store", server.url(name), "--signer", str(socket), "--origin", ORIGIN)
    with signer(keys, socket, "--create"), daemon(homes[0], *flags) as first:
        sockets = [find_socket(one) for one in homes]
        task = settle_in(sockets[0], tmp_path)
        with daemon(homes[1], *flags):
            assert "PostgreSQL" in status(sockets[1]).store
            decide(sockets[1])
            until(lambda: covered(sockets[0]) and covered(sockets[1]), "one log, seen by both")
            with client(sockets[0]) as asked:
                asked.ask(EndTask(task=task, how="cancelled", reason="enough"), Done)
            with pytest.raises(TaskboundError, match="Refused"):
                decide(sockets[1], request="2")
            first.end()
            until(lambda: placed(sockets[1]) and covered(sockets[1]), "the other one has the log signed now")


def state_of(socket: Path, action: str) -> str:
    with client(socket) as asked:
        return asked.ask(ShowAction(action=action), ActionDetail).row.state


def test_what_a_living_daemon_has_permitted_stays_and_what_a_dead_one_has_becomes_unknown(
    server: Server, name: str, tmp_path: Path, apart: tuple[Path, Path]
) -> None:
    keys, socket = apart
    homes = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]
    for one in homes:
        make_home(one)
    flags = ("--store", server.url(name), "--signer", str(socket), "--origin", ORIGIN)
    first, second, third = (find_socket(one) for one in homes)
    with signer(keys, socket, "--create"), daemon(homes[0], *flags):
        settle_in(first, tmp_path)
        with client(first, "gateway", AGENT) as living, daemon(homes[2], *flags) as dying:
            kept = living.ask(SAY, Permitted).action
            with client(third, "gateway", AGENT) as cut:
                gone = cut.ask(SAY, Permitted).action
                with daemon(homes[1], *flags):
                    dying.end(signal.SIGKILL)  # after the others had started: who runs on sees it as well
                    until(lambda: state_of(second, gone) == "unknown", "its daemon is gone")
                    assert state_of(second, kept) == "permitted"
                    answer = Outcome(action=kept, outcome="succeeded", answer=msgspec.Raw(b"{}"))
                    living.ask(answer, Released)
                    assert state_of(first, kept) == "succeeded"


def test_a_daemon_with_other_base_rules_does_not_start_beside_one_that_is_there(
    server: Server, name: str, tmp_path: Path, apart: tuple[Path, Path]
) -> None:
    make_home(tmp_path / "home")
    flags = ("--store", server.url(name), "--signer", str(apart[1]), "--origin", ORIGIN)
    with closing(PostgresStore(server.url(name))) as there:
        there.agree("the base of another version")
        refused = daemon(tmp_path / "home", *flags)
        assert refused.wait() != 0
    assert "[other-rules]" in refused.words


def test_a_database_that_is_lost_refuses_and_is_used_again_when_it_is_back(
    tmp_path: Path, apart: tuple[Path, Path]
) -> None:
    from tests.postgres import running  # noqa: PLC0415 - a server of this test's own, since it is killed

    keys, socket = apart
    home = tmp_path / "home"
    make_home(home)
    with running() as own:
        url = own.url(own.database())
        flags = ("--store", url, "--signer", str(socket), "--origin", ORIGIN)
        with signer(keys, socket, "--create"), daemon(home, *flags):
            listening = find_socket(home)
            settle_in(listening, tmp_path)
            decide(listening)
            own.kill()
            with pytest.raises(TaskboundError):
                decide(listening, request="2")
            own.start_again()
            decide(listening, request="3")


def typed(*words: str) -> int:
    return run(words, make_plugs(os.environ))


def test_a_database_is_made_and_looked_at_from_the_command_line(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with server.connect("postgres") as admin:
        admin.execute("CREATE DATABASE typed")
    home = ("--home", str(tmp_path / "home"))
    owner, own = server.url("typed", "owner"), server.url("typed")
    assert typed("db", "check", "--store", own, *home) == 1
    assert "taskbound db upgrade" in capsys.readouterr().out
    roles = ("--daemon", "daemon", "--signer", "signer", "--broker", "typed_broker")
    with server.connect("postgres") as admin:
        admin.execute("DROP ROLE IF EXISTS typed_broker")
    assert typed("db", "upgrade", "--store", owner, *roles, *home) == 0
    with server.connect("typed", "typed_broker") as broker:
        broker.execute("TABLE taskbound.targets")
    capsys.readouterr()
    assert typed("db", "check", "--store", own, "--json", *home) == 0
    assert json.loads(capsys.readouterr().out)["healthy"] is True
    server.drop("typed")


def test_no_database_named_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("db", "check", "--home", str(tmp_path / "home")) == 2
    assert "--store" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("check",), ("upgrade",)])
def test_a_password_on_the_command_line_is_refused_and_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    home = ("--home", str(tmp_path / "home"))
    assert typed("db", *words, "--store", "postgresql://ann:hunter2@db/x", *home) == 2
    said = capsys.readouterr()
    assert "hunter2" not in said.out + said.err


def test_a_store_with_a_password_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(BadSettingError):
        open_store(tmp_path, "postgresql://ann:hunter2@db/x")


def test_a_missing_driver_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in [
        one for one in sys.modules if one.startswith(("psycopg", "taskbound.adapters.store.postgres"))
    ]:
        monkeypatch.delitem(sys.modules, one)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DriverMissingError):
        open_store(tmp_path, "postgresql:///x")
