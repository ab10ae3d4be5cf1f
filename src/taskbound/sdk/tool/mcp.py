"""A client session of the official MCP SDK whose every tool call is decided before it is sent.

    guarded = GuardedSession(session, server="desk", client=client)
    result = await guarded.call_tool("desk__look", {"at": "x"})

* A tool's definition is the server's listing with all members, including those that the SDK drops. Each
  call compares it with the pinned one (`other-definition`); `list_tools` or the first call reads it.
* The sent arguments are read from the decided bytes.
* A result with `isError` is *failed*; protocol or connection errors, timeouts and cancellations leave the
  outcome unknown. A refusal is a result with `isError`; errors about the program are raised.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from mcp import types
from pydantic import BaseModel, Field

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.proof import parse_request_key
from taskbound.core.tool.name import join_tool_name
from taskbound.sdk.guard.errors import UnpinnedToolError
from taskbound.sdk.guard.flow import Call, guarded
from taskbound.sdk.guard.signature import definition_digest
from taskbound.sdk.tool.call import require_told, told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp import ClientSession

    from taskbound.sdk.guard.async_client import AsyncClient
    from taskbound.sdk.guard.flow import Flow, Holds, Transport
    from taskbound.sdk.guard.owed import Debt


_PAGES = 100
"""Pages of a list; a server that has more goes on for ever."""


class _Page(BaseModel):
    tools: list[dict[str, Any]]
    next: str | None = Field(default=None, alias="nextCursor")


class _FailedError(Exception):
    def __init__(self, result: types.CallToolResult) -> None:
        super().__init__()
        self.result = result


class _Sending:
    is_awaited = True
    failed = (_FailedError,)

    def __init__(self, session: ClientSession, tool: str, own: str, seconds: float | None) -> None:
        self.tool = tool
        self._session = session
        self._own = own
        self._seconds = seconds

    def flow(self, transport: Transport, call: Call, holds: Holds, wait: float, debt: Debt) -> Flow[object]:
        return guarded(transport, call, debt=debt, holds=holds, wait=wait, narrowed=False, function=self)

    def made(self, decided: bytes) -> dict[str, Any]:
        return parse_object(decided)

    async def started(self, arguments: dict[str, Any]) -> types.CallToolResult:
        result = await self._session.call_tool(self._own, arguments, self._seconds)
        if result.is_error:
            raise _FailedError(result)
        return result

    def finished(self, result: object) -> object:
        return result


class GuardedSession:
    """A session whose tool calls are decided first; use the plain session for the rest of MCP."""

    def __init__(self, session: ClientSession, *, server: str, client: AsyncClient) -> None:
        """Guards an initialized session; `server` is the name by which the server is pinned."""
        self._session = session
        self._server = server
        self._client = client
        self._listed: dict[str, dict[str, Any]] = {}

    async def list_tools(self) -> list[dict[str, Any]]:
        """Returns the server's current tools under their full names; raises MalformedError."""
        found: dict[str, dict[str, Any]] = {}
        cursor: str | None = None
        for _ in range(_PAGES):
            params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
            page = await self._session.send_request(types.ListToolsRequest(params=params), _Page)
            for one in page.tools:
                found[join_tool_name(self._server, str(one.get("name", "")))] = one
            cursor = page.next
            if not cursor:
                break
        self._listed = found
        return [{**copy.deepcopy(one), "name": name} for name, one in found.items()]

    async def call_tool(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        read_timeout_seconds: float | None = None,
    ) -> types.CallToolResult:
        """Asks, sends if permitted, reports the outcome; a refusal is a result with `isError`."""
        if not self._listed:
            await self.list_tools()
        try:
            key = "" if idempotency_key is None else parse_request_key(idempotency_key)
            return await self._called(tool, arguments or {}, key, read_timeout_seconds)
        except _FailedError as error:
            return error.result
        except TaskboundError as error:
            require_told(error)
            content: list[types.ContentBlock] = [types.TextContent(type="text", text=told(error))]
            return types.CallToolResult(content=content, is_error=True)

    async def _called(
        self, tool: str, arguments: Mapping[str, Any], key: str, seconds: float | None
    ) -> types.CallToolResult:
        listed = self._listed.get(tool)
        if listed is None:
            raise UnpinnedToolError(
                f"`{self._server}` lists no `{tool}`",
                tool=tool,
                code="unknown-tool",
                remedy="use one of the tools that are listed",
            )
        call = Call(
            tool=tool, arguments=canonical(dict(arguments)), definition=definition_digest(listed), key=key
        )
        sending: Any = _Sending(self._session, tool, listed["name"], seconds)  # of the shape of a `Guarded`
        result: types.CallToolResult = await self._client.run(sending, call)
        return result
