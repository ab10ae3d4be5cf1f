"""An MCP server over stdio that tells of the progress of its calls, rightly and wrongly.

Run it: ``python telling.py [--log FILE]``

It serves both eras without asking for a handshake, and its one tool is `work`: that tells of its progress
under the request's token, under others, and once more after its answer. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

Message = dict[str, Any]
LEGACY, MODERN = "2025-11-25", "2026-07-28"
CACHE: Message = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
WORK: Message = {"name": "work", "description": "Works.", "inputSchema": {"type": "object"}}


def told_of(token: object, progress: int) -> Message:
    """One notification of progress."""
    params = {"progressToken": token, "progress": progress, "total": 6, "message": "working"}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def before(token: int) -> list[Message]:
    """What is told before the answer: the first and the last are right."""
    named = (token, token + 1_000, str(token), [token], token)
    return [told_of(one, progress) for progress, one in enumerate(named, 1)]


def result(request: Message, *, modern: bool) -> Message | None:
    """The right result; none where there is no such method."""
    match request["method"]:
        case "initialize":
            info = {"name": "telling", "version": "1"}
            return {"protocolVersion": LEGACY, "capabilities": {"tools": {}}, "serverInfo": info}
        case "server/discover" if modern:
            return {"supportedVersions": [MODERN], "capabilities": {"tools": {}}} | CACHE
        case "tools/list":
            return {"tools": [WORK]} | (CACHE if modern else {})
        case "tools/call":
            found = {"content": [{"type": "text", "text": "done"}], "isError": False}
            return found | ({"resultType": "complete"} if modern else {})
    return None


def messages(request: Message) -> list[Message]:
    """All that a request is answered with."""
    meta = (request.get("params") or {}).get("_meta") or {}
    found = result(request, modern="io.modelcontextprotocol/protocolVersion" in meta)
    answer: Message = {"jsonrpc": "2.0", "id": request["id"]}
    if found is None:
        return [answer | {"error": {"code": -32601, "message": "unknown"}}]
    answer |= {"result": found}
    if request["method"] != "tools/call":
        return [answer]
    token = meta.get("progressToken") or 0
    return [*before(token), answer, told_of(token, 6)]


def main() -> None:
    """Serve standard input."""
    parser = argparse.ArgumentParser(description="an MCP server that tells of its progress")
    parser.add_argument("--log", type=Path)
    log = parser.parse_args().log
    for line in sys.stdin:
        if log is not None:
            with log.open("a") as file:
                file.write(line)
        request = json.loads(line)
        if "id" in request and "method" in request:
            sys.stdout.write("".join(json.dumps(one) + "\n" for one in messages(request)))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
