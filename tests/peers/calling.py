"""An agent in plain code: it starts the gateway's process, calls tools through it, and leaves or is lost.

    agent = Calling(home, "helper", environ)
    agent.text(agent.call("clerk__who"))

A call is sent and not waited for; its number names its answer. Everybody has to `close` theirs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from tests.wiring.running import DEADLINE, until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_HELLO: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "agent", "version": "1"},
}


class Calling:
    """The process, and what came back."""

    def __init__(self, home: Path, agent: str, environ: Mapping[str, str]) -> None:
        """Start it, and say hello."""
        command = [sys.executable, "-m", "taskbound.wiring.gateway", "--agent", agent, "--home", str(home)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            start_new_session=True,
        )
        self._answers: dict[int, dict[str, Any]] = {}
        self._number = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._ask("initialize", _HELLO)
        self._say({"method": "notifications/initialized"})

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            if "method" not in said:
                self._answers[said["id"]] = said

    def _say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
            self.process.stdin.flush()

    def _ask(self, method: str, params: dict[str, Any]) -> int:
        self._number += 1
        self._say({"id": self._number, "method": method, "params": params})
        return self._number

    def call(self, name: str, arguments: Mapping[str, Any] | None = None) -> int:
        """Call this tool; the number of the call."""
        return self._ask("tools/call", {"name": name, "arguments": dict(arguments or {})})

    def text(self, number: int) -> str:
        """The text of the answer, once it is there; empty where the gateway ended without one."""
        until(lambda: number in self._answers or self.process.poll() is not None, "the call is answered")
        result = self._answers.get(number, {}).get("result", {"content": [{"text": ""}]})
        return str(result["content"][0]["text"])

    def leave(self) -> None:
        """Close the agent's end: the gateway ends by itself."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()

    def kill(self) -> None:
        """End it as a lost machine would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill it, and wait for its end."""
        self.kill()
        self.leave()
        self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()
