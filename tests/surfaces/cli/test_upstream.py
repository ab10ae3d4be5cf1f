from __future__ import annotations

import copy
import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.conformance.places import everything
from tests.surfaces.cli.installation import ECHO, TOOLS, Installation

HOSTILE = "Reads\u202e a file.\n  state  as pinned"


@pytest.fixture
def log(place: Installation) -> Path:
    """A pinned server `seen` that writes down what it is asked, each test's own."""
    path = place.root / f"seen-{len(list(place.root.glob('seen-*')))}"
    place("upstream", "remove", "seen", "--yes")
    assert place("upstream", "add", "seen", "--", *place.server, "--log", str(path)).status == 0
    path.unlink()
    return path


def change(place: Installation, **members: object) -> None:
    changed = copy.deepcopy(TOOLS)
    changed[0] |= members
    place.tools.write_text(json.dumps(changed), encoding="utf-8")


def running(what: str) -> list[str]:
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = one.read_bytes().split(b"\0")
        except OSError:
            continue
        found += [str(one)] if what.encode() in words else []
    return found


def test_a_server_that_is_as_it_was_pinned_is_said_to_be_and_is_ended(place: Installation, log: Path) -> None:
    done = place("upstream", "test", "seen", "--json")
    (row,) = done.document["rows"]
    assert (row["name"], row["state"], row["tools"], row["era"]) == ("seen", "as pinned", 3, "2026-07-28")
    assert 0 < row["answered"] <= row["listed"] < 50
    assert (row["differences"], row["new"], row["key"]) == ([], [], "")
    asked = [json.loads(line)["method"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert "tools/list" in asked
    assert "tools/call" not in asked
    assert running(str(log)) == []
    assert "state     as pinned" in place("upstream", "test", "seen").out


def test_what_differs_is_shown_with_escapes_recorded_and_can_be_accepted(
    place: Installation, log: Path
) -> None:
    del log
    schema = copy.deepcopy(TOOLS[0]["inputSchema"])
    schema["properties"]["mode"] = {"enum": [HOSTILE]}
    change(place, inputSchema=schema)
    try:
        done = place("upstream", "test", "seen")
        assert done.status == 1
        assert "`/inputSchema/properties/mode` is new" in done.out
        assert "\\u{202E}" in done.out
        assert done.out.replace("\n", "").isprintable()
        assert done.out.count("state     as pinned") == 0
        (row,) = json.loads(place("upstream", "test", "seen", "--json").out)["rows"]
        assert [(one["tool"], one["state"]) for one in row["differences"]] == [
            ("seen__read", "schema-changed")
        ]
        states = {one["name"]: one["state"] for one in place("tool", "list", "--json").document["rows"]}
        assert states["seen__read"] == "schema-changed", "it is recorded, so that calls refuse"
        assert place("tool", "accept", "seen__read", "--yes").status == 0
        assert place("upstream", "test", "seen").status == 0
    finally:
        place.tools.write_text(json.dumps(TOOLS), encoding="utf-8")


def test_a_tool_that_is_new_and_one_that_is_gone_are_said(place: Installation, log: Path) -> None:
    del log
    change(place, name="look")
    try:
        done = place("upstream", "test", "seen", "--json")
        (row,) = json.loads(done.out)["rows"]
        assert (done.status, row["state"], row["new"]) == (1, "differs", ["seen__look"])
        assert [(one["tool"], one["state"]) for one in row["differences"]] == [("seen__read", "gone")]
        assert "until the server is removed and added again" in place("upstream", "test", "seen").err
    finally:
        place.tools.write_text(json.dumps(TOOLS), encoding="utf-8")
    assert place("upstream", "test", "seen").status == 0


def test_a_pinned_file_that_is_another_now_is_not_started_and_holds_up_no_other(place: Installation) -> None:
    script, log = place.root / "own.py", place.root / "own.log"
    shutil.copy(ECHO, script)
    added = ("upstream", "add", "own", "--", sys.executable, str(script), "--log", str(log))
    assert place(*added).status == 0
    log.unlink()
    script.write_text(script.read_text(encoding="utf-8") + "\n# new\n", encoding="utf-8")
    done = place("upstream", "test", "own", "fs")
    assert (done.status, "[server-changed]" in done.err, "what to do" in done.err) == (3, True, True)
    assert not log.exists(), "what is not what was pinned does not run"
    every = place("upstream", "test", "--all", "--json")
    states = {one["name"]: (one["state"], one["code"]) for one in json.loads(every.out)["rows"]}
    assert (states["own"], states["fs"]) == (("failed", "server-changed"), ("as pinned", ""))
    assert every.status == 3
    assert place("upstream", "remove", "own", "--yes").status == 0


def test_a_server_behind_a_url_is_looked_at_with_all_that_it_lists(place: Installation) -> None:
    with everything() as url:
        assert place("upstream", "add", "all", "--url", url).status == 0
        (row,) = place("upstream", "test", "all", "--json").document["rows"]
        assert row["state"] == "as pinned"
        assert min(row["tools"], row["resources"], row["templates"], row["prompts"]) > 0
    gone = place("upstream", "test", "all")
    assert (gone.status, "[start-failed]" in gone.err, "state  failed" in gone.out) == (4, True, True)
    assert place("upstream", "remove", "all", "--yes").status == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "say `--all`"),
        (("fs", "--all"), "say `--all`"),
        (("none",), "no server `none` is pinned"),
        (("fs", "no\u202ene"), "no server `no\\u{202E}ne` is pinned"),
    ],
)
def test_what_can_not_be_meant_is_refused(words: tuple[str, ...], part: str, place: Installation) -> None:
    done = place("upstream", "test", *words)
    assert (done.status, part in done.err, done.out) == (2, True, "")


def test_an_agents_own_run_can_not_say_what_a_server_lists(place: Installation) -> None:
    task = ("--agent", "helper", "--scope", place.scope(), "--purpose", "x", "--for", "5m")
    words = (sys.executable, "-m", "taskbound.wiring.cli", "upstream", "test", "fs")
    done = place.ended("run", *task, "--", *words)
    assert (done.status, "[not-outside]" in done.err) == (3, True), done
