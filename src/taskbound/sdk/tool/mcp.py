"""A client session of the official MCP SDK whose every tool call is asked for before it is sent.

    from taskbound.sdk.tool.mcp import GuardedSession

    guarded = GuardedSession(session, server="desk", client=client)
    result = await guarded.call_tool("desk__look", {"at": "x"})

For agents that speak to MCP servers without our gateway. The session and its server are the program's own.

1. A tool is `server__tool`, and its definition is what the server lists, member by member: the SDK's own
   class drops what it doesn't know. It is compared with the one that is pinned at each call
   (`other-definition`).
2. What is sent is read back from the decided bytes.
3. A result that says `isError` is *failed*, as behind a gateway; an error of the protocol or of the
   connection, a time that ran out and a cancellation leave the outcome unknown.
4. A refusal is a result with `isError`, for the model; what is about the program is raised.
5. What a model is offered is what calls are compared with: definitions are read by `list_tools`, and by the
   first call where nothing was listed.
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
from taskbound.sdk.guard.tools import definition_digest
from taskbound.sdk.tool.answer import require_told, told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp import ClientSession

    from taskbound.sdk.guard.async_client import AsyncClient
    from taskbound.sdk.guard.flow import Flow, Holds, Transport
    from taskbound.sdk.guard.owed import Debt


_PAGES = 100
"""Pages of a list; a server that has more goes on for ever."""


class _Page(BaseModel):
    """A page of tools, each with all that the server says of it (rule 1)."""

    tools: list[dict[str, Any]]
    next: str | None = Field(default=None, alias="nextCursor")


class _FailedError(Exception):
    """The server says that the call failed."""

    def __init__(self, result: types.CallToolResult) -> None:
        super().__init__()
        self.result = result


class _Sending:
    """One call, as a client runs it."""

    is_awaited = True
    failed = (_FailedError,)  # 3

    def __init__(self, session: ClientSession, tool: str, own: str, seconds: float | None) -> None:
        self.tool = tool
        self._session = session
        self._own = own
        self._seconds = seconds

    def flow(self, transport: Transport, call: Call, holds: Holds, wait: float, debt: Debt) -> Flow[object]:
        """All steps of it."""
        return guarded(transport, call, debt=debt, holds=holds, wait=wait, narrowed=False, function=self)

    def made(self, decided: bytes) -> dict[str, Any]:
        """What is sent (rule 2)."""
        return parse_object(decided)

    async def started(self, arguments: dict[str, Any]) -> types.CallToolResult:
        """What the server answers."""
        result = await self._session.call_tool(self._own, arguments, self._seconds)
        if result.is_error:
            raise _FailedError(result)
        return result

    def finished(self, result: object) -> object:
        """The result."""
        return result


class GuardedSession:
    """A session whose tool calls are asked for; everything else of MCP is the session's own."""

    def __init__(self, session: ClientSession, *, server: str, client: AsyncClient) -> None:
        """Guard the calls of an initialized session.

        Args:
            session: To the server.
            server: The name by which the server is pinned.
            client: Who asks.
        """
        self._session = session
        self._server = server
        self._client = client
        self._listed: dict[str, dict[str, Any]] = {}

    async def list_tools(self) -> list[dict[str, Any]]:
        """The tools that the server lists now, under their whole names, with all that it says of them.

        Raises:
            MalformedError: It lists a tool whose name is none.
        """
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
        self._listed = found  # 5
        return [{**copy.deepcopy(one), "name": name} for name, one in found.items()]

    async def call_tool(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        read_timeout_seconds: float | None = None,
    ) -> types.CallToolResult:
        """Ask, send where it is permitted, and tell what came of it; a refusal is a result with `isError`.

        Args:
            tool: `server__tool`.
            arguments: As the model said them.
            idempotency_key: The call's own, where it may be made again: 1 to 128 visible characters of ASCII.
            read_timeout_seconds: The session's, for this call.

        Raises:
            TaskboundError: It is about the program (rule 4).
        """
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
