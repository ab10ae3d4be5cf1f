"""A server that a test starts itself and speaks to, a line a message."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}


def started(words: Sequence[str], environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The server, which whoever starts it has to end."""
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=environ)


def ask(server: subprocess.Popen[str], number: int, method: str, params: object) -> Any:
    """The server's answer; by then it runs."""
    assert server.stdin is not None
    assert server.stdout is not None
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    server.stdin.write(json.dumps(message) + "\n")
    server.stdin.flush()
    while True:
        said = json.loads(server.stdout.readline())
        if said.get("id") == number:
            return said
