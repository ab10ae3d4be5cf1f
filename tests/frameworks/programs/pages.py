"""A real MCP server over stdio that lists its tools page by page: one on each, as many as it is told."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

PAGES = int(sys.argv[1])


async def listing(_: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    at = int(params.cursor) if params and params.cursor else 0
    tool = types.Tool(name=f"t{at}", input_schema={"type": "object"})
    return types.ListToolsResult(tools=[tool], next_cursor=str(at + 1) if at + 1 < PAGES else None)


async def main() -> None:
    server = Server("many", on_list_tools=listing)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(main())
