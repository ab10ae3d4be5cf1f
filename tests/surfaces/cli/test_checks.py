from __future__ import annotations

import json
import re
import shlex
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.house.tree import ROOT
from tests.surfaces.cli.asking import Asking, asking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation

PAGE = (ROOT / "docs/guides/retries.md").read_text(encoding="utf-8")
(SECTION,) = re.findall(r"^## When a row shows .*?(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def place(fresh: Installation) -> Installation:
    fresh.prepare()
    fresh.start_task(scope=fresh.scope({"tool": "fs__write", "others": "any"}))
    return fresh


@pytest.fixture
def ask(place: Installation) -> Iterator[Asking]:
    with asking(place) as one:
        yield one


def pay(ask: Asking) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask('{"path":"INV-7"}'))
    return found


def lose(ask: Asking) -> dict[str, Any]:
    permitted = pay(ask)
    assert permitted["is"] == "permitted", permitted
    ask(json.dumps({"outcome": "unknown", "action": permitted["action"]}))
    return permitted


def a_minute_later(place: Installation) -> None:
    """As if what was lost had been lost a minute sooner: a daemon's clock is not moved."""
    with closing(sqlite3.connect(place.home / "taskbound.db", timeout=30)) as own, own:
        own.execute("UPDATE actions SET finished = finished - 61000000 WHERE state = 'unknown'")


def as_written(place: Installation, line: str, ledger: Path) -> str:
    """The command of the page, with this world's names in it."""
    here = line.replace("bank__pay", "fs__write").replace("/srv/ledger.db", str(ledger))
    words = shlex.split(here.replace("invoice=row", "path=row").removeprefix("taskbound "))
    done = place(*words, *(["--yes"] if "declare" in words else []))
    assert done.status == 0, done
    return done.out


def test_the_page_s_commands_let_a_row_that_is_not_there_speak_for_a_lost_call(
    place: Installation, ask: Asking, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.db"
    own = sqlite3.connect(ledger, isolation_level=None)
    own.execute("CREATE TABLE payments (invoice TEXT, amount INTEGER)")
    check, listed, none = COMMANDS
    assert "fs__write is declared to have effects that are shown by 60:path=row:" in as_written(
        place, check, ledger
    )
    assert "write (checked by path)" in as_written(place, listed, ledger)
    lose(ask)

    held = pay(ask)
    assert held["code"] == "held"
    assert held["reasons"][-1]["text"] == "an attempt before may still have its effect"
    a_minute_later(place)
    again = lose(ask)
    explained = place("action", "explain", again["action"])
    assert "checked absent" in explained.out
    assert "no such row" in explained.out

    own.execute("INSERT INTO payments VALUES ('INV-7', 10)")
    a_minute_later(place)
    held = pay(ask)
    assert (held["code"], held["reasons"][-1]["code"]) == ("held", "checked")
    assert held["reasons"][-1]["text"] == "what an attempt before was to do is there already"
    own.close()

    ledger.unlink()
    place("approval", "withdraw", held["action"], "--yes")
    held = pay(ask)
    assert held["reasons"][-1]["text"] == "whether an attempt before had its effect can't be looked at"
    as_written(place, none, ledger)
    assert "checked by" not in place("tool", "list").out


@pytest.mark.parametrize(
    "check",
    [
        "path=row:sqlite:/srv/a.db?table=t&key=k",
        "29:path=row:sqlite:/srv/a.db?table=t&key=k",
        "60:path=file:/srv",
        "60:nothing=row:sqlite:/srv/a.db?table=t&key=k",
    ],
)
def test_what_shows_nothing_is_not_declared(shared: Installation, check: str) -> None:
    done = shared("tool", "declare", "fs__write", "--check", check, "--yes")
    assert "bad-probe" in done.err, done
    both = shared("tool", "declare", "fs__write", "--check", f"60:{check}", "--no-checks", "--yes")
    assert both.status == 2
