"""Coverage of sessions and servers of the official MCP SDK.

A guarded session guards every call; a plain one none. A low-level server lists by its own code. A guarded
server refuses tools that are neither declared nor public.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from taskbound.core.errors import MalformedError
from taskbound.sdk.guard.signature import definition_digest
from taskbound.sdk.tool.coverage.found import is_client, loaded, of_kind, replaced, typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.sdk.tool.coverage.found import Walk


_OURS: Final = "taskbound.sdk.tool.mcp"
_LOW: Final = "mcp.server.lowlevel.server"
_SERVER: Final = "mcp.server.mcpserver"


def look(walk: Walk, one: object, place: str) -> bool:
    kind = type(one)
    if of_kind(one, _OURS, "GuardedSession"):
        _guarded(walk, one, place)
    elif issubclass(kind, loaded(_OURS, "GuardedSession")):
        walk.unguarded(one, place, "it is of a kind that is made of ours, and sends what it likes", name="*")
    elif issubclass(kind, loaded("mcp.client.session", "ClientSession")):
        walk.unguarded(one, place, "calls of its server's tools are not decided", name="*")
    elif issubclass(kind, loaded(_SERVER, "MCPServer")):
        _functions(walk, one, place)
    elif issubclass(kind, loaded(_LOW, "Server")):
        _handler(walk, one, place)
    else:
        return False
    return True


def _guarded(walk: Walk, one: object, place: str) -> None:
    other = replaced(one)
    if other:
        walk.unguarded(one, place, f"its `{other}` was replaced", name="*")
        return
    client = vars(one)["_client"]
    if not is_client(client):
        walk.unguarded(one, place, f"it asks through a `{typed(client)}`, not a Taskbound client", name="*")
        return
    server, listed = str(vars(one)["_server"]), vars(one)["_listed"]
    if not listed:
        walk.served(one, place, f"{server}__*", why="its server has not listed its tools yet")
    for name, tool in listed.items():
        walk.served(one, place, name, definition=_digest(tool))


def _digest(tool: Mapping[str, Any]) -> str:
    try:
        return definition_digest(tool)
    except MalformedError:
        return ""


def _functions(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- some server with functions
    tools = _declared(vars(one).get("_lowlevel_server"))
    manager = vars(one).get("_tool_manager")
    if not of_kind(one, _SERVER, "MCPServer") or manager is None:
        walk.untold(one, place, f"what a `{typed(one)}` serves is its own", name="*")
        return
    for tool in manager.list_tools():
        _tool(walk, tool, place, tools)


def _tool(walk: Walk, tool: Any, place: str, tools: Any) -> None:  # noqa: ANN401 -- the library's, and ours where it is loaded
    if tools is None:
        walk.callable(tool.fn, tool, place, name=tool.name)
    elif tools.is_public(tool.name):
        walk.unguarded(tool, place, "it is declared public, and needs no token", name=tool.name)
    elif tools.is_declared(tool.name):
        walk.served(
            tool, place, tools.of(tool.name).tool, name=tool.name, why="it runs for what a token permits"
        )
    else:
        walk.served(tool, place, "", name=tool.name, why="it is not declared, and every call is refused")


def _handler(walk: Walk, one: object, place: str) -> None:
    if _declared(one) is None:
        walk.unguarded(one, place, "nothing of ours stands before its tools", name="*")
    else:
        walk.served(
            one, place, "", name="*", why="its tools run for what a token permits, but for public ones"
        )


def _declared(server: object) -> Any:  # noqa: ANN401 -- ours, where it is loaded
    declared = loaded("taskbound.sdk.verify.mcp", "declared")
    known = (
        issubclass(type(server), loaded(_LOW, "Server"))
        and callable(declared)
        and not isinstance(declared, type)
    )
    return declared(server) if known else None
