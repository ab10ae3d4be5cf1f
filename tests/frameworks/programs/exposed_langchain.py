"""Graphs and tools of LangChain and LangGraph, as an application has them: some are guarded, some seem so."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.tools import StructuredTool, tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from taskbound.sdk.tool.langchain import GuardedTool, as_tool
from tests.sdk.noted import note, spend


@tool
def plain(text: str) -> str:
    """Write."""
    return text


class Mine(GuardedTool):
    """Runs what it likes."""

    def _run(self, /, **said: Any) -> Any:
        return said


def of_mine() -> Mine:
    made = as_tool(note)
    return Mine(name="mine", description="Write.", args_schema=made.args_schema, function=made.function)


def run_replaced() -> GuardedTool:
    made = as_tool(note)
    made.name = "replaced"
    object.__setattr__(made, "run", lambda *_, **__: "not asked for")
    return made


handed_over = StructuredTool(name="handed", description="W.", args_schema={"type": "object"}, func=note)
inner = StructuredTool.from_function(note.__wrapped__, name="inner", description="Write.")
model = GenericFakeChatModel(messages=iter([]))
tools = [as_tool(note), plain, of_mine(), run_replaced(), handed_over, inner]
good = create_agent(model, [as_tool(note), as_tool(spend)])
mixed = create_agent(model, [*tools, {"type": "web_search"}])


@wrap_tool_call
def middle(request: Any, handler: Any) -> Any:
    return handler(request)


around = create_agent(model, [as_tool(note)], middleware=[middle])


def ask(state: MessagesState) -> MessagesState:
    return state


def by_hand() -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("tools", ToolNode([as_tool(note), plain]))
    graph.add_node("inner", create_agent(model, [as_tool(spend)]))
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "tools")
    graph.add_edge("tools", "inner")
    graph.add_edge("inner", END)
    return graph


not_compiled = by_hand()
own = by_hand().compile()
everything = {"good": good, "mixed": mixed, "around": around, "own": own, "raw": not_compiled, "tools": tools}
