"""Coverage of LangChain tools and LangGraph graphs.

A tool is guarded if it is exactly `GuardedTool`, or LangChain's own class around a guarded function. A
graph exposes the tools of its `ToolNode`s, nested graphs included; other nodes are untold. Model nodes of
`create_agent` are recognized by their code and expose the provider's tools. Middleware around tool or model
calls may replace them. Functions at edges, callbacks and hooks are no tools.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from taskbound.sdk.tool.coverage.found import loaded, of_kind, replaced, typed

if TYPE_CHECKING:
    from taskbound.sdk.tool.coverage.found import Walk


_OURS: Final = "taskbound.sdk.tool.langchain"
_TOOLS: Final = "langchain_core.tools"
_GRAPHS: Final = "langgraph.pregel"
_NODES: Final = "langgraph.prebuilt"


def look(walk: Walk, one: object, place: str) -> bool:
    kind = type(one)
    if issubclass(kind, loaded(_TOOLS, "BaseTool")):
        _tool(walk, one, place)
    elif issubclass(kind, loaded(_GRAPHS, "Pregel")):
        if walk.enters(one):
            _graph(walk, one, place)
    elif issubclass(kind, loaded(_NODES, "ToolNode")):
        _node(walk, one, place)
    elif issubclass(kind, loaded("langgraph.graph", "StateGraph")):
        walk.untold(one, place, "it is not compiled: name what `compile()` gives")
    else:
        return False
    return True


def _tool(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- some tool
    kind, name, other = type(one), str(one.name), replaced(one)
    if other:
        walk.unguarded(one, place, f"its `{other}` was replaced", name=name)
    elif of_kind(one, _OURS, "GuardedTool"):
        walk.guarded(one.function, one, place, name=name)
    elif issubclass(kind, loaded(_OURS, "GuardedTool")):
        walk.unguarded(one, place, "it is of a kind that is made of ours, and runs what it likes", name=name)
    elif of_kind(one, _TOOLS, "StructuredTool", "Tool"):
        runs = [each for each in (one.func, one.coroutine) if each is not None]
        bare = [each for each in runs if not walk.is_guarded(each)]
        for each in [*bare, *runs][:1]:
            walk.callable(each, one, place, name=name, why="handed over as it is: `as_tool` keeps its schema")
        if not runs:
            walk.untold(one, place, "it has no function", name=name)
    else:
        walk.unguarded(one, place, "what it runs is its class' own", name=name)


def _graph(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- some graph
    if type(one).__module__.partition(".")[0] != "langgraph" or replaced(one):
        walk.untold(one, place, f"how a `{typed(one)}` runs is its own", name=str(one.name))
    for name, node in one.nodes.items():
        for inner in node.subgraphs or ():
            walk.more(inner, f"{place} > {name}")
        _runs(walk, node.bound, f"{place} > {name}", str(name))


def _runs(walk: Walk, one: Any, place: str, name: str) -> None:  # noqa: ANN401 -- some runnable
    if one is loaded("langgraph.pregel._read", "DEFAULT_BOUND"):
        return
    known = (loaded(_GRAPHS, "Pregel"), loaded(_NODES, "ToolNode"), loaded(_TOOLS, "BaseTool"))
    if issubclass(type(one), known):
        walk.more(one, place)
    elif of_kind(one, "langchain_core.runnables", "RunnableSequence"):
        for step in one.steps:
            _runs(walk, step, place, name)
    elif not _asks_model(walk, one, place):
        walk.untold(one, place, "it is a node of the program's own, which may run tools by itself", name=name)


def _node(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- some `ToolNode`
    own, kind = vars(one), loaded(_NODES, "ToolNode")
    runs = [getattr(own.get(name), "__func__", None) for name in ("func", "afunc")]
    theirs = [vars(kind).get(name) for name in ("_func", "_afunc")]
    if type(one) is not kind or replaced(one) or runs != theirs:
        walk.untold(one, place, "how it runs its tools is its own")
    if own.get("_wrap_tool_call") is not None or own.get("_awrap_tool_call") is not None:
        walk.untold(
            one, place, "middleware stands around its calls, and may run something else", name="(middleware)"
        )
    for tool in one.tools_by_name.values():
        walk.more(tool, place)


def _asks_model(walk: Walk, one: Any, place: str) -> bool:  # noqa: ANN401 -- some runnable
    code = getattr(loaded("langchain.agents.factory", "create_agent"), "__code__", None)
    known = {id(each) for each in code.co_consts} if code is not None else set()
    own = _attributes(one)
    runs = [own.get(name) for name in ("func", "afunc")]
    ask = runs[0]
    if not all(inspect.isfunction(each) and id(each.__code__) in known for each in runs):
        return False
    holds = inspect.getclosurevars(ask).nonlocals if inspect.isfunction(ask) else {}
    if "default_tools" not in holds or "wrap_model_call_handler" not in holds:
        return False
    for tool in holds["default_tools"]:
        if isinstance(tool, dict):
            name = str(tool.get("type") or tool.get("name") or "(a description)")
            walk.untold(tool, place, "the provider runs it without a decision", name=name)
    if holds["wrap_model_call_handler"] is not None:
        walk.untold(
            one, place, "middleware stands around the model, and may offer it more", name="(middleware)"
        )
    return True


def _attributes(one: object) -> dict[str, Any]:
    return dict(vars(one)) if hasattr(one, "__dict__") else {}
