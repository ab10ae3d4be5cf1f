"""What `everything.py` has, over MCP's first transport by HTTP (2024-11-05), by the `mcp` package's server.

Run it: ``python -m tests.peers.older``; it writes its URL as the first line of its output.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from mcp.server.sse import SseServerTransport

from tests.peers.everything import Everything

if TYPE_CHECKING:
    from mcp.server.lowlevel.server import Server
    from starlette.types import Receive, Scope, Send


async def serve(server: Server[Any]) -> None:
    """Serve a free port of the loopback until a signal ends it."""
    sse = SseServerTransport("/messages/")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["path"], scope["method"]) == ("/sse", "GET"):
            async with sse.connect_sse(scope, receive, send) as (reading, writing):
                await server.run(reading, writing, server.create_initialization_options())
        else:  # what is posted to `/sse` itself names no session, and is refused with 400
            await sse.handle_post_message(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/sse\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    beside = Path(__file__).with_name("everything.json")
    asyncio.run(serve(Everything(json.loads(beside.read_bytes())).server()))
