from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from tests.peers.openssh import make_key
from tests.sheet_oracle import parse_sheet
from tests.surfaces.cli.asking import Asking, asking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.core.approval.sheet import SheetOf
    from tests.surfaces.cli.installation import Installation


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


def sheet_in(text: str) -> SheetOf:
    """What the sheet at the beginning of this text says, read back."""
    end = re.search(r"^  end +\|.*\n", text, re.MULTILINE)
    assert end is not None
    return parse_sheet(text[: end.end()])


def test_a_file_is_declared_shown_signed_and_looked_at_again_by_the_daemon(
    place: Installation, ask: Asking, tmp_path: Path
) -> None:
    bills = tmp_path / "bills"
    bills.mkdir()
    bill = bills / "march.txt"
    bill.write_text("pay bob 10\n")
    words = ("tool", "declare", "fs__write")
    assert place(*words, "--yes").status == 2, "nothing is declared"
    assert place(*words, "--probe", "path=file:bills", "--yes").status == 2
    assert "bad-probe" in place(*words, "--probe", "nothing=file:/srv", "--yes").err
    declared = place(*words, "--probe", f"path=file:{bills}", "--yes")
    assert declared.status == 0, declared.err
    assert f"fs__write is declared looked at by path=file:{bills}" in declared.out
    assert "write (looks at path)" in place("tool", "list").out
    rows = {one["name"]: one for one in place("tool", "list", "--json").document["rows"]}
    assert rows["fs__write"]["probes"] == [f"path=file:{bills}"]
    call = json.dumps({"path": str(bill)})

    first = json.loads(ask(call))
    ask(json.dumps({"outcome": "unknown", "action": first["action"]}))
    held = json.loads(ask(call))
    assert held["code"] == "held"
    shown = place("approval", "show", held["action"])
    (operand,) = sheet_in(shown.out).operands
    found = dict(operand.found)
    assert (operand.kind, operand.place) == ("file", "/path")
    assert (found["sha256"], found["path"]) == (sha256(b"pay bob 10\n").hexdigest(), str(bill.resolve()))
    key = ("--key", str(tmp_path / "alice"))
    assert place("approval", "sign", held["action"], *key).status == 0

    bill.write_text("pay eve 99\n")
    other = json.loads(ask(call))
    assert (other["code"], other["action"] != held["action"]) == ("held", True)
    assert other["reasons"][0]["code"] == "superseded"
    assert "sha256 behind `/path`" in other["reasons"][0]["detail"]
    assert "another thing now" in place("approval", "show", held["action"]).out
    assert place("approval", "sign", other["action"], *key).status == 0
    assert json.loads(ask(call))["is"] == "permitted"

    outside = json.loads(ask(json.dumps({"path": "/etc/hostname"})))
    assert outside["is"] == "permitted", "policy holds nothing here: there is nobody to ask"
    ask(json.dumps({"outcome": "unknown", "action": outside["action"]}))
    assert json.loads(ask(json.dumps({"path": "/etc/hostname"})))["code"] == "operand-outside"

    assert place(*words, "--no-probes", "--yes").status == 0
    assert "looks at" not in place("tool", "list").out
    assert json.loads(ask(json.dumps({"path": "/etc/hostname"})))["code"] == "held"
