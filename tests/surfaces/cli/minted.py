"""The guide's database, an installation with an agent, and the files that the guide wrote."""

from __future__ import annotations

import json
import os
import shlex
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.house.tree import ROOT
from tests.postgres import Server, programs, running
from tests.surfaces.cli.installation import Ended, Installation
from tests.surfaces.cli.page import FENCE, guide

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


PAGE = guide("credentials.md")
HBA = "local all owner trust\nlocal all all scram-sha-256\n"
CLERK = shlex.join([sys.executable, str(ROOT / "tests/peers/clerk.py")])
"""The guide's server, which counts orders."""
WORD = "minters-own-word"
ACCESS = json.dumps({"user": "minter", "password": WORD})


class Setting:
    """What the guide works with."""

    def __init__(self, place: Installation, server: Server) -> None:
        self.place = place
        self.server = server
        self.task = ""
        place.environ["PATH"] = f"{programs()}{os.pathsep}{place.environ['PATH']}"

    def typed(self, line: str) -> Ended:
        """What a line of the guide does."""
        line = line.replace("TASK", self.task or "TASK").replace("/run/postgresql", str(self.server.folder))
        command, _, file = line.replace("/opt/clerk/server", CLERK).partition(" < ")
        found = self.piped(ACCESS if file == "access.json" else "", *shlex.split(command)[1:])
        if command.startswith("taskbound task start"):
            self.task = self.place("task", "list", "--limit", "1", "--json").document["rows"][0]["task"]
        return found

    def piped(self, text: str, *words: str) -> Ended:
        """A command that is given this by a pipe."""
        process = self.place.spawn(*words)
        out, err = process.communicate(text, timeout=90)
        return Ended(process.returncode, out, err)

    def write(self, name: str, body: str) -> str:
        """A file of the guide's, in the folder where commands are typed; its name."""
        text = body.replace("/run/postgresql", str(self.server.folder))
        (self.place.project / name).write_text(text, encoding="utf-8")
        return name

    def file(self, name: str) -> str:
        """The first file of this name on the page, written; its name."""
        return self.write(name, next(one["body"] for one in FENCE.finditer(PAGE) if one["name"] == name))

    def ready(self) -> None:
        """The database with its rows and its admin, the target `orders-db`, and an agent that may use it."""
        for block in [one for one in FENCE.finditer(PAGE) if one["kind"] == "sql"][:2]:
            self.sql(block["body"])
        added = self.piped(ACCESS, "target", "add", self.file("orders-db.yaml"), "--admin-stdin")
        assert added.status == 0, added
        limited = self.place("agent", "ceiling", "helper", self.file("ceiling.yaml"), "--yes")
        assert limited.status == 0, limited
        self.file("scope.yaml")

    def sql(self, statements: str) -> None:
        """What the owner of the database runs."""
        with self.server.connect("orders") as owner:
            owner.execute(statements.encode())

    def logins(self) -> set[str]:
        """The logins of ours that are there, and who is logged in as one."""
        with self.server.connect("orders") as owner:
            asked = "SELECT rolname FROM pg_roles UNION SELECT usename FROM pg_stat_activity"
            return {str(name) for (name,) in owner.execute(asked) if str(name).startswith("tb_")}

    def start(self) -> str:
        """A running task with the guide's scope; its id."""
        words = ("task", "start", "--agent", "helper", "--scope", "scope.yaml", "--for", "10m")
        done = self.place(*words, "--purpose", "count", "--json")
        return str(done.document["row"]["task"])

    def exec(self, task: str, *words: str) -> subprocess.Popen[str]:
        """A command that has a credential of this task, started."""
        asked = ("--credential", "orders-db/reader", "--seconds", "60")
        return self.place.spawn("exec", "--task", task, *asked, "--", *words)

    def rows(self, task: str) -> list[dict[str, object]]:
        """The credentials of a task, newest first."""
        rows: list[dict[str, object]] = self.place("credential", "list", "--task", task, "--json").document[
            "rows"
        ]
        return rows


def holding(folder: Path, *values: str) -> list[Path]:
    """The files of a folder in which one of these stands."""
    files = [one for one in folder.rglob("*") if one.is_file()]
    return [one for one in files if any(value.encode() in one.read_bytes() for value in values)]


@contextmanager
def setting() -> Iterator[Setting]:
    """An empty database `orders`, whose server asks for passwords, and an installation with `helper`."""
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
