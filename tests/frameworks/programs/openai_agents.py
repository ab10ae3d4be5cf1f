"""Agents of the OpenAI Agents SDK, whose models say what a test has written down."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import Agent, FunctionTool, Runner, RunState
from agents.items import ToolCallOutputItem
from agents.testing import ScriptedModel, assistant_message, function_call

from taskbound.sdk.guard.guarded import guard
from taskbound.sdk.tool.openai_agents import as_tool
from tests.frameworks.programs.speaking import There, serve
from tests.sdk.noted import fail, note, note_later, ran, spend


def scripted(*messages: list[tuple[str, Any, str]]) -> ScriptedModel:
    """A model that says these calls, one message after the other: name, arguments, id."""
    return ScriptedModel(
        [
            *[[function_call(name, said, call_id=call) for name, said, call in one] for one in messages],
            [assistant_message("done")],
        ]
    )


def answers(found: Any) -> list[str]:
    """What the model reads of its calls."""
    return [str(one.output) for one in found.new_items if isinstance(one, ToolCallOutputItem)]


async def decided(there: There) -> Any:
    model = scripted(
        [("notes__note", '{"text": "hello", "tags": ["a", "a"]}', "1")],
        [("notes__note", '{"text": "else"}', "2")],
        [("notes__spend", '{"amount": "5"}', "3"), ("notes__spend", '{"amount": 5, "amount": 6}', "4")],
        [("notes__spend", '{"amount": 5, "ctx": 1}', "5"), ("notes__spend", "{}", "6")],
        [("notes__spend", '{"amount": 5}', "7")],
    )
    tools = [as_tool(note), as_tool(spend)]
    with there.client():
        found = await Runner.run(Agent(name="a", model=model, tools=[*tools]), "go")
    offered = [
        {
            "name": one.name,
            "description": one.description,
            "parameters": one.params_json_schema,
            "strict": one.strict_json_schema,
        }
        for one in model.calls[0].tools
        if isinstance(one, FunctionTool)
    ]
    return {"answers": answers(found), "ran": ran, "offered": offered}


async def parallel(there: There) -> Any:
    model = scripted([("notes__note_later", {"text": f"t{n}"}, f"c{n}") for n in range(8)])
    async with there.async_client():
        found = await Runner.run(Agent(name="a", model=model, tools=[as_tool(note_later)]), "go")
    return {"answers": answers(found), "ran": sorted(ran)}


async def paused(there: There) -> Any:
    """Held: told, called again, stopped, written down, approved there before people did, and after."""
    model = scripted(
        [("notes__note", '{"text": "hello"}', "1"), ("notes__spend", '{"amount": 1}', "2")],
        [("notes__note", '{ "text": "hello", "tags": null }', "3")],
        [("notes__note", '{"text": "hello"}', "4")],
    )
    agent = Agent(name="a", model=model, tools=[as_tool(note, pause=True), as_tool(spend)])
    stops = []
    with there.client():
        found = await Runner.run(agent, "go")
        for _ in range(2):
            (stop,) = found.interruptions
            stops.append([stop.name, stop.arguments])
            early = list(ran)
            state = await RunState.from_json(agent, found.to_state().to_json())
            state.approve(state.get_interruptions()[0])
            if len(stops) == 2:
                await asyncio.to_thread(there.asks, stops)
            found = await Runner.run(agent, state)
    return {"stops": stops, "early": early, "answers": answers(found), "ran": ran}


async def run_twice(there: There) -> Any:
    """A run that goes on twice from the same state, as after a crash."""
    calls: list[tuple[str, Any, str]] = [("notes__note", '{"text": "hello"}', "1")]
    model = scripted(calls, [("notes__note", '{"text": "hello"}', "2")])
    tool = as_tool(note, pause=True)
    agent = Agent(name="a", model=model, tools=[tool])
    found = []
    with there.client():
        first = await Runner.run(agent, "go")
        await asyncio.to_thread(there.asks, "")
        written = first.to_state().to_json()
        for _ in range(2):
            again = Agent(name="a", model=scripted(), tools=[tool])
            state = await RunState.from_json(again, written)
            state.approve(state.get_interruptions()[0])
            found += answers(await Runner.run(again, state))
    return {"answers": found, "ran": ran}


async def answered(there: There) -> Any:
    """What people have answered is asked for anew at the next call of the same, and stops no run at once."""
    model = scripted(*[[("notes__note", '{"text": "hello"}', f"n{n}")] for n in range(3)])
    agent = Agent(name="a", model=model, tools=[as_tool(note, pause=True)])
    with there.client():
        found = await Runner.run(agent, "go")
        await asyncio.to_thread(there.asks, "")
        state = found.to_state()
        (stop,) = found.interruptions
        state.approve(stop)
        found = await Runner.run(agent, state)
    return {"answers": answers(found), "stops": len(found.interruptions), "output": found.final_output}


async def told(there: There) -> Any:
    """Held, and nothing stops: the model is told each time."""
    model = scripted(*[[("notes__note", '{"text": "hello"}', f"n{n}")] for n in range(2)])
    with there.client():
        found = await Runner.run(Agent(name="a", model=model, tools=[as_tool(note)]), "go")
    return {"answers": answers(found), "output": found.final_output}


async def withheld(there: There) -> Any:
    """Its task ends while a function runs."""

    @guard(server="notes", tool="note_later", effect="write")
    async def last(text: str) -> str:
        """Write a note down, by and by."""
        await asyncio.to_thread(there.asks, text)
        return text

    model = scripted([("notes__note_later", {"text": "t"}, "1")])
    async with there.async_client():
        return answers(await Runner.run(Agent(name="a", model=model, tools=[as_tool(last)]), "go"))


async def beside(there: There) -> Any:
    """A function that blocks leaves its loop to others: this one waits for what only the loop can do."""
    loop = asyncio.get_running_loop()

    async def word() -> str:
        return "meanwhile"

    @guard(server="notes", tool="note_later", effect="write")
    def wait(text: str) -> str:
        """Write a note down, by and by."""
        return text + asyncio.run_coroutine_threadsafe(word(), loop).result(20)

    model = scripted([("notes__note_later", {"text": "t "}, "1")])
    with there.client():
        return answers(await Runner.run(Agent(name="a", model=model, tools=[as_tool(wait)]), "go"))


async def clientless(there: There) -> Any:
    """No client is there: the program's error, of which a model reads nothing."""
    del there
    found = []
    for tool in (as_tool(note), as_tool(note_later)):
        model = scripted([(tool.name, '{"text": "hello"}', "1")])
        try:
            found.append(answers(await Runner.run(Agent(name="a", model=model, tools=[tool]), "go")))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
            found.append([type(error).__name__, type(error.__cause__).__name__])
    return {"raised": found, "ran": ran}


