"""Waits for one MCP task and reports its state as progress.

1. Polling a task has no new effect, so a failed poll is repeated, a bounded number of times. A task that is
   unknown, cancelled, endless or described against MCP makes its call *unknown*.
2. The server sets the poll interval within bounds that grow with time. Nothing is polled while reading is
   paused.
3. A legacy task's questions arrive in the exchange that requests its result. A modern task's are returned
   with a state of ours; none is asked twice. Without a client that can answer, the call is unknown.
4. Task names never leave this module.

Parsing: 1. Only tasks as MCP defines them count; declared retention is ignored. 2. A task's result loses its
task reference in `_meta` and is otherwise unchanged; it can't be a task itself. 3. A 2025-11-25 task can fail
by status alone.

Progress (`ProgressReporter`): 1. New status texts are progress if it was requested, unless they contain the
task's name. 2. Progress numbers never decrease; a text counts one more than the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import field
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.adapters.upstream.mcp.errors import ServerLostError
from taskbound.adapters.upstream.mcp.handshake import params_for
from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.definition import encoded
from taskbound.ports.upstream import Answered, Errored, NoAnswer, errored
from taskbound.wire.mcp.message import is_modern, text
from taskbound.wire.mcp.task import RELATED_KEY, BadMcpTaskError, McpTask, TaskStatus, parse_task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.adapters.upstream.mcp.session import McpSession
    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import Logged, Told, UpstreamAnswer


_INTERNAL_ERROR: Final = -32603
_NOBODY: Final = ""
_Raws = dict[str, msgspec.Raw]


def is_task(value: Mapping[str, JsonValue], *, modern: bool) -> bool:
    if modern:
        return value.get("resultType") == "task"
    task = value.get("task")
    return isinstance(task, dict) and "taskId" in task


def made_by(value: Mapping[str, JsonValue], *, modern: bool) -> McpTask | NoAnswer:
    task = value if modern else value["task"]
    return _read(task if isinstance(task, dict) else {}, modern=modern)


def said_by(value: Mapping[str, JsonValue], name: str, *, modern: bool) -> McpTask | NoAnswer:
    said = _read(value, modern=modern)
    if isinstance(said, McpTask) and said.name != name:
        return NoAnswer("other-task", "the server was asked about one task, and answers about another")
    return said


def _read(value: Mapping[str, JsonValue], *, modern: bool) -> McpTask | NoAnswer:
    try:
        return parse_task(value, modern=modern)
    except BadMcpTaskError as error:
        return _bad(error.message)


def _bad(words: str) -> NoAnswer:
    return NoAnswer("bad-task", f"what the server says of its task is not what MCP says: {words}")


def brought_by(found: Answered, status: TaskStatus) -> Answered | Errored | NoAnswer:
    """Returns a finished modern task's result, or why it is invalid."""
    done = status is TaskStatus.COMPLETED
    member = "result" if done else "error"
    value = found.value.get(member)
    if not isinstance(value, dict):
        return _bad(f"one that is `{status.value}` has `{member}`")
    raw = bytes(msgspec.json.decode(found.raw, type=_Raws)[member])
    if done:
        return plain(Answered(raw, value))
    code, words = value.get("code"), value.get("message")
    if type(code) is not int or not isinstance(words, str):
        return _bad("an error has a code and a message")
    return Errored(raw, code, words)


def plain(found: Answered) -> Answered | NoAnswer:
    if is_task(found.value, modern=False) or found.value.get("resultType", "complete") != "complete":
        return _bad("its result is that of a call")
    meta = found.value.get("_meta")
    if not isinstance(meta, dict) or RELATED_KEY not in meta:
        return found
    raws = msgspec.json.decode(found.raw, type=_Raws)
    metas = msgspec.json.decode(raws.pop("_meta"), type=_Raws)
    del metas[RELATED_KEY]
    value = {key: one for key, one in found.value.items() if key != "_meta"}
    if metas:
        raws = {"_meta": msgspec.Raw(_object(metas)), **raws}
        value |= {"_meta": {key: one for key, one in meta.items() if key != RELATED_KEY}}
    return Answered(_object(raws), value)


def failed(found: Answered, words: str) -> UpstreamAnswer:
    value = found.value
    if value.get("isError") is True:
        return found
    if "isError" in value:
        return _bad("one that failed has no result that says that it did not")
    if "content" in value:
        return Answered(b'{"isError":true,%b' % found.raw.lstrip()[1:], value | {"isError": True})
    return errored(_INTERNAL_ERROR, words or "the task failed")


def _object(members: Mapping[str, msgspec.Raw]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (text(key), bytes(one)) for key, one in members.items())


