"""Agents of Pydantic AI, whose models say what a test has written down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from taskbound.sdk.guard.guarded import guard
from taskbound.sdk.tool.pydantic_ai import as_tool
from tests.frameworks.programs.speaking import There, serve
from tests.sdk.noted import fail, note, note_later, ran, spend

Call = tuple[str, Any, str]


class Scripted:
    """Says these calls, one message after the other, and keeps what tools it was offered."""

    def __init__(self, *script: Sequence[Call]) -> None:
        self._script = list(script)
        self.offered: list[Any] = []

    @property
    def model(self) -> FunctionModel:
        def says(_: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            self.offered = [
                {
                    "name": one.name,
                    "description": one.description,
                    "parameters": one.parameters_json_schema,
                    "strict": one.strict,
                }
                for one in info.function_tools
            ]
            if not self._script:
                return ModelResponse(parts=[TextPart("done")])
            return ModelResponse(
                parts=[
                    ToolCallPart(name, said, tool_call_id=call) for name, said, call in self._script.pop(0)
                ]
            )

        return FunctionModel(says)


def answers(messages: Sequence[ModelMessage]) -> list[list[str]]:
    """What the model reads of its calls."""
    return [
        [str(part.content), part.outcome if isinstance(part, ToolReturnPart) else "retry"]
        for one in messages
        if isinstance(one, ModelRequest)
        for part in one.parts
        if part.part_kind in {"tool-return", "retry-prompt"}
    ]


def decided(there: There) -> Any:
    script = Scripted(
        [("notes__note", '{"text": "hello", "tags": ["a", "a"]}', "1")],
        [("notes__note", '{"text": "else"}', "2")],
        [("notes__spend", '{"amount": "5"}', "3"), ("notes__spend", '{"amount": 5, "amount": 6}', "4")],
        [("notes__spend", {"amount": 5, "ctx": 1}, "5"), ("notes__spend", "", "6")],
        [("notes__spend", {"amount": "5"}, "7"), ("notes__spend", {"amount": 5}, "8")],
    )
    agent = Agent(script.model, tools=[as_tool(note), as_tool(spend)])
    with there.client():
        found = agent.run_sync("go")
    return {"answers": answers(found.all_messages()), "ran": ran, "offered": script.offered}


async def parallel(there: There) -> Any:
    script = Scripted([("notes__note_later", {"text": f"t{n}"}, f"c{n}") for n in range(8)])
    async with there.async_client():
        found = await Agent(script.model, tools=[as_tool(note_later)]).run("go")
    return {"answers": answers(found.all_messages()), "ran": sorted(ran)}


async def paused(there: There) -> Any:
    """Held: the run ends, is gone on with before anybody answered, and once people have said yes."""
    script = Scripted([("notes__note", '{"text": "hello"}', "1"), ("notes__spend", '{"amount": 1}', "2")])
    agent = Agent(
        script.model,
        tools=[as_tool(note, pause=True), as_tool(spend)],
        output_type=[str, DeferredToolRequests],
    )
    stops = []
    with there.client():
        found = await agent.run("go")
        for _ in range(2):
            asked = found.output
            assert isinstance(asked, DeferredToolRequests)
            (call,) = asked.approvals
            stops.append(asked.metadata[call.tool_call_id])
            early = list(ran)
            if len(stops) == 2:
                await asyncio.to_thread(there.asks, stops)
            found = await agent.run(
                message_history=found.all_messages(),
                deferred_tool_results=DeferredToolResults(approvals={call.tool_call_id: True}),
            )
    return {"stops": stops, "early": early, "answers": answers(found.all_messages()), "ran": ran}


async def run_twice(there: There) -> Any:
    """A run that goes on twice from the same history, as after a crash."""
    script = Scripted([("notes__note", '{"text": "hello"}', "1")], [], [])
    agent = Agent(script.model, tools=[as_tool(note, pause=True)], output_type=[str, DeferredToolRequests])
    with there.client():
        first = await agent.run("go")
        await asyncio.to_thread(there.asks, "")
        found = []
        for _ in range(2):
            script = Scripted()
            again = Agent(
                script.model, tools=[as_tool(note, pause=True)], output_type=[str, DeferredToolRequests]
            )
            gone_on = await again.run(
                message_history=first.all_messages(),
                deferred_tool_results=DeferredToolResults(approvals={"1": True}),
            )
            found += answers(gone_on.all_messages())
    return {"answers": found, "ran": ran}


async def answered(there: There) -> Any:
    """Held, answered by people, and gone on with."""
    script = Scripted([("notes__note", '{"text": "hello"}', "1")])
    agent = Agent(script.model, tools=[as_tool(note, pause=True)], output_type=[str, DeferredToolRequests])
    with there.client():
        first = await agent.run("go")
        await asyncio.to_thread(there.asks, "")
        found = await agent.run(
            message_history=first.all_messages(),
            deferred_tool_results=DeferredToolResults(approvals={"1": True}),
        )
    return {"answers": answers(found.all_messages()), "output": str(found.output)}


def told(there: There) -> Any:
    """Held, and nothing stops: the model is told."""
    script = Scripted([("notes__note", '{"text": "hello"}', "1")])
    agent = Agent(script.model, tools=[as_tool(note)], output_type=[str, DeferredToolRequests])
    with there.client():
        found = agent.run_sync("go")
    return {"answers": answers(found.all_messages()), "output": str(found.output)}


def apart(there: There) -> Any:
    """Two conversations, in which a model names its calls alike."""
    found = []
    with there.client():
        for _ in range(2):
            script = Scripted([("notes__note", '{"text": "hello"}', "1")])
            gone = Agent(script.model, tools=[as_tool(note)]).run_sync("go")
            found += answers(gone.all_messages())
    return {"answers": found, "ran": ran}


def unwritable(there: There) -> Any:
    """What a provider has read by itself, and is no JSON."""
    said: list[Any] = [{1: "hello"}, {"text": {"hello"}}]
    script = Scripted(*[[("notes__note", one, f"n{number}")] for number, one in enumerate(said)])
    with there.client():
        found = Agent(script.model, tools=[as_tool(note)]).run_sync("go")
    return {"answers": answers(found.all_messages()), "ran": ran}


async def withheld(there: There) -> Any:
    """Its task ends while a function runs."""

    @guard(server="notes", tool="note_later", effect="write")
    async def last(text: str) -> str:
        """Write a note down, by and by."""
        await asyncio.to_thread(there.asks, text)
        return text

    script = Scripted([("notes__note_later", {"text": "t"}, "1")])
    async with there.async_client():
        return answers((await Agent(script.model, tools=[as_tool(last)]).run("go")).all_messages())


async def clientless(there: There) -> Any:
    """No client is there: the program's error, of which a model reads nothing."""
    del there
    found = []
    for tool in (as_tool(note), as_tool(note_later)):
        script = Scripted([(tool.name, '{"text": "hello"}', "1")])
        try:
            found.append(answers((await Agent(script.model, tools=[tool]).run("go")).all_messages()))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
            found.append([[type(error).__name__]])
    return {"raised": found, "ran": ran}


