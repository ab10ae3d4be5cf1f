"""A server of the official MCP SDK (`mcp` 2.x) whose tools run only for what tokens permit.

    guard_tools(server, verifier, Tools({"pay": "bank__pay"}))

The handler of `tools/call` runs inside the server's middleware and calls the library's. Declared functions
of an `MCPServer` are bound when it is guarded, later ones before the next message. A low-level `Server` has
one handler, which gets the decided arguments. While a tool runs, its session can't ask the client; progress
and logs pass. Other methods pass without a token.
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
"""What the connection of a request has proven."""
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
    """Makes a server's tools run only for what tokens permit; tools may be added later."""
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
    """Wraps a low-level handler; `find` is None if the handler is all that runs."""
    entry = server.get_request_handler(_METHOD)
    if entry is None or isinstance(entry.handler, _ServedCalls):
        raise BadEndpointError("the server has no tools, or they are guarded already")
    handler = _ServedCalls(
        server, entry.handler, ToolCalls(verifier, tools, _Results()), tools, showings=showings, find=find
    )
    server.add_request_handler(_METHOD, CallToolRequestParams, handler)


def declared(server: Server[Any]) -> Tools | None:
    """Returns the declared tools of a low-level server; None if it is not guarded."""
    entry = server.get_request_handler(_METHOD)
    return entry.handler.tools if entry is not None and type(entry.handler) is _ServedCalls else None


class _Results:
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
    @classmethod
    def like(cls, session: ServerSession) -> ServerSession:
        found = cls.__new__(cls)
        vars(found).update(vars(session))
        return found

    @property
    def can_send_request(self) -> bool:
        return False

    async def send_request(self, request: Any, *_: object, **__: object) -> Any:  # noqa: ANN401 - as the library has it
        raise NoBackChannelError(request.method)


class _Binding:
    def __init__(self, server: MCPServer[Any], tools: Tools) -> None:
        self._manager = server._tool_manager  # noqa: SLF001 - where the library has its tools, and no other place
        self._tools = tools
        self._bound: dict[str, tuple[Callable[..., Any], PydanticConverting | ToolUnboundError]] = {}

    async def __call__(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        self.bind()
        return await call_next(ctx)

    def bind(self) -> None:
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
        self.bind()
        tool = self._manager.get_tool(name)
        known = self._bound.get(name)
        if tool is None or known is None or known[0] is not tool.fn:
            raise ToolUnboundError("the server has no such tool")
        if isinstance(known[1], ToolUnboundError):
            raise ToolUnboundError(known[1].message)
        return known[1]