def asked_by(found: Answered) -> dict[str, bytes] | NoAnswer:
    """Returns a modern task's questions by key, bytes unchanged."""
    if not isinstance(found.value.get("inputRequests"), dict):
        return _bad("one that is `input_required` has `inputRequests`")
    inside = msgspec.json.decode(found.raw, type=_Raws)
    asked = msgspec.json.decode(inside["inputRequests"], type=_Raws)
    return {key: bytes(one) for key, one in asked.items()}


def related_in(params: Mapping[str, JsonValue]) -> str | None:
    """Returns the task that a legacy message names, or None."""
    meta = params.get("_meta")
    if not isinstance(meta, dict) or RELATED_KEY not in meta:
        return None
    related = meta[RELATED_KEY]
    name = related.get("taskId") if isinstance(related, dict) else None
    return name if isinstance(name, str) else _NOBODY


def of_task(raw: bytes, name: str) -> bytes:
    meta = b'{"_meta":{%b:{"taskId":%b}}' % (text(RELATED_KEY), text(name))
    return meta + (b"}" if raw == b"{}" else b"," + raw[1:])


_FRUITLESS: Final = 5
"""Questions in a row that may fail (rule 1)."""
_GONE: Final = frozenset({-32021, -32601, -32602})
"""Errors by which a server doesn't know a task, whenever it is asked."""
_CHANCE: Final = 32
"""Bytes of chance in a state of ours."""
_EASE: Final = 0.005
"""Of the time that a task has taken, so much passes between two questions at least (rule 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Time limits in seconds."""

    least: float = 0.1
    """Between two questions; also how soon a task that was cancelled is asked about."""
    usual: float = 1.0
    """The same, where the server says nothing."""
    most: float = 30.0
    """Between two questions: so late it is noticed that a task is lost."""
    answer: float = 30.0
    """For the answer to one."""
    whole: float = 3_600.0
    """For one task, but for the time in which a client is asked something."""
    leave: float = 2.0
    """For a server to hear that a task is cancelled."""

    def pause(self, task: McpTask, taken: float) -> float:
        """Returns the pause before the next poll, `taken` seconds after the first (rule 2)."""
        wanted = self.usual if task.interval is None else task.interval / 1000
        return min(max(wanted, self.least, taken * _EASE), self.most)


@dataclass(slots=True, kw_only=True, eq=False)
class Work:
    """A call that may be a task, until its final answer."""

    answer: Callable[[UpstreamAnswer], None]
    offers: bytes
    told: ProgressReporter
    logged: Logged | None
    can_ask: bool
    """Whether whoever calls can be asked anything."""
    left: float
    """Seconds that it may still take."""
    goes_on: Callable[[], None] | None = None
    """Called once there is a task."""
    number: int = 0
    name: str = ""
    """The server's name of the task; empty before there is one."""
    state: bytes = b""
    """Ours, while its client is asked something."""
    known: frozenset[str] = frozenset()
    """Keys of what was asked."""
    is_unsure: bool = False
    """Whether nobody knows that the server got the answers."""
    last: TaskStatus = TaskStatus.WORKING
    is_cancelled: bool = False
    is_left: bool = False
    """Whether nobody waits for it any more."""
    is_over: bool = False
    lost: UpstreamAnswer | None = None
    """Why the server is not there any more, where that came while the client was asked."""
    nudge: asyncio.Event = field(default_factory=asyncio.Event)
    following: asyncio.Task[None] | None = None


