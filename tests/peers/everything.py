"""An MCP server, made with the `mcp` package, of all that the conformance suite asks for.

Run it: ``python everything.py [--stdio] [--prefix PREFIX] [--without TOOL]``

What it has stands in `everything.json`, one entry a line; this file is how it behaves. Over HTTP it binds a
free port of 127.0.0.1 and writes its URL as the first line of its output. Both eras are spoken on both
transports. A tool that asks (`asks`, round by round) sends a legacy client requests while the call is open,
and answers a modern one with `input_required`; its state is sealed. Words that begin with `$` in a question,
a message or an answer stand for arguments. Whoever did not declare a capability is not asked. The tasks are
those of the extension, which the package leaves to its users: a tool says whether it may or must be one.

``--prefix`` puts something before the names of its tools and prompts, as a gateway in front of it would;
``--without`` leaves a tool out, so that a test can see that the suite notices.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import secrets
import socket
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from mcp import types
from mcp.server.lowlevel.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from pydantic import BaseModel, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.context import ServerRequestContext
    from mcp.server.streamable_http import EventCallback

Json = dict[str, Any]
MODERN: Final = "2026-07-28"
RETRY: Final = 100
"""Milliseconds after which a client may come back for what its stream did not bring."""
QUESTIONS: Final[TypeAdapter[types.InputRequest]] = TypeAdapter(types.InputRequest)
NEEDS: Final = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
ANSWERS: Final[dict[str, type[BaseModel]]] = {
    "elicitation/create": types.ElicitResult,
    "sampling/createMessage": types.CreateMessageResult,
    "roots/list": types.ListRootsResult,
}
TASKS: Final = "io.modelcontextprotocol/tasks"
ACK: Final = {"resultType": "complete"}


class Events(EventStore):
    """What was said on each stream, for clients that come back."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said: list[tuple[str, types.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        """Keep one event; its number is its name."""
        self._said.append((stream_id, message))
        return str(len(self._said))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Say again what came on the same stream after this event."""
        if not last_event_id.isdecimal() or not 0 < (last := int(last_event_id)) <= len(self._said):
            return None
        stream = self._said[last - 1][0]
        for number, (place, message) in enumerate(self._said[last:], start=last + 1):
            if place == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def filled(value: Any, arguments: Mapping[str, Any]) -> Any:
    """The value with each `$name` replaced by that argument."""
    match value:
        case str():
            return Template(value).safe_substitute(arguments)
        case list():
            return [filled(one, arguments) for one in value]
        case dict():
            return {key: filled(one, arguments) for key, one in value.items()}
        case _:
            return value


class TaskParams(types.RequestParams):
    """What a request about a task says."""

    task_id: str
    input_responses: Json | None = None


