"""Agents of LangChain and LangGraph, whose models say what a test has written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, RetryPolicy
from pydantic import PrivateAttr

from taskbound.sdk.guard.guarded import guard
from taskbound.sdk.tool.langchain import GuardedTool, as_tool
from tests.frameworks.programs.speaking import There, serve
from tests.sdk.noted import fail, note, note_later, ran, spend


class Scripted(BaseChatModel):
    """Says these messages, one after the other, and keeps what tools it was offered."""

    script: list[AIMessage]
    _offered: list[dict[str, Any]] = PrivateAttr(default_factory=list)
    _at: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def offered(self) -> list[dict[str, Any]]:
        return self._offered

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **_: Any
    ) -> Runnable[Any, AIMessage]:
        self._offered = [convert_to_openai_tool(one) for one in tools]
        return self

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        said = self.script[self._at] if self._at < len(self.script) else AIMessage("done")
        self._at += 1
        return ChatResult(generations=[ChatGeneration(message=said)])


def calls(*some: tuple[str, dict[str, Any], str]) -> AIMessage:
    """A message that calls these tools: name, arguments, id."""
    return AIMessage(
        "", tool_calls=[{"name": a, "args": b, "id": c, "type": "tool_call"} for a, b, c in some]
    )


def answers(state: Any) -> list[list[str]]:
    """What the model reads of its calls."""
    return [[str(one.content), one.status] for one in state["messages"] if isinstance(one, ToolMessage)]


def go(text: str = "go") -> Any:
    return {"messages": [HumanMessage(text)]}


def thread(name: str) -> RunnableConfig:
    return {"configurable": {"thread_id": name}}


def decided(there: There) -> Any:
    model = Scripted(
        script=[
            calls(("notes__note", {"text": "hello", "tags": ["a", "a"]}, "1")),
            calls(("notes__note", {"text": "else"}, "2")),
            calls(("notes__spend", {"amount": "5"}, "3"), ("notes__spend", {"amount": 5.0}, "4")),
            calls(("notes__spend", {"amount": 5, "runtime": 1}, "5"), ("notes__spend", {}, "6")),
            calls(("notes__spend", {"amount": 5}, "7")),
        ]
    )
    agent = create_agent(model, [as_tool(note), as_tool(spend)])
    with there.client():
        found = agent.invoke(go())
    return {"answers": answers(found), "ran": ran, "offered": model.offered}


async def parallel(there: There) -> Any:
    script = [calls(*(("notes__note_later", {"text": f"t{n}"}, f"c{n}") for n in range(8)))]
    agent = create_agent(Scripted(script=script), [as_tool(note_later)])
    async with there.async_client():
        found = await agent.ainvoke(go())
    return {"answers": answers(found), "ran": sorted(ran)}


async def blocking_awaited(there: There) -> Any:
    """A function that blocks, in a graph that is awaited."""
    agent = create_agent(Scripted(script=[calls(("notes__note", {"text": "hello"}, "1"))]), [as_tool(note)])
    with there.client():
        return answers(await agent.ainvoke(go()))


def paused(there: There) -> Any:
    """Held: stops, is resumed before anybody answered, stops again, and runs once people have said yes."""
    model = Scripted(
        script=[calls(("notes__note", {"text": "hello"}, "1"), ("notes__spend", {"amount": 1}, "2"))]
    )
    agent = create_agent(model, [as_tool(note, pause=True), as_tool(spend)], checkpointer=InMemorySaver())
    with there.client():
        first = agent.invoke(go(), thread("a"))
        stops = [one.value for one in first["__interrupt__"]]
        again = agent.invoke(Command(resume="yes"), thread("a"))
        stops += [one.value for one in again["__interrupt__"]]
        early = list(ran)
        there.asks(stops)
        last = agent.invoke(Command(resume="never mind"), thread("a"))
    return {"stops": stops, "early": early, "answers": answers(last), "ran": ran}


def resumed_elsewhere(there: There) -> Any:
    """The graph is resumed by another client, as another process has it."""
    saver = InMemorySaver()
    script = [calls(("notes__note", {"text": "hello"}, "1"))]
    with there.client():
        create_agent(Scripted(script=script), [as_tool(note, pause=True)], checkpointer=saver).invoke(
            go(), thread("a")
        )
    there.asks([])
    with there.client():
        found = create_agent(Scripted(script=[]), [as_tool(note, pause=True)], checkpointer=saver).invoke(
            Command(resume=True), thread("a")
        )
    return {"answers": answers(found), "ran": ran}


def told(there: There) -> Any:
    """Held, and nothing stops: the model is told, and calls again once people have answered."""
    script = [
        calls(("notes__note", {"text": "hello"}, "1")),
        calls(("notes__note", {"text": "hello"}, "2")),
        calls(("notes__note", {"text": "hello"}, "3")),
    ]
    model = Scripted(script=script)

    class Asking(Scripted):
        def _generate(self, messages: list[BaseMessage], *args: Any, **more: Any) -> ChatResult:
            if isinstance(messages[-1], ToolMessage) and messages[-1].tool_call_id == "2":
                there.asks(messages[-1].content)
            return super()._generate(messages, *args, **more)

    agent = create_agent(Asking(script=model.script), [as_tool(note)])
    with there.client():
        return {"answers": answers(agent.invoke(go())), "ran": ran}


def retried(there: There) -> Any:
    """A node that is run again by its policy: one of its tools ran, and the other raised."""
    graph = StateGraph(MessagesState)
    graph.add_node(
        "tools",
        ToolNode([as_tool(note), as_tool(fail)]),
        retry_policy=RetryPolicy(
            max_attempts=3, initial_interval=0.0, jitter=False, retry_on=ZeroDivisionError
        ),
    )
    graph.add_edge(START, "tools")
    message = calls(("notes__note", {"text": "hello"}, "1"), ("notes__fail", {"text": "x"}, "2"))
    raised = ""
    with there.client():
        try:
            graph.compile().invoke({"messages": [message]})
        except ZeroDivisionError as error:
            raised = type(error).__name__
    return {"raised": raised, "ran": [one for one in ran if one != "x"], "tries": ran.count("x")}


def refused_once(there: There) -> Any:
    """What a framework does by itself about a call that failed: nothing, about one that was refused."""
    found: list[list[str]] = []
    for number, handled in enumerate((True, False)):
        graph = StateGraph(MessagesState)
        graph.add_node(
            "tools",
            ToolNode([as_tool(note)], handle_tool_errors=handled),
            retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.0, retry_on=Exception),
        )
        graph.add_edge(START, "tools")
        with there.client():
            message = calls(("notes__note", {"text": "else"}, f"n{number}"))
            found += answers(graph.compile().invoke({"messages": [message]}))
    agent = create_agent(
        Scripted(script=[calls(("notes__note", {"text": "else"}, "m"))]),
        [as_tool(note)],
        middleware=[ToolRetryMiddleware(max_retries=3, initial_delay=0.0, jitter=False)],
    )
    with there.client():
        found += answers(agent.invoke(go()))
    return found


def direct(there: There) -> Any:
    """Without a graph, and without a client."""
    tool: GuardedTool = as_tool(note)
    found: list[str] = []
    with there.client():
        found.append(tool.invoke({"text": "hello"}))
        found.append(tool.invoke({"text": "hello"}))
    try:
        tool.invoke({"text": "hello"})
    except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
        found.append(type(error).__name__)
    try:
        as_tool(note_later).invoke({"text": "hello"})
    except NotImplementedError as error:
        found.append(str(error))
    return found


async def cancelled(there: There) -> Any:
    """The run is cancelled while its function runs."""
    began = asyncio.Event()

    @guard(server="notes", tool="note_later", effect="write")
    async def wait(text: str) -> str:
        """Write a note down, by and by."""
        began.set()
        await asyncio.Event().wait()
        return text

    agent = create_agent(Scripted(script=[calls(("notes__note_later", {"text": "t"}, "1"))]), [as_tool(wait)])
    async with there.async_client():
        running = asyncio.ensure_future(agent.ainvoke(go()))
        await began.wait()
        running.cancel()
        found = await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(there.asks, "cancelled")
    return [type(one).__name__ for one in found]


def guide(there: There) -> Any:
    said = [calls(("notes__note", {"text": "hello"}, "1"))]
    return there.follows(model=Scripted(script=said))


if __name__ == "__main__":
    serve(
        {
            one.__name__: one
            for one in (
                decided,
                parallel,
                blocking_awaited,
                paused,
                resumed_elsewhere,
                told,
                retried,
                refused_once,
                direct,
                cancelled,
                guide,
            )
        }
    )
