"""An MCP server that looks into a PostgreSQL database with the login that it was started with.

Run it: ``python clerk.py``; without ``PGUSER`` and ``PGPASSWORD`` it does not start, and says so on standard
error. Where it looks is ``PGHOST`` and ``PGDATABASE``. It logs in with its first call, and stays in.

`who` answers with the name that the database knows it by. `count` counts the rows of `orders`. `tell` answers
with its password.

``CLERK_STEPS`` names a socket that is told each step of its life, and lets it go on by closing: `started`,
`called`, `in` when it has a session, `over` when its input has ended. With ``CLERK_STAYS`` it goes on
after that.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from typing import Any

import psycopg

NONE = {"type": "object", "properties": {}}
READS = {"readOnlyHint": True}
TOOLS = [
    {"name": one, "description": one, "inputSchema": NONE, "annotations": READS}
    for one in ("count", "tell", "who")
]
ASKED = {"count": "SELECT count(*)::text FROM orders", "who": "SELECT session_user::text"}
session: list[psycopg.Connection[Any]] = []


def step(word: str) -> None:
    """Say where it is, and wait until it may go on; where nobody listens it may."""
    place = os.environ.get("CLERK_STEPS", "")
    if not place:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.connect(place)
        one.sendall(word.encode())
        one.recv(1)


def look(tool: str) -> str:
    """What the database says."""
    if tool == "tell":
        return os.environ["PGPASSWORD"]
    if not session:
        step("called")
        session.append(psycopg.connect(autocommit=True, connect_timeout=10))
        step("in")
    (found,) = session[0].execute(ASKED[tool]).fetchone() or ("",)
    return str(found)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What is said to one request."""
    match request["method"]:
        case "initialize":
            info = {"name": "clerk", "version": "1"}
            return {
                "result": {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {"tools": {}},
                    "serverInfo": info,
                }
            }
        case "tools/list":
            return {"result": {"tools": TOOLS}}
        case "tools/call":
            try:
                text, error = look(request["params"]["name"]), False
            except psycopg.Error as refused:
                text, error = f"{type(refused).__name__}: {refused}", True
            return {"result": {"content": [{"type": "text", "text": text}], "isError": error}}
    return {"error": {"code": -32601, "message": "unknown"}}


def main() -> int:
    """Answer until there is nothing more to read."""
    if not {"PGUSER", "PGPASSWORD"} <= os.environ.keys():
        sys.stderr.write("PGUSER and PGPASSWORD have to be set\n")
        return 1
    step("started")
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            said = {"jsonrpc": "2.0", "id": request["id"]} | answer(request)
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()
    step("over")
    if os.environ.get("CLERK_STAYS"):
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
