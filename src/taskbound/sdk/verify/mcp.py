"""A server of the official SDK of MCP (`mcp` 2.x) whose tools run for what tokens permit.

    from taskbound.sdk.verify.calls import Tools
    from taskbound.sdk.verify.mcp import guard_tools

    guard_tools(server, verifier, Tools({"pay": "bank__pay"}))

It needs `mcp`, which nothing of ours brings. What is looked at, and what a call is answered, is in `calls`.

1. The handler of `tools/call` is ours, and the library's own is called by it. It stands within whatever
   middleware a server has, and gets what those have left of a message.
2. Of a server with functions (`MCPServer`) each declared tool's function is bound when the server is guarded,
   and of tools that come later before the next message reaches anything. A low-level `Server` has one handler
   for all: it gets the very arguments.
3. While a tool runs its session asks the client nothing (`calls`, rule 6). Progress and logs pass.
4. Whatever is no `tools/call` passes: lists, prompts, resources, and what is made of them, need no token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.session import ServerSession
from mcp.shared.exceptions import NoBackChannelError
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams
from starlette.requests import Request

from taskbound.sdk.verify.calls import Converting, Result, ToolCalls, ToolRequest, Tools
from taskbound.sdk.verify.converting import PydanticConverting, bound, never
from taskbound.sdk.verify.endpoint import BadEndpointError
from taskbound.sdk.verify.errors import ToolUnboundError
from taskbound.sdk.verify.verifier import Head

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult
    from mcp.server.lowlevel.server import Server
    from mcp.server.mcpserver.tools.base import Tool

    from taskbound.sdk.verify.verifier import Verifier


Showings: TypeAlias = Callable[[Request], Collection[str]]
"""What the connection of a request has proven (`holder`, rule 1)."""
Context: TypeAlias = ServerRequestContext[Any, Any]
Find: TypeAlias = Callable[[str], Awaitable[Converting]]
"""What is known of a tool's function, which is bound by then."""
_METHOD: Final = "tools/call"
_LIST: Final = "tools/list"
_PAGES: Final = 100


def guard_tools(
    server: MCPServer[Any] | Server[Any],
    verifier: Verifier,
    tools: Tools,
    *,
    showings: Showings | None = None,
) -> None:
    """Have a server's tools run for what tokens permit, and for nothing else.

    Args:
        server: The server; its tools may be added before or after this.
        verifier: Verifies.
        tools: What is declared.
        showings: What a connection has proven; nothing where it is not given.

    Raises:
        BadEndpointError: The server has no tools, or is guarded already.
    """
    if isinstance(server, MCPServer):
        binding = _Binding(server, tools)
        low = server._lowlevel_server  # noqa: SLF001 - where the library has its handlers, and no other place
        guard_handler(low, verifier, tools, showings=showings, find=binding.find)
        server.middleware.insert(0, binding)
        binding.bind()
    else:
        guard_handler(server, verifier, tools, showings=showings, find=None)


def guard_handler(
    server: Server[Any], verifier: Verifier, tools: Tools, *, showings: Showings | None, find: Find | None
) -> None:
    """Put ours before the handler of a low-level server (rule 1).

    Args:
        server: The server.
        verifier: As of `guard_tools`.
        tools: As of `guard_tools`.
        showings: As of `guard_tools`.
        find: What is known of a tool; None where the handler itself is all that runs.

    Raises:
        BadEndpointError: As of `guard_tools`.
    """
    entry = server.get_request_handler(_METHOD)
    if entry is None or isinstance(entry.handler, _ServedCalls):
        raise BadEndpointError("the server has no tools, or they are guarded already")
    handler = _ServedCalls(
        server, entry.handler, ToolCalls(verifier, tools, _Results()), tools, showings=showings, find=find
    )
    server.add_request_handler(_METHOD, CallToolRequestParams, handler)


def declared(server: Server[Any]) -> Tools | None:
    """What is declared of a low-level server's tools; None where it is not guarded, or not any more."""
    entry = server.get_request_handler(_METHOD)
    return entry.handler.tools if entry is not None and type(entry.handler) is _ServedCalls else None


class _Results:
    """Results of `mcp` (`calls.Guarded`)."""

    def write(self, result: HandlerResult) -> Result | None:
        if isinstance(result, CallToolResult):
            written = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        elif isinstance(result, Mapping):
            written = dict(result)
        else:
            return None
        if written.pop("resultType", "complete") != "complete" or "content" not in written:
            return None
        return written

    def read(self, result: Result) -> HandlerResult:
        return CallToolResult.model_validate(result)


