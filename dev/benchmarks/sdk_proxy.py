"""A plain pass-through proxy of the official `mcp` package: what the gateway is compared with.

Run it: ``python -m dev.benchmarks.sdk_proxy --serve stdio|http --era legacy|modern (--url URL | --
COMMAND…)``

It lists what the server lists and hands each call on, through the package's own server and client, with
nothing between: no check, no decision, no record. Over HTTP it answers in JSON, which is the quicker way,
binds a free port of 127.0.0.1 and writes its URL as the first line of its output.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from typing import Any

import uvicorn
from mcp import Client, StdioServerParameters, types
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server


def _between(client: Client) -> Server[Any]:
    async def list_tools(_ctx: object, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return await client.list_tools(cursor=params.cursor if params else None)

    async def call_tool(_ctx: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        return await client.call_tool(params.name, params.arguments)

    return Server("between", version="1", on_list_tools=list_tools, on_call_tool=call_tool)


async def _serve(options: argparse.Namespace) -> None:
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    target = options.url or StdioServerParameters(command=words[0], args=words[1:])
    mode = "legacy" if options.era == "legacy" else "2026-07-28"
    async with Client(target, mode=mode) as client:
        await client.list_tools()
        server = _between(client)
        if options.serve == "stdio":
            async with stdio_server() as (reading, writing):
                await server.run(reading, writing, server.create_initialization_options())
            return
        app = server.streamable_http_app(json_response=True)
        with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
            # asyncio sets it for sockets of its own making alone, and each answer would take 40 ms more.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp\n")
            sys.stdout.flush()
            config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
            await uvicorn.Server(config).serve(sockets=[listening])


def main() -> None:
    """Stand between."""
    parser = argparse.ArgumentParser(description="a proxy of the official package that looks at nothing")
    parser.add_argument("--serve", choices=("stdio", "http"), required=True)
    parser.add_argument("--era", choices=("legacy", "modern"), required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