def own(there: There) -> Any:
    """What an application does to a tool's schema is done to that tool's."""
    del there
    as_tool(note).params_json_schema["properties"].clear()
    return as_tool(note).params_json_schema == note.definition["inputSchema"] and sorted(
        as_tool(note).params_json_schema["properties"]
    )


async def refused_many(there: There) -> Any:
    model = scripted(*[[("notes__note", '{"text": "else"}', f"n{n}")] for n in range(6)])
    with there.client():
        found = await Runner.run(Agent(name="a", model=model, tools=[as_tool(note)]), "go")
    return {"answers": answers(found), "output": found.final_output}


async def failing(there: There) -> Any:
    """A function's own error ends the run."""
    model = scripted([("notes__fail", '{"text": "x"}', "f")])
    with there.client():
        try:
            await Runner.run(Agent(name="a", model=model, tools=[as_tool(fail)]), "go")
        except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
            return [type(error).__name__, type(error.__cause__).__name__]
    return []


async def cancelled(there: There) -> Any:
    """The run is cancelled while its function runs."""
    began = asyncio.Event()

    @guard(server="notes", tool="note_later", effect="write")
    async def wait(text: str) -> str:
        """Write a note down, by and by."""
        began.set()
        await asyncio.Event().wait()
        return text

    model = scripted([("notes__note_later", {"text": "t"}, "l")])
    async with there.async_client():
        running = asyncio.ensure_future(Runner.run(Agent(name="a", model=model, tools=[as_tool(wait)]), "go"))
        await began.wait()
        running.cancel()
        found = await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(there.asks, "cancelled")
    return [type(one).__name__ for one in found]


def guide(there: There) -> Any:
    return there.follows(model=scripted([("notes__note", '{"text": "hello"}', "1")]))


if __name__ == "__main__":
    held = (paused, run_twice, answered, told)
    ended = (refused_many, failing, cancelled, withheld, clientless)
    serve({one.__name__: one for one in (decided, parallel, beside, own, *held, *ended, guide)})