class Waiter:
    """Polls one server's tasks."""

    def __init__(self, session: McpSession, era: str, bounds: Bounds) -> None:
        self.flowing = asyncio.Event()
        """Whether anything is read of the server (rule 2)."""
        self.flowing.set()
        self._session = session
        self._era = era
        self._modern = is_modern(era)
        self._bounds = bounds

    async def ask(
        self, method: str, name: str, *, offers: bytes, of: int, patience: float, members: bytes = b""
    ) -> Answered | Errored:
        params = params_for(self._era, b'"taskId":%b%b' % (text(name), members), offers=offers)
        headers = (("Mcp-Name", encoded(name)),) if self._modern else ()
        return await self._session.ask(method, params, patience=patience, headers=headers, of=of)

    async def _ask(
        self, work: Work, method: str, *, patience: float, members: bytes = b""
    ) -> Answered | Errored:
        return await self.ask(
            method, work.name, offers=work.offers, of=work.number, patience=patience, members=members
        )

    async def told(self, work: Work, answers: bytes) -> UpstreamAnswer:
        """Sends answers to a task's questions, and continues waiting."""
        members = b',"inputResponses":%b' % (answers or b"{}")
        try:
            found = await self._ask(work, "tasks/update", patience=self._bounds.answer, members=members)
        except ServerLostError:
            work.is_unsure = True
        else:
            work.is_unsure = isinstance(found, Errored)
        return await self.waited(work, 0.0)

    async def begun(self, work: Work, task: McpTask) -> UpstreamAnswer:
        work.told.say(task.words, work.name)
        is_working = task.status is TaskStatus.WORKING
        return await self.waited(work, self._bounds.pause(task, 0.0) if is_working else 0.0)

    async def waited(self, work: Work, pause: float) -> UpstreamAnswer:
        """Returns the task's outcome, polling after `pause` seconds; its questions are `is_working`."""
        loop = asyncio.get_running_loop()
        began, failed = loop.time(), 0
        while True:
            await self._pause(work, pause)
            await self.flowing.wait()
            found = await self._polled(work)
            if found is None and not self.flowing.is_set():
                continue  # 2
            if isinstance(found, NoAnswer):
                return found
            pause, is_told = self._bounds.usual, False
            if found is not None:
                task, answer = found
                if work.last.is_terminal and task.status is not work.last:
                    return NoAnswer("other-task", "a task of the server's went on after its end")
                work.last = task.status
                work.told.say(task.words, work.name)
                done = await self._looked(work, task, answer)
                if done is not None:
                    return done
                pause = self._bounds.pause(task, loop.time() - began)
                is_told = self._modern or task.status is TaskStatus.WORKING
            failed = 0 if is_told else failed + 1
            if failed >= _FRUITLESS:
                return NoAnswer(
                    "lost-task", f"the server did not tell of its task {_FRUITLESS} times in a row"
                )

    async def _pause(self, work: Work, seconds: float) -> None:
        work.nudge.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self._bounds.least, seconds) if work.is_cancelled else seconds):
                await work.nudge.wait()

    async def _polled(self, work: Work) -> tuple[McpTask, Answered] | NoAnswer | None:
        try:
            found = await self._ask(work, "tasks/get", patience=self._bounds.answer)
        except ServerLostError:
            return None
        if isinstance(found, Errored):
            if found.code not in _GONE:
                return None
            return NoAnswer("lost-task", "the server does not know its task any more")
        said = said_by(found.value, work.name, modern=self._modern)
        return (said, found) if isinstance(said, McpTask) else said

    async def _looked(self, work: Work, task: McpTask, found: Answered) -> UpstreamAnswer | None:
        match task.status:
            case TaskStatus.WORKING:
                return None
            case TaskStatus.CANCELLED:
                return NoAnswer("cancelled-task", "the server says that its task was cancelled")
            case TaskStatus.INPUT_REQUIRED if self._modern:
                return self._asks(work, found)
            case _ if self._modern:
                return brought_by(found, task.status)
            case _:
                return await self._result(work, task)

    async def _result(self, work: Work, task: McpTask) -> UpstreamAnswer | None:
        try:
            found = await self._ask(work, "tasks/result", patience=self._bounds.whole)
        except ServerLostError:
            return None
        if isinstance(found, Errored):
            return found if task.status is TaskStatus.FAILED else None
        brought = plain(found)
        if task.status is not TaskStatus.FAILED or isinstance(brought, NoAnswer):
            return brought
        return failed(brought, "" if work.name in task.words else task.words)

    def _asks(self, work: Work, found: Answered) -> UpstreamAnswer | None:
        asked = asked_by(found)
        if isinstance(asked, NoAnswer):
            return asked
        fresh = {key: raw for key, raw in asked.items() if key not in work.known}
        if not fresh:
            if work.is_unsure:
                return NoAnswer("lost-answers", "whether the server got the answers is unknown")
            return None
        if work.is_cancelled:
            return None
        if not work.can_ask:
            return NoAnswer("unasked-question", "the server's task asks a question, and no client can answer")
        work.known |= fresh.keys()
        work.state = canonical(secrets.token_urlsafe(_CHANCE))
        inside = b",".join(b"%b:%b" % (text(key), raw) for key, raw in fresh.items())
        parts = (inside, work.state)
        raw = b'{"inputRequests":{%b},"requestState":%b,"resultType":"input_required"}' % parts
        return Answered(raw, msgspec.json.decode(raw), is_working=True)


class ProgressReporter:
    """Reports one call's progress; used in the loop."""

    def __init__(self, told: Told | None) -> None:
        self.told = told
        self._words = ""
        self._more = 0
        self._last: int | float = 0

    def heard(self, params: Mapping[str, JsonValue]) -> None:
        if self.told is None:
            return
        found = dict(params)
        for member in ("progress", "total"):
            value = found.get(member)
            if self._more and isinstance(value, int | float) and not isinstance(value, bool):
                found[member] = value + self._more  # 2
        progress = found.get("progress")
        if isinstance(progress, int | float):
            self._last = max(self._last, progress)
        self.told(found)

    def say(self, words: str, name: str) -> None:
        if self.told is None or words in {"", self._words} or name in words:
            return  # 1
        self._words = words
        self._more += 1
        self._last += 1
        self.told({"message": words, "progress": self._last})
