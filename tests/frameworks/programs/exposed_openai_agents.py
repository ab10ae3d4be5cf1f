"""Agents of the OpenAI Agents SDK, as an application has them: some tools are guarded, and others seem so."""

from __future__ import annotations

import copy
import functools
from typing import Any

from agents import (
    Agent,
    CodeInterpreterTool,
    FunctionTool,
    LocalShellTool,
    RunContextWrapper,
    WebSearchTool,
    function_tool,
    handoff,
)
from agents.mcp import MCPServerStdio

from taskbound.sdk.guard.guarded import guard
from taskbound.sdk.tool.openai_agents import as_tool
from tests.sdk.noted import note, spend


@function_tool
def plain(text: str) -> str:
    """Write."""
    return text


@guard(server="notes", tool="note")
def changed(text: str) -> str:
    """Write another thing down."""
    return text


async def other(*_: Any) -> str:
    return "not asked for"


class Mine(FunctionTool):
    """A kind of its own."""


def altered(**names: Any) -> FunctionTool:
    tool = as_tool(note)
    for name, value in names.items():
        setattr(tool, name, value)
    return tool


made = as_tool(note)
mine = Mine(made.name, made.description, made.params_json_schema, made.on_invoke_tool)
good: Agent[None] = Agent(name="good", tools=[as_tool(note), as_tool(spend)])
refunds: Agent[None] = Agent(name="refunds", tools=[plain])
deep: Agent[None] = Agent(name="deep", tools=[as_tool(spend)])
triage: Agent[None] = Agent(
    name="triage",
    tools=[
        as_tool(note),
        copy.copy(as_tool(note)),
        altered(name="renamed"),
        altered(name="replaced", on_invoke_tool=other),
        altered(name="partial", on_invoke_tool=functools.partial(made.on_invoke_tool)),
        mine,
        plain,
        function_tool(note.__wrapped__),
        as_tool(changed),
        WebSearchTool(),
        CodeInterpreterTool(tool_config={"type": "code_interpreter", "container": {"type": "auto"}}),
        LocalShellTool(executor=lambda _: "ran"),
        deep.as_tool("ask_deep", "Ask."),
    ],
    mcp_servers=[MCPServerStdio({"command": "/bin/false"}, name="files")],
)


def told(context: RunContextWrapper[Any]) -> None:
    """Called by the model's handoff."""
    del context


triage.handoffs = [refunds, handoff(deep, on_handoff=told)]
refunds.handoffs.append(triage)  # in a circle
everything = {"good": good, "triage": triage}
