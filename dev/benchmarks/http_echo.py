"""The least that an MCP server over HTTP can be: it answers a call with its text, and looks at little else.

Run it: ``python -m dev.benchmarks.http_echo``

It speaks both eras, keeps connections open, binds a free port of 127.0.0.1 and writes its URL as the first
line of its output. Standard library only: what is measured is what stands before it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any, Final

Json = dict[str, Any]
TOOLS: Final[list[Json]] = [
    {
        "name": "read",
        "description": "Reads a file.",
        "inputSchema": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "text": {"type": "string"}},
            "required": ["path"],
        },
        "annotations": {"readOnlyHint": True},
    }
]
_MODERN: Final = "2026-07-28"
_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
_CACHE: Final = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._held = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._held[:end]).lower()
            size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
            if len(self._held) < end + 4 + size:
                return
            body = bytes(self._held[end + 4 : end + 4 + size])
            del self._held[: end + 4 + size]
            self._transport.write(_answer(head, body))


def _answer(head: bytes, body: bytes) -> bytes:
    if not head.startswith(b"post"):
        return b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"
    message = json.loads(body)
    if "id" not in message:
        return b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
    params = message.get("params") or {}
    modern = _VERSION in (params.get("_meta") or {})
    result = _result(message["method"], params, modern=modern)
    more = b""
    if result is None:
        said: Json = {"error": {"code": -32601, "message": "unknown"}}
        status = b"404 Not Found" if modern else b"200 OK"
    else:
        said, status = {"result": result}, b"200 OK"
        more = b"Mcp-Session-Id: s\r\n" if message["method"] == "initialize" else b""
    raw = json.dumps({"jsonrpc": "2.0", "id": message["id"]} | said, separators=(",", ":")).encode()
    kind = b"Content-Type: application/json\r\n"
    return b"HTTP/1.1 %b\r\n%b%bContent-Length: %d\r\n\r\n%b" % (status, kind, more, len(raw), raw)


def _result(method: str, params: Json, *, modern: bool) -> Json | None:
    match method:
        case "initialize":
            info = {"name": "echo", "version": "1"}
            return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
        case "server/discover" if modern:
            return {"supportedVersions": [_MODERN], "capabilities": {"tools": {}}} | _CACHE
        case "tools/list":
            return {"tools": TOOLS} | (_CACHE if modern else {})
        case "tools/call":
            content = [{"type": "text", "text": params["arguments"]["text"]}]
            return {"content": content, "isError": False} | ({"resultType": "complete"} if modern else {})
        case "ping":
            return {}
    return None


async def _serve() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp\n")
        sys.stdout.flush()
        server = await asyncio.get_running_loop().create_server(_Connection, sock=listening)
        await server.serve_forever()


def main() -> None:
    """Serve until a signal."""
    asyncio.run(_serve())


if __name__ == "__main__":
    main()
