"""Coverage of agents and toolsets of Pydantic AI.

A tool is guarded if it runs the callable that `as_tool` made, or a guarded function. Untold: toolsets that
aren't the framework's, tools made per run or run elsewhere, tools of MCP servers and providers, and
wrapping capabilities of the program. Output functions (`output_type`) are tools: the model calls them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from taskbound.sdk.guard.guarded import Guarded
from taskbound.sdk.tool.call import made_for
from taskbound.sdk.tool.coverage.found import loaded, of_kind, replaced, typed

if TYPE_CHECKING:
    from taskbound.sdk.tool.coverage.found import Walk


_AGENTS: Final = "pydantic_ai.agent"
_SETS: Final = "pydantic_ai.toolsets"
_NATIVE: Final = "pydantic_ai.native_tools"
_CAPABLE: Final = "pydantic_ai.capabilities"
_AROUND: Final = (
    "ApprovalRequiredToolset",
    "DeferredLoadingToolset",
    "FilteredToolset",
    "IncludeReturnSchemasToolset",
    "PrefixedToolset",
    "PreparedToolset",
    "RenamedToolset",
    "SetMetadataToolset",
    "WrapperToolset",
)
"""Toolsets that run what stands in them."""
_PROGRAMS: Final = ("DynamicCapability", "HandleDeferredToolCalls", "Hooks", "WrapperCapability")
"""Capabilities of the framework's that run what the program gives them."""
_OUTPUTS: Final = {
    "NativeOutput": "outputs",
    "PromptedOutput": "outputs",
    "TextOutput": "output_function",
    "ToolOutput": "output",
}


def look(walk: Walk, one: object, place: str) -> bool:
    kind = type(one)
    if issubclass(kind, loaded(_AGENTS, "AbstractAgent")):
        if walk.enters(one):
            _agent(walk, one, place)
    elif issubclass(kind, loaded(_SETS, "AbstractToolset")):
        if walk.enters(one):
            _toolset(walk, one, place)
    elif issubclass(kind, loaded("pydantic_ai.tools", "Tool")):
        _tool(walk, one, place)
    elif issubclass(kind, loaded(_NATIVE, "AbstractNativeTool")):
        if not of_kind(
            one, "pydantic_ai.native_tools._tool_search", "ToolSearchTool"
        ):  # it looks for the agent's own
            walk.untold(
                one, place, "the provider runs it without a decision", name=str(getattr(one, "kind", ""))
            )
    elif issubclass(kind, loaded(_CAPABLE, "AbstractCapability")):
        _capability(walk, one, place)
    else:
        return False
    return True


def _agent(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- some agent
    if of_kind(one, _AGENTS, "WrapperAgent"):
        walk.more(one.wrapped, place)
        return
    own = vars(one)
    if not of_kind(one, _AGENTS, "Agent") or replaced(one):
        walk.untold(one, place, f"which tools a `{typed(one)}` has is its own")
    if not issubclass(type(one), loaded(_AGENTS, "Agent")):
        return
    name = own.get("_name")
    here = f"{place} > {name}" if name else place
    for toolset in one.toolsets:
        walk.more(toolset, here)
    for hosted in own.get("_cap_native_tools", ("?",)):
        if issubclass(type(hosted), loaded(_NATIVE, "AbstractNativeTool")):
            walk.more(hosted, here)
        else:
            walk.untold(hosted, here, "what the provider runs is known when a run begins", name="(hosted)")
    walk.more(one.root_capability, here)
    _output(walk, one.output_type, here)


def _output(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- whatever a run may end with
    kind = type(one)
    if kind in {list, tuple}:
        for each in one:
            _output(walk, each, place)
    elif of_kind(one, "pydantic_ai.output", *_OUTPUTS):
        _output(walk, getattr(one, _OUTPUTS[kind.__name__]), place)
    elif kind is Guarded or (callable(one) and not isinstance(one, type) and not hasattr(one, "__origin__")):
        walk.callable(one, one, f"{place} > output")


def _toolset(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- some toolset
    kind, other = type(one), replaced(one)
    name = f"{one.label}" if _is_theirs(kind) else typed(one)
    if other:
        walk.untold(one, place, f"its `{other}` was replaced", name=name)
    elif of_kind(one, _SETS, "FunctionToolset") or of_kind(one, _AGENTS, "_AgentFunctionToolset"):
        for tool in one.tools.values():
            walk.more(tool, place)
    elif of_kind(one, _SETS, "CombinedToolset"):
        for each in one.toolsets:
            walk.more(each, place)
    elif of_kind(one, _SETS, *_AROUND) or of_kind(
        one, f"{_SETS}._capability_owned", "CapabilityOwnedToolset"
    ):
        walk.more(one.wrapped, place)
    elif of_kind(one, _SETS, "DynamicToolset"):
        walk.untold(one, place, "which tools it has is known when a run begins", name=name)
    elif of_kind(one, _SETS, "ExternalToolset"):
        walk.untold(one, place, "its tools run outside of this program", name=name)
    else:
        walk.untold(one, place, f"what a `{typed(one)}` runs is its own, or a server's", name=name)


def _tool(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- some tool
    schema = one.function_schema
    other = replaced(one) or replaced(schema)
    known = of_kind(one, "pydantic_ai.tools", "Tool") and of_kind(
        schema, "pydantic_ai._function_schema", "FunctionSchema"
    )
    if not known or other:
        walk.unguarded(
            one, place, f"its `{other}` was replaced" if other else "how it runs is its class' own"
        )
        return
    function = made_for(schema.function)
    if function is not None:
        walk.guarded(function, one, place, name=one.name)
    else:
        why = "handed over as it is: `as_tool` keeps its schema"
        walk.callable(schema.function, one, place, name=one.name, why=why)


def _capability(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- some capability
    if of_kind(one, _CAPABLE, "CombinedCapability"):
        for each in one.capabilities:
            walk.more(each, place)
    elif of_kind(one, _CAPABLE, *_PROGRAMS) or not _is_theirs(type(one)) or replaced(one):
        walk.untold(one, place, "it stands around the agent's calls, and may run something else")


def _is_theirs(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    return kind.__module__.partition(".")[0] == "pydantic_ai" and getattr(module, kind.__name__, None) is kind
