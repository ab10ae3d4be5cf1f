from __future__ import annotations

import contextlib
import json
import re
import shlex
import sqlite3
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.surfaces.cli.installation import Installation, Typing

BLOCK = re.compile(r"^```\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
KEEPER = Path(__file__).parents[2] / "peers" / "keeper.py"
VALUES = {"token": "hunter2-hunter2", "other": "another-hunter2"}


def test_every_command_of_the_guide_says_what_the_guide_says(place: Installation) -> None:
    page = (ROOT / "docs/guides/secrets.md").read_text(encoding="utf-8")
    page = page.replace("/opt/keeper/server", shlex.join([sys.executable, str(KEEPER)]))
    count = 0
    for block in BLOCK.finditer(page):
        for part in block["body"].removeprefix("$ ").split("\n$ "):
            line, *written = part.rstrip("\n").split("\n")
            command, _, file = line.partition(" < ")
            ended = typed(place, VALUES.get(file, ""), *shlex.split(command)[1:])
            assert ended[0] == 0, (line, ended)
            count += 1
            if written == ["…"]:
                continue
            assert len(ended[1]) == len(written), (line, ended)
            for one, other in zip(ended[1], written, strict=True):
                assert fits(one, other), (line, one, other)
    assert count == 6
    assert not [path for path in files(place.home) if holds(path, *VALUES.values())]


def typed(place: Installation, value: str, *words: str) -> tuple[int, list[str]]:
    """The status and the lines of a command that is given this by a pipe."""
    process = place.spawn(*words)
    out, err = process.communicate(f"{value}\n" if value else "", timeout=50)
    return process.returncode, (out + err).splitlines()


def fits(line: str, written: str) -> bool:
    return line.startswith(written[:-1]) if written.endswith("…") else line.rstrip() == written


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def holds(path: Path, *values: str) -> bool:
    return any(value.encode() in path.read_bytes() for value in values)


def test_the_doctor_says_whose_account_has_the_secrets_and_which_slot_is_empty(place: Installation) -> None:
    add = ("upstream", "add", "both", "--secret", "environment:TOKEN", "--secret", "environment:MORE")
    assert typed(place, VALUES["token"], *add, "--", sys.executable, str(KEEPER))[0] == 0
    findings = place("doctor", "--json").out
    all_of_it = json.loads(findings)["findings"]
    found = {one["name"]: one for one in all_of_it}
    assert (found["egress-account"]["level"], found["egress-account"]["about"]) == ("warn", "boundary")
    assert "under your own account" in found["egress-account"]["text"]
    empty = [one["text"] for one in all_of_it if one["name"] == "empty-slot"]
    assert any("`both`: environment:MORE is empty" in text for text in empty)


def test_a_tool_file_names_the_slots_that_its_server_is_pinned_with(place: Installation) -> None:
    file = place.root / "keeper.yaml"
    says = "slots: [environment:TOKEN]\ntools: {sign: {slots: [api_key], roles: {text: content}}}\n"
    file.write_text(f"server: '*'\n{says}", encoding="utf-8")
    command = ("--", sys.executable, str(KEEPER))
    add = ("upstream", "add", "filed", "--tools", str(file), *command)
    assert typed(place, f"{VALUES['token']}\n{VALUES['other']}", *add)[0] == 0
    rows = {one["spec"]["name"]: one for one in json.loads(place("upstream", "list", "--json").out)["rows"]}
    filled = {one["slot"]: one["filled"] for one in rows["filed"]["secrets"]}
    assert filled == {"argument:sign/api_key": True, "environment:TOKEN": True}
    described = json.loads(place("tool", "describe", "filed", "--json").out)
    assert described["slots"] == ["argument:sign/api_key", "environment:TOKEN"]
    out = place.root / "described.yaml"
    assert place("tool", "describe", "filed", "--out", str(out)).status == 0
    assert place("tool", "apply", str(out), "--yes", "--relax").status == 0
    # A server that is pinned without them is another one: nothing of the file is declared.
    bare = ("upstream", "add", "bare", "--secret", "environment:TOKEN", *command)
    assert typed(place, VALUES["token"], *bare)[0] == 0
    refused = place("tool", "apply", str(file), "--server", "bare", "--yes")
    assert (refused.status, "[slots-not-pinned]" in refused.err) == (3, True), refused
    assert "argument:sign/api_key" in refused.err


def test_a_secret_that_is_typed_is_not_shown(place: Installation) -> None:
    add = ("upstream", "add", "typed", "--secret", "environment:TOKEN", "--", sys.executable, str(KEEPER))
    assert typed(place, VALUES["token"], *add)[0] == 0
    terminal = Typing(place, "upstream", "secret", "typed", "environment:TOKEN")
    terminal.until("[y/N]")
    terminal.answer("y")
    terminal.until("environment:TOKEN: ")
    terminal.answer(VALUES["other"])
    assert terminal.end() == 0, terminal.seen
    assert VALUES["other"] not in terminal.seen
    assert "is filled" in terminal.seen


def test_a_slot_that_is_none_a_short_value_and_no_value_are_named(place: Installation) -> None:
    add = ("upstream", "add", "keeper", "--secret")
    command = ("--", sys.executable, str(KEEPER))
    for slot, value, code in (
        ("environment:PATH", VALUES["token"], "bad-slot"),
        ("TOKEN", VALUES["token"], "bad-slot"),
        ("environment:TOKEN", "short", "bad-secret"),
        ("header:authorization", VALUES["token"], "bad-slot"),
    ):
        status, lines = typed(place, value, *add, slot, *command)
        assert (status != 0, f"[{code}]" in " ".join(lines)) == (True, True), (slot, lines)
        assert VALUES["token"] not in " ".join(lines)
    status, lines = typed(place, "", "upstream", "secret", "fs", "environment:TOKEN", "--yes")
    assert (status != 0, "no secret was given" in " ".join(lines)) == (True, True), lines


@pytest.mark.parametrize("how", ["--shows", "--dies"])
def test_a_server_that_shows_its_secret_while_it_is_looked_at_is_not_pinned(
    how: str, place: Installation
) -> None:
    add = ("upstream", "add", "keeper", "--secret", "environment:TOKEN", "--")
    status, lines = typed(place, VALUES["token"], *add, sys.executable, str(KEEPER), how)
    said = " ".join(lines)
    assert (status != 0, "[secret-shown]" in said, VALUES["token"] in said) == (True, True, False), lines
    assert not [path for path in files(place.home) if holds(path, VALUES["token"])]


def test_a_secret_is_not_sealed_for_a_server_that_is_listed_under_the_digest_of_another(
    place: Installation,
) -> None:
    add = ("upstream", "add", "twin", "--secret", "environment:TOKEN", "--", sys.executable, str(KEEPER))
    assert typed(place, VALUES["token"], *add)[0] == 0
    with contextlib.closing(sqlite3.connect(place.home / "taskbound.db")) as database, database:
        changed = "UPDATE servers SET spec = CAST(replace(spec, 'keeper.py', 'other.py') AS BLOB)"
        database.execute(f"{changed} WHERE name = 'twin'")
    fill = ("upstream", "secret", "twin", "environment:TOKEN", "--yes")
    status, lines = typed(place, VALUES["other"], *fill)
    assert (status != 0, "[misnamed-pin]" in " ".join(lines)) == (True, True), lines