@dataclass(kw_only=True)
class Chore:
    """One task of the extension, while it is worked on and afterwards."""

    name: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    made: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    status: str = "working"
    ended: Json = field(default_factory=dict)
    """`result` or `error`, once it has one."""
    wanted: dict[str, types.InputRequest] = field(default_factory=dict)
    given: Json = field(default_factory=dict)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is nothing left to wait for: it was cancelled, or has all that it asked for."""

    def shown(self) -> Json:
        """The task without what it waits for and what it brought."""
        status = "input_required" if self.status == "working" and self.wanted else self.status
        times = {"createdAt": self.made, "lastUpdatedAt": datetime.now(UTC).isoformat()}
        return {"taskId": self.name, "status": status, **times, "ttlMs": 600_000, "pollIntervalMs": 100}

    async def work(self, does: Json, arguments: Mapping[str, Any], gathered: Json) -> None:
        """Take the time, ask, and end as the tool says."""
        seconds = None if self.wanted else float(arguments.get("seconds", 0))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.told.wait(), seconds)
        if self.status == "cancelled":
            return
        answers = {**gathered, **self.given}
        self.ended = (
            {"error": does["error"]} if "error" in does else {"result": _result(does, arguments, answers)}
        )
        self.status = "failed" if "error" in does else "completed"


class Everything:
    """The handlers, over what the file says."""

    def __init__(self, has: Json) -> None:
        """Serve what `has` lists, without its late tool and prompt."""
        self.has = has
        self.late = {"tools": False, "prompts": False}
        self.bus = InMemorySubscriptionBus()
        self.chores: dict[str, Chore] = {}
        self.working: set[asyncio.Task[None]] = set()

    def _listed(self, word: str) -> list[Json]:
        return [one for one in self.has[word] if self.late[word] or not _does(one).get("late")]

    # --- tools ----------------------------------------------------------------------------------------------

    async def list_tools(self, _ctx: Any, _params: Any) -> types.ListToolsResult:
        """Every tool, always in the order of the file."""
        listed = [{key: one[key] for key in one if key != "does"} for one in self._listed("tools")]
        return types.ListToolsResult.model_validate({"tools": listed})

    async def call_tool(
        self, ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> Json | types.InputRequiredResult:
        """What the tool does, in the order in which this method names it."""
        does = _does(_named(self._listed("tools"), params.name))
        arguments = params.arguments or {}
        if "needs" in does and not _declares(ctx, *does["needs"]):
            raise _undeclared(does["needs"])
        await self._speak(ctx, does)
        if word := does.get("changes"):
            self.late[word] = not self.late[word]
            await self._changed(ctx, word)
        if does.get("closes") and ctx.close_sse_stream is not None:
            await ctx.close_sse_stream()
        answers: Json = {}
        if "gathers" in does or ("asks" in does and "task" not in does):
            asked = await self._ask(ctx, does, params, arguments)
            if isinstance(asked, types.InputRequiredResult):
                return asked
            answers = asked
        if "task" not in does:
            return _result(does, arguments, answers)
        return await self._start(ctx, does, arguments, answers)

    async def _changed(self, ctx: ServerRequestContext[Any, Any], word: str) -> None:
        """Say that a list is another, as the era has it."""
        if ctx.protocol_version == MODERN:
            await self.bus.publish(ToolsListChanged() if word == "tools" else PromptsListChanged())
        elif word == "tools":
            await ctx.session.send_tool_list_changed()
        else:
            await ctx.session.send_prompt_list_changed()

    # --- tasks ----------------------------------------------------------------------------------------------

    async def _start(
        self, ctx: ServerRequestContext[Any, Any], does: Json, arguments: Mapping[str, Any], gathered: Json
    ) -> Json:
        """A task, or its result for a client that knows none, if the tool can be called without."""
        chore = Chore()
        if not _knows_tasks(ctx):
            if does["task"] == "required":
                raise _undeclared({"extensions": {TASKS: {}}})
            await chore.work(does, arguments, gathered)
            return dict(chore.ended["result"])
        for asked in does.get("asks", ()):
            chore.wanted |= _askable(ctx, filled(asked, arguments))
        self.chores[chore.name] = chore
        self.working.add(working := asyncio.create_task(chore.work(does, arguments, gathered)))
        working.add_done_callback(self.working.discard)
        return {"resultType": "task", **chore.shown()}

    def _chore(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Chore:
        """The task that is meant, by body and header alike, for a client that knows tasks."""
        if ctx.protocol_version != MODERN:
            raise MCPError(types.METHOD_NOT_FOUND, "Method not found")
        if not _knows_tasks(ctx):
            raise _undeclared({"extensions": {TASKS: {}}})
        if ctx.request is not None and ctx.request.headers.get("mcp-name") != params.task_id:
            raise MCPError(types.HEADER_MISMATCH, "The header names another task")
        if params.task_id not in self.chores:
            raise MCPError(types.INVALID_PARAMS, "There is no such task", {"taskId": params.task_id})
        return self.chores[params.task_id]

    async def get_task(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Json:
        """The task with what it waits for, or what it brought."""
        chore = self._chore(ctx, params)
        wanted = {key: _plain(one) for key, one in chore.wanted.items()}
        asks = {"inputRequests": wanted} if wanted and chore.status == "working" else {}
        return {**ACK, **chore.shown(), **asks, **chore.ended}

    async def update_task(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Json:
        """Take the answers to what is asked, and no others."""
        chore = self._chore(ctx, params)
        for key, answered in (params.input_responses or {}).items():
            if chore.wanted.pop(key, None) is not None:
                chore.given[key] = answered
                if not chore.wanted:
                    chore.told.set()
        return ACK

    async def cancel_task(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Json:
        """End it, if it has not ended."""
        chore = self._chore(ctx, params)
        if chore.status == "working":
            chore.status = "cancelled"
            chore.told.set()
        return ACK

    # --- while a call is open -------------------------------------------------------------------------------

    async def _speak(self, ctx: ServerRequestContext[Any, Any], does: Json) -> None:
        """The logs and the progress of a call, on its own stream."""
        for text in does.get("logs", ()):
            await ctx.session.send_log_message("info", text, related_request_id=ctx.request_id)
        token = (ctx.meta or {}).get("progress_token")
        for step in does.get("progress", ()):
            if token is None:
                break
            progress = types.ProgressNotificationParams(progress_token=token, progress=step, total=100)
            told = types.ProgressNotification(params=progress)
            await ctx.session.send_notification(told, related_request_id=ctx.request_id)

    async def _ask(
        self,
        ctx: ServerRequestContext[Any, Any],
        does: Json,
        params: types.InputResponseRequestParams,
        arguments: Mapping[str, Any],
    ) -> Json | types.InputRequiredResult:
        """The answers, or the question of the round that is due."""
        rounds = [
            _askable(ctx, filled(one, arguments)) for one in does["gathers" if "gathers" in does else "asks"]
        ]
        if ctx.protocol_version != MODERN:
            return {key: await _answer(ctx, one) for asked in rounds for key, one in asked.items()}
        due = int(params.request_state or 0)
        given = params.input_responses or {}
        known = params.request_state is not None or not does.get("state")
        if known and rounds[due].keys() <= given.keys():
            due += 1
            if due == len(rounds):
                return {key: _plain(one) for key, one in given.items() if key in rounds[-1]}
        state = str(due) if does.get("state") else None
        return types.InputRequiredResult(input_requests=rounds[due], request_state=state)

    # --- the rest -------------------------------------------------------------------------------------------

    async def list_prompts(self, _ctx: Any, _params: Any) -> types.ListPromptsResult:
        """Every prompt, always in the order of the file."""
        hidden = {"messages", "asks", "late"}
        listed = [{key: one[key] for key in one if key not in hidden} for one in self._listed("prompts")]
        return types.ListPromptsResult.model_validate({"prompts": listed})

    async def get_prompt(
        self, ctx: ServerRequestContext[Any, Any], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult | types.InputRequiredResult:
        """The prompt's messages with its arguments, after its questions."""
        prompt = _named(self._listed("prompts"), params.name)
        if "asks" in prompt:
            asked = await self._ask(ctx, prompt, params, params.arguments or {})
            if isinstance(asked, types.InputRequiredResult):
                return asked
        messages = filled(prompt["messages"], params.arguments or {})
        return types.GetPromptResult.model_validate({"messages": messages})

    async def list_resources(self, _ctx: Any, _params: Any) -> types.ListResourcesResult:
        """Every resource that has a name of its own."""
        hidden = {"text", "blob"}
        listed = [{key: one[key] for key in one if key not in hidden} for one in self.has["resources"]]
        return types.ListResourcesResult.model_validate({"resources": listed})

    async def list_templates(self, _ctx: Any, _params: Any) -> types.ListResourceTemplatesResult:
        """Every template."""
        listed = [{key: one[key] for key in one if key != "text"} for one in self.has["templates"]]
        return types.ListResourceTemplatesResult.model_validate({"resourceTemplates": listed})

    async def read_resource(
        self, ctx: ServerRequestContext[Any, Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """What stands under this name, by a template if by nothing else."""
        found = self._resource(str(params.uri))
        if found is None:
            code = types.INVALID_PARAMS if ctx.protocol_version == MODERN else -32002
            raise MCPError(code, "Resource not found", {"uri": str(params.uri)})
        shown = {key: found[key] for key in ("mimeType", "text", "blob") if key in found}
        return types.ReadResourceResult.model_validate({"contents": [{"uri": str(params.uri), **shown}]})

    def _resource(self, uri: str) -> Json | None:
        for one in self.has["resources"]:
            if one["uri"] == uri:
                return dict(one)
        for one in self.has["templates"]:
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(one["uriTemplate"]))
            if found := re.fullmatch(pattern, uri):
                return dict(filled(one, found.groupdict()))
        return None

    async def subscribe(self, _ctx: Any, params: Any) -> types.EmptyResult:
        """Take note; nothing that may be watched changes here."""
        if self._resource(str(params.uri)) is None:
            raise MCPError(-32002, "Resource not found", {"uri": str(params.uri)})
        return types.EmptyResult()

    async def complete(self, _ctx: Any, params: types.CompleteRequestParams) -> types.CompleteResult:
        """The known values that begin like what was typed."""
        name = getattr(params.ref, "name", "")
        known = self.has["completions"].get(name, {}).get(params.argument.name, [])
        values = [one for one in known if one.startswith(params.argument.value)]
        found = types.Completion(values=values, total=len(values), has_more=False)
        return types.CompleteResult(completion=found)

    async def set_level(self, _ctx: Any, _params: Any) -> types.EmptyResult:
        """Take the level; all that is logged here is of level `info`."""
        return types.EmptyResult()

    def server(self) -> Server[Any]:
        """The SDK's server with these handlers."""
        made: Server[Any] = Server(
            "everything",
            version="1",
            on_list_tools=self.list_tools,
            on_list_prompts=self.list_prompts,
            on_get_prompt=self.get_prompt,
            on_list_resources=self.list_resources,
            on_list_resource_templates=self.list_templates,
            on_read_resource=self.read_resource,
            on_subscribe_resource=self.subscribe,
            on_unsubscribe_resource=self.subscribe,
            on_completion=self.complete,
            on_subscriptions_listen=ListenHandler(self.bus),
        )
        # As an argument of the constructor it warns that 2026-07-28 has done away with it.
        made.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self.set_level)
        # The constructor's type of it knows no tasks.
        made.add_request_handler("tools/call", types.CallToolRequestParams, self.call_tool)
        made.extensions[TASKS] = {}
        made.add_request_handler("tasks/get", TaskParams, self.get_task)
        made.add_request_handler("tasks/update", TaskParams, self.update_task)
        made.add_request_handler("tasks/cancel", TaskParams, self.cancel_task)
        seal = RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience="everything")
        made.middleware.append(seal)
        return made


