"""Sessions and servers of `mcp`, as an application has them."""

from __future__ import annotations

from typing import Any, cast

from mcp import ClientSession
from mcp.server.lowlevel.server import Server
from mcp.server.mcpserver import MCPServer

from taskbound import AsyncClient
from taskbound.sdk.tool.mcp import GuardedSession
from taskbound.sdk.verify.calls import Tools
from taskbound.sdk.verify.mcp import guard_tools
from taskbound.sdk.verify.verifier import Verifier
from tests.sdk.noted import note

client = AsyncClient(agent="helper")
plain_session = ClientSession.__new__(ClientSession)
session = GuardedSession(plain_session, server="desk", client=client)
listed = GuardedSession(plain_session, server="desk", client=client)
vars(listed)["_listed"] = {"desk__look": {"name": "look", "inputSchema": {"type": "object"}}}
replaced = GuardedSession(plain_session, server="desk", client=client)
vars(replaced)["call_tool"] = print
strange = GuardedSession(plain_session, server="desk", client=cast("Any", None))


def server() -> MCPServer[Any]:
    made = MCPServer("bank")
    made.add_tool(note.__wrapped__, name="pay")
    made.add_tool(note.__wrapped__, name="rates")
    made.add_tool(note.__wrapped__, name="hidden")
    return made


bare = server()
verifier = cast("Verifier", None)  # nothing is verified here
guarded = server()
guard_tools(guarded, verifier, Tools({"pay": "bank__pay"}, public=["rates"]))
low = Server("low")
sessions = [session, listed, plain_session, replaced, strange]
everything = {"sessions": sessions, "bare": bare, "guarded": guarded, "low": low}
