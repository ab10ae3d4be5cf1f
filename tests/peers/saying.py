"""A server of MCP that says things, in a process of its own: `mcp` or `fastmcp` as it is, over real HTTP.

It is told what it is in JSON, and says on which port it listens. What ended it knows as
`tests.peers.paying` does.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from taskbound.core.errors import TaskboundError
from taskbound.sdk.verify import WHOEVER_HAS_IT, Endpoint, Holders, Verifier
from taskbound.sdk.verify.calls import Tools
from taskbound.wiring.guarding import guard
from tests.peers.paying import knowing

# Each library is imported where it is what is tried: a process that is started in tests starts sooner.


def official(say: Any, names: tuple[str, ...], verifier: Verifier, tools: Tools) -> Any:
    from mcp.server.mcpserver import MCPServer  # noqa: PLC0415 - as said above

    from taskbound.sdk.verify.mcp import guard_tools  # noqa: PLC0415 - as said above

    server = MCPServer[Any]("echo")
    for one in names:
        server.tool(name=one)(say)
    guard_tools(server, verifier, tools)
    return server.streamable_http_app()


def other(say: Any, names: tuple[str, ...], verifier: Verifier, tools: Tools) -> Any:
    from fastmcp import FastMCP  # noqa: PLC0415 - as said above

    from taskbound.sdk.verify.fastmcp import guard_tools  # noqa: PLC0415 - as said above

    server = FastMCP[Any]("echo")
    for one in names:
        server.tool(name=one)(say)
    guard_tools(server, verifier, tools)
    return server.http_app()


def main(told: dict[str, Any]) -> None:
    book = Path(told["book"])

    def write(text: str) -> None:
        with book.open("a") as one:
            one.write(f"{text.replace(' ', '-')}\n")

    async def say(text: str) -> str:
        """Say a text."""
        await asyncio.to_thread(write, text)
        if text.startswith("hang"):
            await asyncio.Event().wait()  # until the process is killed
        if text.startswith("raise"):
            raise RuntimeError("the application broke")
        return f"said {text}"

    holding = told.get("holding")
    verifier = guard(
        name=told.get("name", "echo"),
        issuer=told["issuer"],
        domain=told["domain"],
        claims=Path(told["claims"]),
        holding=Holders(**holding) if holding else WHOEVER_HAS_IT,
        **knowing(told),
    )
    say_tool = Endpoint(tool="echo__say", definition=told.get("definition", ""))
    more = {"tell": "echo__say", "book": "ledger__book"} if told.get("more") else {}
    tools = Tools({"say": say_tool, **more})
    making = official if told["kind"] == "mcp" else other
    app = making(say, ("say", *more), verifier, tools)
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="critical", ws="none")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except TaskboundError as error:
        sys.stdout.write(f"{error.code}\n")
