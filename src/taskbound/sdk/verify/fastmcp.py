"""A server of `fastmcp` (4.x) whose tools run only for what tokens permit.

    guard_tools(server, verifier, Tools({"pay": "bank__pay"}))

A declared tool's function is bound as the server's last transform finds it. Later wrappers (transforms,
injected tools) can't be inspected and are refused. Declared tools that aren't functions of this server
(mounted, proxied, OpenAPI, transformed) are not found: their argument handling is unknown. A version chosen
in `_meta` was not decided: a call that names one finds no tool.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from fastmcp.exceptions import ToolError
from fastmcp.server.transforms import GetToolNext, Transform
from fastmcp.tools.function_tool import FunctionTool
from fastmcp.utilities.async_utils import is_coroutine_function

from taskbound.sdk.verify.converting import PydanticConverting, bound
from taskbound.sdk.verify.errors import ToolUnboundError
from taskbound.sdk.verify.mcp import guard_handler

if TYPE_CHECKING:
    from fastmcp import FastMCP
    from fastmcp.tools.base import Tool
    from fastmcp.utilities.versions import VersionSpec

    from taskbound.sdk.verify.calls import Converting, Tools
    from taskbound.sdk.verify.mcp import Showings
    from taskbound.sdk.verify.verifier import Verifier


def guard_tools(
    server: FastMCP[Any], verifier: Verifier, tools: Tools, *, showings: Showings | None = None
) -> None:
    """Makes tools run only for what tokens permit; add transforms before, tools also later."""
    binding = _Binding(server, tools)
    low = server._mcp_server  # noqa: SLF001 - where the library has its handlers, and no other place
    guard_handler(low, verifier, tools, showings=showings, find=binding.find)
    server.add_transform(binding)


class _Binding(Transform):
    def __init__(self, server: FastMCP[Any], tools: Tools) -> None:
        self._server = server
        self._tools = tools
        self._bound: dict[str, tuple[FunctionTool, FunctionTool, PydanticConverting]] = {}

    async def get_tool(
        self, name: str, call_next: GetToolNext, *, version: VersionSpec | None = None
    ) -> Tool | None:
        if not self._tools.is_declared(name):
            return await call_next(name, version=version)
        if version is not None:
            return None
        found = await call_next(name, version=version)
        return self._bind(name, found) if type(found) is FunctionTool else None

    def _bind(self, name: str, tool: FunctionTool) -> FunctionTool:
        known = self._bound.get(name)
        if known is None or known[0].fn is not tool.fn or known[0].parameters != tool.parameters:
            converting = PydanticConverting(tool.fn, tool.parameters)
            function = bound(tool.fn, converting, waits=is_coroutine_function(tool.fn), stop=_stop)
            known = self._bound[name] = tool, tool.model_copy(update={"fn": function}), converting
        return tool.model_copy(update={"fn": known[1].fn})

    async def find(self, name: str) -> Converting:
        tool = await self._server.get_tool(name)
        known = self._bound.get(name)
        if known is None or type(tool) is not FunctionTool or tool.fn is not known[1].fn:
            raise ToolUnboundError("the server has no such tool, or it is no function of its own")
        return known[2]


def _stop(message: str) -> ToolError:
    return ToolError(message, log_level=logging.DEBUG)
