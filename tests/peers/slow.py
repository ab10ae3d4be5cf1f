"""An MCP server that takes its time and answers in an order of its own, each call with the text that it had.

Run it: ``python slow.py [--seed N] [--longest MS] [--log FILE] [--lingers]``

Its one tool is `work`: ``{text, size?, huge?}`` is answered with the text, and `size` letters behind it,
after at most `--longest` milliseconds. `huge` begins a line of so many bytes instead. `--log FILE` has the
text of each call that came, one a line. With `--lingers` something is left behind that no signal to the
server's session reaches.

It serves both eras without asking for a handshake. Standard library only, and no import of anything beside
it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Message = dict[str, Any]
LEGACY = "2025-11-25"
MODERN = "2026-07-28"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CACHE: Message = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
WORK: Message = {
    "name": "work",
    "description": "Works.",
    "inputSchema": {
        "type": "object",
        "properties": {"text": {"type": "string"}, "size": {"type": "integer"}, "huge": {"type": "integer"}},
        "required": ["text"],
    },
}
BLOCK = 1 << 16


class Server:
    """One connection."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Answer nothing yet."""
        self._draw = random.Random(options.seed)  # noqa: S311 -- an order, and no secret
        self._longest = options.longest / 1000
        self._lingers = options.lingers
        self._log = (
            os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if options.log else None
        )
        self._due: list[tuple[float, int, bytes]] = []
        self._calls = 0

    def run(self) -> None:
        """Serve until the input ends."""
        held = b""
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            ready, _, _ = select.select([0], [], [], wait)
            while self._due and self._due[0][0] <= time.monotonic():
                write(heapq.heappop(self._due)[2])
            if ready:
                chunk = os.read(0, BLOCK)
                if not chunk:
                    return
                *lines, held = (held + chunk).split(b"\n")
                for one in lines:
                    self._take(json.loads(one))

    def _take(self, message: Message) -> None:
        if "id" not in message or "method" not in message:
            return
        params = message.get("params") or {}
        modern = VERSION_KEY in (params.get("_meta") or {})
        match message["method"]:
            case "initialize":
                info = {"name": "slow", "version": "1"}
                found: Message = {
                    "protocolVersion": LEGACY,
                    "capabilities": {"tools": {}},
                    "serverInfo": info,
                }
            case "server/discover" if modern:
                found = {"supportedVersions": [MODERN], "capabilities": {"tools": {}}} | CACHE
            case "tools/list":
                found = {"tools": [WORK]} | (CACHE if modern else {})
            case "tools/call":
                self._call(message["id"], params["arguments"], modern=modern)
                return
            case "ping":
                found = {}
            case _:
                error = {"code": -32601, "message": "unknown"}
                write(dump({"jsonrpc": "2.0", "id": message["id"], "error": error}))
                return
        write(dump({"jsonrpc": "2.0", "id": message["id"], "result": found}))

    def _call(self, request: object, arguments: Message, *, modern: bool) -> None:
        self._calls += 1
        if self._lingers and self._calls == 1:  # not for who only looks, and has nobody to find it
            command = [sys.executable, "-c", "import signal; signal.pause()", *sys.argv[1:]]  # whose it is
            nothing = subprocess.DEVNULL
            subprocess.Popen(command, start_new_session=True, stdin=nothing, stdout=nothing)
        text = arguments["text"]
        if self._log is not None:
            os.write(self._log, text.encode() + b"\n")
        if "huge" in arguments:
            flood(request, arguments["huge"])
            return
        content = [{"type": "text", "text": text + "x" * arguments.get("size", 0)}]
        result = {"content": content, "isError": False} | ({"resultType": "complete"} if modern else {})
        wait = self._draw.random() * self._longest if self._draw.random() < 1 / 2 else 0.0
        line = dump({"jsonrpc": "2.0", "id": request, "result": result})
        heapq.heappush(self._due, (time.monotonic() + wait, self._calls, line))


def dump(value: object) -> bytes:
    """One line."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def write(raw: bytes) -> None:
    """Write exactly these bytes."""
    view = memoryview(raw)
    while view:
        view = view[os.write(1, view) :]


def flood(request: object, size: int) -> None:
    """Begin an answer of so many bytes, all in one line."""
    head = dump({"jsonrpc": "2.0", "id": request, "result": {"content": [{"type": "text", "text": ""}]}})
    at = head.index(b'""') + 1
    write(head[:at])
    for _ in range(size // BLOCK):
        write(b"x" * BLOCK)
    write(head[at:])


def main() -> None:
    """Serve standard input until it ends."""
    parser = argparse.ArgumentParser(description="an MCP server that takes its time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=10.0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--lingers", action="store_true")
    options = parser.parse_args()
    try:
        Server(options).run()
    except BrokenPipeError:
        sys.stderr.write("slow: the client went away\n")


if __name__ == "__main__":
    main()
