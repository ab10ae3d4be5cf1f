"""A real installation in a directory of its own, its daemon, and the program called as a person calls it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.surfaces.cli.app import run
from taskbound.wire.connection import Open, Status, StatusReport
from taskbound.wiring.cli import make_plugs
from taskbound.wiring.home import find_socket
from taskbound.wiring.start import answers

PROGRAM = (sys.executable, "-m", "taskbound.wiring.cli")
ECHO = Path(__file__).parents[2] / "peers" / "echo.py"
READ = {"readOnlyHint": True}
TOOLS: list[dict[str, Any]] = [
    {
        "name": "read",
        "description": "Reads a file.",
        "inputSchema": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "text": {"type": "string"}},
            "required": ["path"],
        },
        "annotations": READ,
    },
    {
        "name": "write",
        "description": "Writes a file.",
        "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}},
        "annotations": {"destructiveHint": False},
    },
    {"name": "drop", "description": "Drops it all.", "inputSchema": {"type": "object"}},
]


class Ended(NamedTuple):
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document of standard output."""
        assert self.status == 0, self
        return json.loads(self.out)


class Installation:
    """One data directory and one person's home, used as a person uses them."""

    def __init__(self) -> None:
        """Make both, empty; short paths, because a socket's path is short."""
        self.root = Path(tempfile.mkdtemp(prefix="tb-"))
        self.home = self.root / "data"
        self.person = self.root / "person"
        self.project = self.person / "project"
        self.project.mkdir(parents=True)
        self.tools = self.root / "tools.json"
        self.tools.write_text(json.dumps(TOOLS), encoding="utf-8")
        self.monitor = self.root / "monitor"
        self.environ = {
            "HOME": str(self.person),
            "PATH": os.environ["PATH"],
            "TASKBOUND_HOME": str(self.home),
            "COLUMNS": "200",
        }

    @property
    def server(self) -> tuple[str, ...]:
        """The command line of a server that offers `tools`."""
        return (sys.executable, str(ECHO), "--tools", str(self.tools))

    def __call__(self, *words: str, **more: str) -> Ended:
        """Call the program in this process."""
        out, err = io.StringIO(), io.StringIO()
        environ, before, folder = {**self.environ, **more}, dict(os.environ), Path.cwd()
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(self.project)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = run(words, make_plugs(environ))
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(before)
        return Ended(status, out.getvalue(), err.getvalue())

    def spawn(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Call the program in a process of its own."""
        told: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        told |= {"env": self.environ, "cwd": self.project, "text": True, **more}
        return subprocess.Popen([*PROGRAM, *words], **told)

    def ended(self, *words: str, **more: Any) -> Ended:
        """Call the program in a process of its own, and wait for its end."""
        process = self.spawn(*words, **more)
        out, err = process.communicate(timeout=50)
        return Ended(process.returncode, out, err)

    def code(self) -> str:
        """The code that the monitor was brought last."""
        lines = [json.loads(one) for one in self.monitor.read_text(encoding="utf-8").splitlines()]
        return str(next(one["code"] for one in reversed(lines) if "code" in one))

    def prepare(self) -> None:
        """A person, a pinned server, and an active agent."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        ceiling = self.root / "ceiling.json"
        grants = [{"tool": f"fs__{one['name']}", "others": "any"} for one in TOOLS]
        ceiling.write_text(json.dumps({"grants": grants}), encoding="utf-8")
        answering = ("--owner", "alice", "--approver", "alice", "--monitor", f"file:{self.monitor}")
        for words in (
            ("person", "add", "alice"),
            ("upstream", "add", "fs", "--", *self.server),
            ("agent", "register", "helper", *answering, "--ceiling", str(ceiling)),
            ("agent", "activate", "helper"),
        ):
            done = self(*words)
            assert done.status == 0, done
        done = self("agent", "activate", "helper", "--code", self.code())
        assert done.status == 0, done

    def scope(self, *grants: dict[str, Any]) -> str:
        """The path of a file with a scope."""
        path = self.root / f"scope-{len(list(self.root.glob('scope-*')))}.json"
        some = list(grants) or [{"tool": "fs__read", "others": "any"}]
        path.write_text(json.dumps({"grants": some}), encoding="utf-8")
        return str(path)

    def start_task(self, purpose: str = "look", **more: str) -> str:
        """A running task of the agent; its id."""
        words = ["task", "start", "--agent", "helper", "--scope", more.get("scope") or self.scope()]
        done = self(*words, "--purpose", purpose, "--for", "10m", "--json")
        return str(done.document["row"]["task"])

    def status(self) -> StatusReport:
        """How the daemon is."""
        with self.client() as client:
            return client.ask(Status(), StatusReport)

    def client(self) -> Client:
        """A connection of a person's to the daemon."""
        return Client(find_socket(self.home), Open(role="cli", version=__version__))

    def stop(self) -> None:
        """End the daemon; the next command that needs one starts it, with the settings of then."""
        if self.home.is_dir() and answers(find_socket(self.home)):
            process = os.pidfd_open(self.status().pid)
            signal.pidfd_send_signal(process, signal.SIGTERM)
            select.select([process], [], [], 30)
            os.close(process)

    def end(self) -> None:
        """End the daemon, and take everything away."""
        self.stop()
        shutil.rmtree(self.root)


class Typing:
    """The program in a terminal, and somebody who types."""

    def __init__(self, place: Installation, *words: str, width: int = 100) -> None:
        """Start it in a window."""
        self.master, slave = pty.openpty()
        environ = {**place.environ, "COLUMNS": str(width), "TERM": "dumb", "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            [*PROGRAM, *words], stdin=slave, stdout=slave, stderr=slave, env=environ, cwd=place.project
        )
        os.close(slave)
        self.seen = ""
        self._read = 0

    def until(self, words: str) -> str:
        """Everything that appeared up to these words, since the last time."""
        while words not in self.seen[self._read :]:
            if not select.select([self.master], [], [], 40)[0]:
                raise TimeoutError(f"no `{words}` in: {self.seen[self._read :]}")
            self.seen += os.read(self.master, 65536).decode()
        end = self.seen.index(words, self._read) + len(words)
        part, self._read = self.seen[self._read : end], end
        return part

    def answer(self, text: str) -> None:
        """Type a line."""
        os.write(self.master, f"{text}\n".encode())

    def end(self) -> int:
        """Wait for the program's end; its status."""
        with contextlib.suppress(OSError):  # the kernel says EIO when the other end is closed
            while piece := os.read(self.master, 65536):
                self.seen += piece.decode()
        os.close(self.master)
        return self.process.wait(30)