def _does(one: Json) -> Json:
    return dict(one.get("does", one))


def _result(does: Json, arguments: Mapping[str, Any], answers: Json) -> Json:
    """What a call brings: the tool's content, or the answers that it was given."""
    content = (
        filled(does["content"], arguments)
        if "content" in does
        else [{"type": "text", "text": json.dumps(answers, sort_keys=True)}]
    )
    result = {"content": content, "isError": does.get("isError", False)}
    return _plain(types.CallToolResult.model_validate(result))


def _knows_tasks(ctx: ServerRequestContext[Any, Any]) -> bool:
    declared = ctx.session.client_capabilities
    return ctx.protocol_version == MODERN and declared is not None and TASKS in (declared.extensions or {})


def _named(listed: list[Json], name: str) -> Json:
    for one in listed:
        if one["name"] == name:
            return one
    raise MCPError(types.INVALID_PARAMS, "Nothing here has this name", {"name": name})


def _declares(ctx: ServerRequestContext[Any, Any], *needed: str) -> bool:
    declared = ctx.session.client_capabilities
    return declared is not None and all(getattr(declared, one) is not None for one in needed)


def _undeclared(needed: Mapping[str, Any]) -> MCPError:
    message = "The client did not declare what this needs"
    return MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, message, {"requiredCapabilities": dict(needed)})


