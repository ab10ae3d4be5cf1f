"""A server as a process that tells what it stores before it answers: it can be killed, and goes on with that.

It is told one line of JSON on standard input, says in its first line where it listens, and after that a line
of JSON for each request (`path`, `status`) and each thing that it stores (`key`, `payload`; null where it is
gone).
"""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_ROOT: Final = Path(__file__).resolve().parents[2]
_PATIENCE: Final = 20.0


class StoringPeer:
    """The server."""

    def __init__(self, command: Sequence[str], told: Mapping[str, Any]) -> None:
        """Start it."""
        self._command, self._told = command, {**told, "port": 0}
        self._taken = threading.Event()
        self.heard: list[tuple[str, int]] = []
        """Each request's path and the status of its answer, once it was answered."""
        self.stored: dict[str, Any] = {}
        """What it would have on a disk."""
        self.base = ""
        """`http://127.0.0.1:PORT`"""
        self._start()

    @property
    def port(self) -> int:
        """Where it listens on this machine."""
        return int(self.base.rpartition(":")[2])

    def count(self, path: str, status: int = 200) -> int:
        """How many requests to this path were answered so."""
        return self.heard.count((path, status))

    def tell(self, line: object) -> None:
        """Tell it a line more, which it has to take."""
        self._taken.clear()
        self._say(line)
        if not self._taken.wait(_PATIENCE):
            raise RuntimeError("the server does not take what it is told")

    def kill(self) -> None:
        """End it as a lost machine would."""
        self._process.kill()

    def start_again(self) -> None:
        """Start it where it was, with what it stored."""
        self.end()
        self._told["port"] = self.port
        self._start()

    def end(self) -> None:
        """End it, however it stands."""
        self._process.terminate()
        self._process.wait()
        self._listening.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=_ROOT,
        )
        self._say({**self._told, "stored": self.stored})
        assert self._process.stdout is not None
        self.base = self._process.stdout.readline().strip()
        if not self.base:
            raise RuntimeError("the server ended before it served")
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _say(self, line: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith("\n"):
                return  # it was killed meanwhile
            one = json.loads(line)
            if one["path"] == "taken":
                self._taken.set()
            elif one["path"] != "stored":
                self.heard.append((one["path"], one["status"]))
            elif one["payload"] is None:
                self.stored.pop(one["key"], None)
            else:
                self.stored[one["key"]] = one["payload"]
