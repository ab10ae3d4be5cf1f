from __future__ import annotations

import json
import socket
import sqlite3
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.peers.openssh import make_key
from tests.surfaces.cli.asking import Asking, asking
from tests.surfaces.cli.test_operands import sheet_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.postgres import Server
    from tests.surfaces.cli.installation import Installation

Do = tuple[str, "Callable[[str], object]"]


@pytest.fixture
def place(fresh: Installation, tmp_path: Path) -> Installation:
    fresh.prepare()
    assert fresh("person", "demo", "begin").status == 0
    assert fresh("person", "key", "add", str(make_key(tmp_path, name="alice"))).status == 0
    fresh.start_task(scope=fresh.scope({"tool": "fs__write", "others": "any"}))
    return fresh


@pytest.fixture
def ask(place: Installation) -> Iterator[Asking]:
    with asking(place) as one:
        yield one


TABLE = 'CREATE TABLE "in\'voices" (id text, version integer)'
ODD = "INV'7\u202e"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Do]:
    """A database of somebody else's: how its table is declared, and what does something to it."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        own = sqlite3.connect(path, isolation_level=None)
        yield f"sqlite:{quote(str(path))}?table=in%27voices&key=id&version=version", own.execute
        own.close()
        return
    server: Server = request.getfixturevalue("server")
    database = server.database()
    with server.connect(database) as other:
        where = f"{quote(str(server.folder))}?database={database}&user=owner"
        yield (
            f"postgresql:{where}&schema=public&table=in%27voices&key=id&version=version",
            lambda text: other.execute(text.encode()),
        )
    server.drop(database)


def said(ask: Asking, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(json.dumps({"path": path})))
    return found


def test_a_row_is_declared_shown_with_escapes_signed_and_looked_at_again_by_the_daemon(
    place: Installation, ask: Asking, ledger: Do, tmp_path: Path
) -> None:
    where, do = ledger
    do(TABLE)
    do(f"INSERT INTO \"in'voices\" VALUES ('{ODD.replace(chr(39), chr(39) * 2)}', 1)")  # noqa: S608 - names of the test's own
    assert (
        "bad-probe" in place("tool", "declare", "fs__write", "--probe", f"path=row:{where}&x=1", "--yes").err
    )
    declared = place("tool", "declare", "fs__write", "--probe", f"path=row:{where}", "--yes")
    assert declared.status == 0, declared.err
    first = said(ask, ODD)
    assert first["is"] == "permitted", "policy holds nothing yet"
    ask(json.dumps({"outcome": "unknown", "action": first["action"]}))

    held = said(ask, ODD)
    assert held["code"] == "held", held
    shown = place("approval", "show", held["action"]).out
    (operand,) = sheet_in(shown).operands
    found = dict(operand.found)
    assert (operand.kind, operand.place, found["version"]) == ("row", "/path", 'integer "1"')
    assert found["row"] == where
    assert "\u202e" not in shown, "what turns text around is shown as an escape"
    key = ("--key", str(tmp_path / "alice"))
    assert place("approval", "sign", held["action"], *key).status == 0

    do('UPDATE "in\'voices" SET version = 2')
    other = said(ask, ODD)
    assert (other["code"], other["action"] != held["action"]) == ("held", True)
    assert other["reasons"][0]["code"] == "superseded"
    assert "the version behind `/path`" in other["reasons"][0]["detail"]
    assert place("approval", "sign", other["action"], *key).status == 0
    assert said(ask, ODD)["is"] == "permitted"

    do('DROP TABLE "in\'voices"')
    ask(json.dumps({"outcome": "unknown", "action": other["action"]}))
    assert said(ask, ODD)["code"] == "operand-unreadable"


def test_a_database_that_never_answers_holds_up_nobody_else(place: Installation, ask: Asking) -> None:
    first = said(ask, "a")
    ask(json.dumps({"outcome": "unknown", "action": first["action"]}))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place.root / ".s.PGSQL.5432"))
        listening.listen()
        where = f"postgresql:{quote(str(place.root))}?database=d&schema=s&table=t&key=k"
        done = place("tool", "declare", "fs__write", "--probe", f"path=row:{where}", "--yes")
        assert done.status == 0, done.err
        answers: list[dict[str, Any]] = []
        waits = threading.Thread(target=lambda: answers.append(said(ask, "a")))
        waits.start()
        held, _ = listening.accept()
        with held:
            assert place("tool", "list").status == 0
            with asking(place) as other:
                assert said(other, "b")["is"] == "permitted"
            assert answers == [], "the one that is looked at waits still"
        waits.join(30)
    assert [one["code"] for one in answers] == ["operand-unreadable"]