class _ServedCalls:
    """The handler of `tools/call`."""

    def __init__(
        self,
        server: Server[Any],
        handler: Callable[[Context, Any], Awaitable[HandlerResult]],
        calls: ToolCalls[HandlerResult],
        tools: Tools,
        *,
        showings: Showings | None,
        find: Find | None,
    ) -> None:
        self._server = server
        self._handler = handler
        self._calls = calls
        self._tools = tools
        self._showings = showings
        self._find = find

    @property
    def tools(self) -> Tools:
        """What is declared."""
        return self._tools

    async def __call__(self, ctx: Context, params: CallToolRequestParams) -> HandlerResult:
        if self._tools.is_public(params.name):
            return await self._handler(ctx, params)
        asked = ToolRequest(
            name=params.name,
            arguments=params.arguments or {},
            head=self._head(ctx.request),
            find=None if self._find is None else partial(self._find, params.name),
            listed=partial(self._listed, ctx, params.name),
            answering=params.input_responses is not None or params.request_state is not None,
            deferred=params.task is not None,
        )

        async def run(decided: dict[str, Any]) -> HandlerResult:
            told = {**(ctx.params or {}), "arguments": decided}
            shown = replace(ctx, params=told, session=_Quiet.like(ctx.session))
            return await self._handler(shown, params.model_copy(update={"arguments": decided}))

        return await self._calls.serve(asked, run)

    async def _listed(self, ctx: Context, name: str) -> bytes:
        """A tool as the server lists it, by its own handler.

        Raises:
            ToolUnboundError: It doesn't.
        """
        entry = self._server.get_request_handler(_LIST)
        cursor: str | None = None
        for _ in range(_PAGES if entry is not None else 0):
            params = PaginatedRequestParams(cursor=cursor)
            shown = replace(ctx, method=_LIST, params={} if cursor is None else {"cursor": cursor})
            found = await entry.handler(shown, params) if entry is not None else None
            if not isinstance(found, ListToolsResult):
                break
            for tool in found.tools:
                if tool.name == name:
                    return tool.model_dump_json(by_alias=True, exclude_none=True).encode()
            cursor = found.next_cursor
            if cursor is None:
                break
        raise ToolUnboundError("the server does not list the tool")

    def _head(self, request: object) -> Head | None:
        if not isinstance(request, Request):
            return None
        fields = request.headers
        return Head(
            tokens=fields.getlist("txn-token"),
            method=request.method,
            path=request.scope["path"],
            shown=() if self._showings is None else self._showings(request),
            proofs=fields.getlist("dpop"),
        )


class _Quiet(ServerSession):
    """A session that asks its client nothing (rule 3)."""

    @classmethod
    def like(cls, session: ServerSession) -> ServerSession:
        """The same, but quiet."""
        found = cls.__new__(cls)
        vars(found).update(vars(session))
        return found

    @property
    def can_send_request(self) -> bool:
        """It can't."""
        return False

    async def send_request(self, request: Any, *_: object, **__: object) -> Any:  # noqa: ANN401 - as the library has it
        """Refuse to ask.

        Raises:
            NoBackChannelError: Always.
        """
        raise NoBackChannelError(request.method)


class _Binding:
    """Binds the functions of an `MCPServer` (rule 2)."""

    def __init__(self, server: MCPServer[Any], tools: Tools) -> None:
        self._manager = server._tool_manager  # noqa: SLF001 - where the library has its tools, and no other place
        self._tools = tools
        self._bound: dict[str, tuple[Callable[..., Any], PydanticConverting | ToolUnboundError]] = {}

    async def __call__(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Bind what was added meanwhile, before a message reaches anything that could run it."""
        self.bind()
        return await call_next(ctx)

    def bind(self) -> None:
        """Bind each declared tool that is there; one that can't be is one that never runs."""
        for tool in self._manager.list_tools():
            known = self._bound.get(tool.name)
            if self._tools.is_declared(tool.name) and (known is None or known[0] is not tool.fn):
                self._bind(tool)

    def _bind(self, tool: Tool) -> None:
        try:
            found = PydanticConverting(tool.fn, tool.parameters)
        except ToolUnboundError as error:
            tool.fn = never(tool.fn, error.message, stop=ToolError)
            self._bound[tool.name] = tool.fn, error
        else:
            tool.fn = bound(tool.fn, found, waits=tool.is_async, stop=ToolError)
            self._bound[tool.name] = tool.fn, found

    async def find(self, name: str) -> Converting:
        """What is known of a tool.

        Raises:
            ToolUnboundError: There is none, or it can't be bound.
        """
        self.bind()
        tool = self._manager.get_tool(name)
        known = self._bound.get(name)
        if tool is None or known is None or known[0] is not tool.fn:
            raise ToolUnboundError("the server has no such tool")
        if isinstance(known[1], ToolUnboundError):
            raise ToolUnboundError(known[1].message)
        return known[1]
