from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.surfaces.cli.installation import Ended, Installation

DESK = """
from taskbound import guard

@guard(server="notes", effect="write")
def note(text: str) -> str:
    "Write a note down."
    return text

@guard(server="notes", effect="write")
def later(text: str) -> str:
    return text

@guard(server="notes", effect="write")
def moved(text: str, more: int) -> str:
    return text

def plain() -> None: ...

hostile = {"type": "\\x1b[2J\\u202eweb"}
covered = [note, later, moved]
mixed = [*covered, plain, hostile]
"""


@pytest.fixture
def desk(place: Installation) -> None:
    """An application in the folder where commands are typed."""
    (place.project / "desk.py").write_text(DESK)


def asked(place: Installation, *words: str) -> Ended:
    return place("audit", "coverage", *words, PYTHONPATH=str(ROOT / "src"))


@pytest.mark.usefixtures("desk")
def test_an_application_is_covered_where_all_its_tools_are_guarded_and_it_says_which_are_pinned(
    place: Installation, tmp_path: Path
) -> None:
    program, file = tmp_path / "p.py", tmp_path / "tools.json"
    program.write_text(DESK)
    ended = subprocess.run(
        [sys.executable, "-m", "taskbound.wiring.tools", str(program)],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        check=True,
    )
    tools = {one["name"]: one for one in json.loads(ended.stdout)["tools"]}
    tools["moved"]["description"] = "Something else."
    file.write_text(json.dumps([tools["note"], tools["moved"]]))
    added = place("upstream", "add", "notes", "--definitions", str(file), "--", sys.executable, str(program))
    assert added.status == 0, added
    said = asked(place, "desk:covered", "--json").document
    assert [(one["tool"], one["state"], one["pin"]) for one in said["rows"]] == [
        ("notes__note", "guarded", "pinned"),
        ("notes__later", "guarded", "unpinned"),
        ("notes__moved", "guarded", "changed"),
    ]
    assert (said["guarded"], said["unguarded"], said["untold"], said["not_looked"]) == (3, 0, 0, "")
    shown = asked(place, "desk:covered")
    assert (shown.status, "3 guarded, 0 unguarded, 0 that can't be told" in shown.out) == (0, True), shown


@pytest.mark.usefixtures("desk")
def test_an_application_with_a_tool_that_is_not_guarded_ends_with_one(place: Installation) -> None:
    ended = asked(place, "desk:mixed", "--python", sys.executable)
    assert ended.status == 1, ended
    assert "3 guarded, 1 unguarded, 1 that can't be told" in ended.out
    assert "plain" in ended.out
    for name, state in (("plain", "unguarded"), ("hostile", "untold")):
        said = asked(place, f"desk:{name}", "--json")
        assert (said.status, json.loads(said.out)["rows"][0]["state"]) == (1, state), said


@pytest.mark.usefixtures("desk")
def test_what_an_application_calls_its_tools_moves_nothing_on_a_screen(place: Installation) -> None:
    ended = asked(place, "desk:hostile")
    assert "\x1b" not in ended.out
    assert "\u202e" not in ended.out
    assert "web" in ended.out


def test_without_a_daemon_nothing_is_said_of_pins_and_coverage_is_what_it_is(fresh: Installation) -> None:
    (fresh.project / "desk.py").write_text(DESK)
    ended = asked(fresh, "desk:covered", "--json")
    said = ended.document
    assert {one["pin"] for one in said["rows"]} == {"not-looked-at"}
    assert said["not_looked"]
    assert "was not looked at" in asked(fresh, "desk:covered").out
    assert asked(fresh, "desk:mixed").status == 1


@pytest.mark.usefixtures("desk")
def test_an_application_that_is_not_there_is_one_error(place: Installation) -> None:
    missing = asked(place, "desk:nothing")
    assert (missing.status, missing.out) == (2, "")
    assert "bad-application" in missing.err
    lost = asked(place, "desk:covered", "--python", "/bin/true")
    assert (lost.status, "application-lost" in lost.err) == (4, True), lost
