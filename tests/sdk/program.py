"""A daemon as a process of its own, an agent, and a program of a person's that asks for what it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from taskbound.wire import identity
from taskbound.wire.audit import ExportAudit, ExportPage
from taskbound.wire.connection import Done
from taskbound.wire.task import ListTasks, SaveTemplate, TaskRow, TaskRows
from taskbound.wire.tool import AddUpstream, ServerSpec
from taskbound.wiring.home import find_socket, make_home
from tests.house.tree import ROOT
from tests.wiring.running import Running, client, daemon

EXAMPLE = ROOT / "docs" / "examples" / "notes" / "notes.py"
AGENT = "helper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Where all of it is."""

    home: Path
    folder: Path
    process: Running

    @property
    def socket(self) -> Path:
        return find_socket(self.home)

    @property
    def file(self) -> Path:
        return self.folder / "notes.txt"

    def tasks(self) -> tuple[TaskRow, ...]:
        with client(self.socket) as one:
            return one.ask(ListTasks(), TaskRows).rows

    def records(self, kind: str, task: str) -> list[str]:
        """The records of this kind and task that have a place in the log."""
        with client(self.socket) as one:
            page = one.ask(ExportAudit(limit=5000), ExportPage)
        said = map(str, page.records)
        return [one for one in said if f'"{kind}"' in one and task in one]

    def environ(self, **more: str) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKBOUND_")}
        return {**kept, "TASKBOUND_HOME": str(self.home), "PYTHONPATH": str(ROOT), **more}

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """What came of a program."""
        return subprocess.run(
            [sys.executable, *words],
            env=self.environ(**more),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def scope(file: Path) -> dict[str, Any]:
    """The file, and texts without a secret; no more than three at a time."""
    return {
        "grants": [
            {
                "tool": "notes__note",
                "arguments": {
                    "file": {"one_of": [str(file)]},
                    "text": {"any": True},
                    "times": {"range": {"min": 1, "max": 3}},
                },
            },
            {"tool": "notes__read", "arguments": {"file": {"one_of": [str(file)]}}},
        ]
    }


@contextmanager
def settled(folder: Path, program: Path = EXAMPLE) -> Iterator[Settled]:
    """A daemon, an agent and a template for the functions of a program, which are pinned as it says them."""
    home = folder / "home"
    make_home(home)
    with daemon(home) as process:
        found = Settled(home=home, folder=folder, process=process)
        file = found.run("-m", "taskbound.wiring.tools", str(program))
        assert file.returncode == 0, file.stderr
        definitions = tuple(map(raw, json.loads(file.stdout)["tools"]))
        spec = ServerSpec(name="notes", command="/opt/notes", sha256="0" * 64)
        monitor = folder / "monitor"
        grants = scope(found.file)
        with client(found.socket) as one:
            one.ask(identity.RegisterPerson(name="alice", uid=os.geteuid()), Done)
            one.ask(AddUpstream(spec=spec, definitions=definitions), Done)
            order = identity.RegisterAgent(
                name=AGENT,
                owner="alice",
                approvers=("alice",),
                monitor=f"file:{monitor}",
                ceiling=raw(grants),
            )
            one.ask(order, Done)
            one.ask(identity.TestMonitor(name=AGENT), Done)
            code = json.loads(monitor.read_bytes().splitlines()[-1])["code"]
            one.ask(identity.AcknowledgeMonitor(name=AGENT, code=code), Done)
            one.ask(identity.ActivateAgent(name=AGENT), Done)
            one.ask(SaveTemplate(name="notes", scope=raw(grants), seconds=600), Done)
        yield found