def own(there: There) -> Any:
    """What an application does to a tool's schema is done to that tool's."""
    del there
    as_tool(note).function_schema.json_schema["properties"].clear()
    return sorted(as_tool(note).function_schema.json_schema["properties"])


def refused_many(there: There) -> Any:
    """More refusals than an agent has retries."""
    script = Scripted(*[[("notes__note", '{"text": "else"}', f"n{n}")] for n in range(6)])
    with there.client():
        found = Agent(script.model, tools=[as_tool(note)], retries=1).run_sync("go")
    return {"answers": answers(found.all_messages()), "output": found.output}


def failing(there: There) -> Any:
    """A function's own error is what it is to Pydantic AI."""
    script = Scripted([("notes__fail", '{"text": "x"}', "1")])
    with there.client():
        try:
            Agent(script.model, tools=[as_tool(fail)]).run_sync("go")
        except ZeroDivisionError as error:
            return type(error).__name__
    return ""


async def cancelled(there: There) -> Any:
    """The run is cancelled while its function runs."""
    began = asyncio.Event()

    @guard(server="notes", tool="note_later", effect="write")
    async def wait(text: str) -> str:
        """Write a note down, by and by."""
        began.set()
        await asyncio.Event().wait()
        return text

    script = Scripted([("notes__note_later", {"text": "t"}, "1")])
    async with there.async_client():
        running = asyncio.ensure_future(Agent(script.model, tools=[as_tool(wait)]).run("go"))
        await began.wait()
        running.cancel()
        found = await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(there.asks, "cancelled")
    return [type(one).__name__ for one in found]


def guide(there: There) -> Any:
    return there.follows(model=Scripted([("notes__note", '{"text": "hello"}', "1")]).model)


if __name__ == "__main__":
    held = (paused, run_twice, answered, told)
    ended = (refused_many, failing, cancelled, withheld, clientless)
    said = (decided, parallel, apart, unwritable, own)
    serve({one.__name__: one for one in (*said, *held, *ended, guide)})
