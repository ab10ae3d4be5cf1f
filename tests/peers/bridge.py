"""A bridge from streamable HTTP to a command that speaks MCP over stdio, which a suite for HTTP judges so.

Run it: ``python bridge.py COMMAND…``

It binds a free port of 127.0.0.1 and writes its URL as the first line of its output. All sessions and
requests share the one process: each request goes there under an id of the bridge's own, and comes back under
its old one. What is said meanwhile comes on the stream of the request that it names (by progress token or
subscription id), else of the one that was asked last; a request of the other side does too, and its answer
goes back as it comes. One handshake serves all sessions of 2025-11-25: later ones get the answer of the
first. If the first that is asked is of 2026-07-28, the bridge asks `server/discover` before,
as a client does: a server that takes its era from the first request is not to take it from a wrong one. What
is about HTTP alone is the bridge's: statuses by error code, and a session id that means nothing.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import socket
import sys
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request

Message = dict[str, Any]
SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
STATUS: Final = {-32601: 404, -32700: 400, -32600: 400, -32602: 400, -32020: 400, -32021: 400, -32022: 400}
MODERN: Final = "2026-07-28"
LEGACY: Final = frozenset({None, "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"})
LIMIT: Final = 1 << 24
META: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}
DISCOVER: Final = {"jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": {"_meta": META}}


class Asked:
    """One request that is open: its old id, its progress token, and what came for it."""

    def __init__(self, request: Message) -> None:
        """Nothing came yet."""
        self.old = request["id"]
        meta = (request.get("params") or {}).get("_meta") or {}
        self.token = meta.get("progressToken")
        self.came: asyncio.Queue[Message] = asyncio.Queue()


class Bridge:
    """The process, and what is open with it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Speak with this process."""
        self.process = process
        self.ids = count(1)
        self.open: dict[int, Asked] = {}
        self.greeting: Message = {}
        """What the process answered to `initialize`, once it was asked."""

    def send(self, message: Message) -> None:
        """One line."""
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    async def read(self) -> None:
        """Hand on each line until the process ends."""
        while self.process.stdout is not None and (line := await self.process.stdout.readline()):
            message = json.loads(line)
            if "method" not in message:
                asked = self.open.pop(message["id"], None)
                if asked is not None:
                    asked.came.put_nowait({**message, "id": asked.old})
            elif self.open:
                self._meant(message).came.put_nowait(message)

    def _meant(self, message: Message) -> Asked:
        """Whose stream this is said on."""
        params = message.get("params") or {}
        meta = params.get("_meta") or {}
        if meta.get(SUBSCRIPTION) in self.open:
            asked = self.open[meta[SUBSCRIPTION]]
            meta[SUBSCRIPTION] = asked.old
            return asked
        named = [one for one in self.open.values() if one.token == params.get("progressToken", self)]
        return (named or [*self.open.values()])[-1]

    async def post(self, request: Request) -> Response:
        """A request, a notification or an answer."""
        message = await request.json()
        method = message.get("method")
        if self.greeting and method == "notifications/initialized":
            return Response(status_code=202)
        if self.greeting and method == "initialize":
            return JSONResponse({**self.greeting, "id": message["id"]}, headers=_session())
        if method is None or "id" not in message:
            self._tell(message)
            return Response(status_code=202)
        return await self._ask(request, message)

    def _tell(self, message: Message) -> None:
        """Send a notification or an answer; a cancel names the request as it is named there."""
        params = message.get("params") or {}
        for new, asked in self.open.items():
            if message.get("method") == "notifications/cancelled" and asked.old == params["requestId"]:
                message = {**message, "params": {**params, "requestId": new}}
        self.send(message)

    async def _ask(self, request: Request, message: Message) -> Response:
        """Send a request, and answer with what comes."""
        modern = request.headers.get("mcp-protocol-version") not in LEGACY
        new, asked = next(self.ids), Asked(message)
        if new == 1 and modern:
            self.send(DISCOVER)
        self.open[new] = asked
        self.send({**message, "id": new})
        first = await self._first(request, asked)
        if first is None:
            self._leave(new, modern=modern)
            return Response(status_code=204)
        if "method" in first:
            said = self._stream(new, asked, first, modern=modern)
            return StreamingResponse(said, media_type="text/event-stream")
        status = STATUS.get(first.get("error", {}).get("code"), 200) if modern else 200
        if message["method"] == "initialize" and not modern and "result" in first:
            self._greet(first)
            return JSONResponse(first, headers=_session())
        return JSONResponse(first, status)

    def _greet(self, answer: Message) -> None:
        """The handshake is done here, so that whoever comes later finds it done."""
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self.greeting = answer

    async def _first(self, request: Request, asked: Asked) -> Message | None:
        """What comes first, or nothing, if the client goes away before."""
        coming = asyncio.ensure_future(asked.came.get())
        leaving = asyncio.ensure_future(request.receive())
        await asyncio.wait({coming, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        return coming.result() if coming.done() else None

    async def _stream(self, new: int, asked: Asked, first: Message, *, modern: bool) -> AsyncIterator[bytes]:
        """What comes until the answer."""
        try:
            said = first
            while True:
                yield b"data: " + json.dumps(said, ensure_ascii=False).encode() + b"\n\n"
                if "method" not in said:
                    return
                said = await asked.came.get()
        finally:
            self._leave(new, modern=modern)

    def _leave(self, new: int, *, modern: bool) -> None:
        """Nobody waits any more: in 2026-07-28 that is a cancel, if there was no answer."""
        if self.open.pop(new, None) is not None and modern:
            cancelled = {"method": "notifications/cancelled", "params": {"requestId": new}}
            self.send({"jsonrpc": "2.0", **cancelled})


def _session() -> dict[str, str]:
    return {"mcp-session-id": secrets.token_hex(8)}


async def serve(command: Sequence[str]) -> None:
    """Bridge until a signal ends it, then let the process end as its input does."""
    # uvicorn raises the signal anew when it has stopped; there is more to do then.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LIMIT
    )
    bridge = Bridge(process)
    reading = asyncio.create_task(bridge.read())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp\n")
        sys.stdout.flush()
        app = Starlette(routes=[Route("/mcp", bridge.post, methods=["POST"])])
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        await uvicorn.Server(config).serve(sockets=[listening])
    if process.stdin is not None:
        process.stdin.close()
    await process.wait()
    await reading


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
