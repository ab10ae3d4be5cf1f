"""Coverage of agents of the OpenAI Agents SDK.

A function tool is guarded if it invokes the callable that `as_tool` made; `function_tool` hides its
function, so a guarded one inside is not seen. A handoff's callback is a tool of the program. Provider tools
and tools of MCP servers are untold.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, Final

from taskbound.sdk.tool.call import made_for
from taskbound.sdk.tool.coverage.found import loaded, of_kind, replaced, typed

if TYPE_CHECKING:
    from taskbound.sdk.tool.coverage.found import Walk


_HOSTED: Final = (
    "CodeInterpreterTool",
    "FileSearchTool",
    "HostedMCPTool",
    "ImageGenerationTool",
    "ProgrammaticToolCallingTool",
    "ToolSearchTool",
    "WebSearchTool",
)
_LOCAL: Final = ("ApplyPatchTool", "ComputerTool", "CustomTool", "LocalShellTool", "ShellTool")
_TOOLS: Final = "agents.tool"
_AGENTS: Final = "agents.agent"
_HANDOFFS: Final = "agents.handoffs"


def look(walk: Walk, one: object, place: str) -> bool:
    kind = type(one)
    if issubclass(kind, loaded(_AGENTS, "Agent")):
        if walk.enters(one):
            _agent(walk, one, place)
    elif issubclass(kind, loaded(_TOOLS, "FunctionTool")):
        _function(walk, one, place)
    elif issubclass(kind, loaded(_HANDOFFS, "Handoff")):
        _handoff(walk, one, place)
    elif of_kind(one, _TOOLS, *_HOSTED):
        walk.untold(one, place, "the provider runs it without a decision")
    elif of_kind(one, _TOOLS, *_LOCAL):
        if of_kind(one, _TOOLS, "ShellTool") and _is_container(one):
            walk.untold(one, place, "the provider runs it without a decision")
        else:
            walk.unguarded(one, place, "the program runs the model's commands without a decision")
    elif issubclass(kind, loaded("agents.mcp.server", "MCPServer")):
        walk.untold(
            one,
            place,
            "its server's tools are called without us, unless that server is our gateway",
            name=str(getattr(one, "name", "")),
        )
    else:
        return False
    return True


def _is_container(one: Any) -> bool:  # noqa: ANN401 -- a `ShellTool`
    environment = one.environment or {}
    return isinstance(environment, dict) and environment.get("type", "local") != "local"


def _agent(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- some agent
    here = f"{place} > {one.name}"
    if not of_kind(one, _AGENTS, "Agent") or replaced(one):
        walk.untold(one, here, f"which tools a `{typed(one)}` has is its own")
    if one.prompt is not None:
        walk.untold(
            one.prompt, here, "a prompt that the provider keeps may have tools of its own", name="(prompt)"
        )
    for each in (*one.tools, *one.mcp_servers, *one.handoffs):
        walk.more(each, here)


def _function(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- some function tool
    other = replaced(one)
    invoke = one.on_invoke_tool
    if not of_kind(one, _TOOLS, "FunctionTool") or other:
        walk.unguarded(
            one, place, f"its `{other}` was replaced" if other else "how it runs is its class' own"
        )
        return
    function = made_for(invoke)
    if function is not None:
        walk.guarded(function, one, place, name=one.name)
    elif of_kind(invoke, _TOOLS, "_FailureHandlingFunctionToolInvoker") and _is_of(
        vars(invoke).get("_invoke_tool_impl"), loaded(_AGENTS, "Agent"), "as_tool"
    ):
        walk.more(_held(vars(invoke)["_invoke_tool_impl"]).get("self"), f"{place} > {one.name}")
    else:
        walk.unguarded(
            one, place, "nothing of ours stands before it, as far as it can be seen: use `as_tool`"
        )


def _handoff(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- some handoff
    here = f"{place} > {one.tool_name}"
    invoke = one.on_invoke_handoff
    inner = invoke.args[0] if type(invoke) is functools.partial and invoke.args else None
    made = of_kind(one, _HANDOFFS, "Handoff") and _is_of(inner, sys.modules[_HANDOFFS], "handoff")
    if not made or invoke.func is not loaded(_HANDOFFS, "_invoke_handoff_with_redaction"):
        walk.untold(one, place, "whom it hands to is known when it is called", name=one.tool_name)
        return
    held = _held(inner)
    walk.more(held.get("agent"), here)
    if held.get("on_handoff") is not None:
        walk.callable(held["on_handoff"], one, place, name=one.tool_name)


def _is_of(function: object, place: object, maker: str) -> bool:
    code = getattr(vars(place).get(maker), "__code__", None)
    return (
        inspect.isfunction(function)
        and code is not None
        and any(function.__code__ is one for one in code.co_consts)
    )


def _held(function: Any) -> dict[str, Any]:  # noqa: ANN401 -- a function
    return dict(inspect.getclosurevars(function).nonlocals)
