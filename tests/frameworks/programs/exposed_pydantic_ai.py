"""Agents of Pydantic AI, as an application has them: some tools are guarded, and others seem so."""

from __future__ import annotations

from typing import Any

from pydantic_ai import Agent, ExternalToolset, FunctionToolset, RunContext, Tool, ToolOutput, WebSearchTool
from pydantic_ai.capabilities import Hooks, NativeTool
from pydantic_ai.models.test import TestModel
from pydantic_ai.toolsets import WrapperToolset

from taskbound.sdk.tool.pydantic_ai import as_tool
from tests.sdk.noted import note, spend


def plain(text: str) -> str:
    return text


def finish(text: str) -> str:
    return text


class Own(WrapperToolset[Any]):
    """Runs what it likes."""

    async def call_tool(self, *_: Any) -> Any:
        return "not asked for"


def swapped() -> Tool[Any]:
    made = as_tool(note)
    made.name = "swapped"
    made.function_schema.function = plain
    return made


good = Agent(TestModel(), name="good", tools=[as_tool(note)], toolsets=[FunctionToolset([as_tool(spend)])])
mixed: Agent[Any, Any] = Agent(
    TestModel(),
    name="mixed",
    tools=[as_tool(note), plain],
    toolsets=[
        FunctionToolset([as_tool(spend), swapped()]).prefixed("b").filtered(lambda *_: True),
        Own(FunctionToolset([as_tool(note)])),
        ExternalToolset([]),
    ],
    output_type=[finish, ToolOutput(int)],
    capabilities=[NativeTool(WebSearchTool()), Hooks()],
)


@mixed.toolset
def by_and_by(_: RunContext[Any]) -> FunctionToolset[Any]:
    return FunctionToolset([plain])


everything = {"good": good, "mixed": mixed}