def _askable(ctx: ServerRequestContext[Any, Any], asked: Json) -> dict[str, types.InputRequest]:
    """Those of the questions that this client can answer; at least one, or the call is refused."""
    able = {key: one for key, one in asked.items() if _declares(ctx, NEEDS[one["method"]])}
    if not able:
        raise _undeclared({NEEDS[one["method"]]: {} for one in asked.values()})
    return {key: QUESTIONS.validate_python(one) for key, one in able.items()}


async def _answer(ctx: ServerRequestContext[Any, Any], question: types.InputRequest) -> Json:
    """A legacy client's answer to a request on the stream of the call."""
    related = ServerMessageMetadata(related_request_id=ctx.request_id)
    return _plain(await ctx.session.send_request(question, ANSWERS[question.method], metadata=related))


def _plain(answer: BaseModel) -> Json:
    return answer.model_dump(by_alias=True, mode="json", exclude_none=True)


async def over_http(server: Server[Any]) -> None:
    """Serve a free port of the loopback until a signal ends it."""
    app = server.streamable_http_app(event_store=Events(), retry_interval=RETRY)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        await uvicorn.Server(config).serve(sockets=[listening])


async def over_stdio(server: Server[Any]) -> None:
    """Serve standard input until it ends."""
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def main() -> None:
    """Serve what the command line says."""
    parser = argparse.ArgumentParser(description="all that the MCP conformance suite asks of a server")
    parser.add_argument("--stdio", action="store_true")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--without", default="")
    options = parser.parse_args()
    has = json.loads(Path(__file__).with_suffix(".json").read_bytes())
    has["tools"] = [one for one in has["tools"] if one["name"] != options.without]
    for one in [*has["tools"], *has["prompts"]]:
        one["name"] = options.prefix + one["name"]
    has["completions"] = {options.prefix + name: one for name, one in has["completions"].items()}
    server = Everything(has).server()
    asyncio.run(over_stdio(server) if options.stdio else over_http(server))


if __name__ == "__main__":
    main()
