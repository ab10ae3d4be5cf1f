from __future__ import annotations

import json
import os
import re
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.targets.postgres import CONTEXT
from tests.house.tree import ROOT
from tests.postgres import Server, programs, running
from tests.surfaces.cli.installation import Ended, Installation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = (ROOT / "docs/guides/credentials.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(?P<kind>\w*)(?: (?P<name>\S+))?\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
HBA = "local all owner trust\nlocal all all scram-sha-256\n"
WORD = "minters-own-word"
ACCESS = json.dumps({"user": "minter", "password": WORD})


class Setting:
    """The guide's database, an installation, and the files that the guide wrote."""

    def __init__(self, place: Installation, server: Server) -> None:
        self.place = place
        self.server = server
        self.task = ""
        place.environ["PATH"] = f"{programs()}{os.pathsep}{place.environ['PATH']}"

    def typed(self, line: str) -> Ended:
        """What a line of the guide does."""
        command, _, file = line.replace("TASK", self.task or "TASK").partition(" < ")
        process = self.place.spawn(*shlex.split(command)[1:])
        out, err = process.communicate(ACCESS if file == "access.json" else "", timeout=90)
        if command.startswith("taskbound task start"):
            self.task = self.place("task", "list", "--limit", "1", "--json").document["rows"][0]["task"]
        return Ended(process.returncode, out, err)

    def write(self, name: str, body: str) -> None:
        text = body.replace("/run/postgresql", str(self.server.folder))
        (self.place.project / name).write_text(text, encoding="utf-8")

    def file(self, name: str) -> str:
        """The last file of this name on the page, written."""
        body = next(one["body"] for one in reversed(list(FENCE.finditer(PAGE))) if one["name"] == name)
        self.write(name, body)
        return name

    def sql(self, statements: str) -> None:
        with self.server.connect("orders") as owner:
            owner.execute(statements.encode())

    def logins(self) -> set[str]:
        """The logins of ours that are there, and who is logged in as one."""
        with self.server.connect("orders") as owner:
            asked = "SELECT rolname FROM pg_roles UNION SELECT usename FROM pg_stat_activity"
            found = owner.execute(asked)
            return {str(name) for (name,) in found if str(name).startswith("tb_")}

    def start(self, scope: str = "scope.yaml") -> str:
        """A running task with the guide's scope."""
        words = ("task", "start", "--agent", "helper", "--scope", scope, "--for", "10m")
        done = self.place(*words, "--purpose", "count", "--json")
        self.task = str(done.document["row"]["task"])
        return self.task


@contextmanager
def setting() -> Iterator[Setting]:
    place = Installation()
    try:
        with running() as server:
            with server.connect("postgres") as owner:
                owner.execute("CREATE DATABASE orders")
            (server.folder / "data" / "pg_hba.conf").write_text(HBA, encoding="utf-8")
            with server.connect("postgres") as owner:
                owner.execute("SELECT pg_reload_conf()")
            place.prepare()
            yield Setting(place, server)
    finally:
        place.end()


@pytest.fixture(scope="module")
def here() -> Iterator[Setting]:
    with setting() as one:
        yield one


def fits(line: str, written: str) -> bool:
    return line.startswith(written[:-1].rstrip()) if written.endswith("…") else line.rstrip() == written


def agrees(lines: list[str], written: list[str]) -> bool:
    """Whether the lines are those that were written; one that is `…` stands for any number of them."""
    if not written:
        return not lines
    if written[0] == "…":
        return any(agrees(lines[at:], written[1:]) for at in range(len(lines) + 1))
    return bool(lines) and fits(lines[0], written[0]) and agrees(lines[1:], written[1:])


def test_every_statement_and_command_of_the_guide_does_what_the_guide_says(here: Setting) -> None:
    count = 0
    for block in FENCE.finditer(PAGE):
        if block["kind"] == "sql":
            here.sql(block["body"])
        elif block["kind"] == "yaml":
            here.write(block["name"], block["body"])
        elif not block["kind"]:
            for part in block["body"].removeprefix("$ ").split("\n$ "):
                line, *written = part.rstrip("\n").split("\n")
                ended = here.typed(line)
                assert ended.status == 0, (line, ended)
                assert agrees((ended.err + ended.out).splitlines(), written), (line, ended)
                count += 1
    assert count == 12
    assert here.logins() == set()
    assert not holding(here.place.home, WORD)


def holding(folder: Path, *values: str) -> list[Path]:
    """The files of a folder in which one of these stands."""
    files = [one for one in folder.rglob("*") if one.is_file()]
    return [one for one in files if any(value.encode() in one.read_bytes() for value in values)]


def test_the_guide_has_what_a_context_needs_as_it_is() -> None:
    assert CONTEXT in PAGE
