"""The methods `tasks/…` of both MCP revisions, by which clients poll their calls.

For each named errand the daemon first confirms that its task is the connection's, runs, and covers the call
(`TaskBinding.confirm`), and again after a wait. The gateway's own refusals contain nothing of a server, so
for a call that was never sent only the task is confirmed. A cancel takes effect before the daemon is asked,
because it gives nothing out. A client of 2026-07-28 that did not declare the extension gets one error for
every name. Results of 2025-11-25 name their errand in `_meta`; every other byte is the call's. The end of
the task is reported first.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.task import TaskEndedError
from taskbound.surfaces.gateway.asking import BadCursorError
from taskbound.surfaces.gateway.call import InterruptReason
from taskbound.surfaces.gateway.errors import (
    BusyError,
    EndedErrandError,
    MissingCapabilityError,
    UncoveredErrandError,
    UnknownErrandError,
    UnknownMethodError,
)
from taskbound.surfaces.gateway.outcomes import interrupted
from taskbound.wire.connection import Bind, Bound
from taskbound.wire.mcp.message import error_line, result_line
from taskbound.wire.mcp.task import (
    TASKS_EXTENSION,
    BadParamsError,
    TaskStatus,
    declares_tasks,
    parse_task_name,
    task_members,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.calls import Calls
    from taskbound.surfaces.gateway.errands.kept import DeferredCall, DeferredCalls
    from taskbound.surfaces.gateway.link import Link
    from taskbound.surfaces.gateway.standing import TaskBinding
    from taskbound.wire.mcp.message import Id, Request


MAX_WAITING: Final = 64
"""Requests of one connection that wait for results."""
MAX_ASKED: Final = 64
"""Requests of one connection that the daemon is asked about at once."""
PAGE: Final = 50
"""Errands of one page of a list."""
_MOST_CURSORS: Final = 8
_ACK: Final = b'{"resultType":"complete"}'
_OF_MODERN: Final = frozenset({"tasks/cancel", "tasks/get", "tasks/update"})


def require_declared(capabilities: Mapping[str, JsonValue]) -> None:
    """Raises MissingCapabilityError unless a client of 2026-07-28 declared the extension."""
    if not declares_tasks(capabilities):
        raise MissingCapabilityError(
            f"the request needs the extension `{TASKS_EXTENSION}`",
            required={"extensions": {TASKS_EXTENSION: {}}},
        )


class DeferredCallRequests:
    """Answers these requests for one connection; used in the event loop."""

    def __init__(self, calls: Calls, standing: TaskBinding, link: Link) -> None:
        self._calls = calls
        self._errands: DeferredCalls = calls.errands
        self._standing = standing
        self._link = link
        self._waiting: dict[Id, asyncio.Event] = {}
        """Who waits for a result, and what says that it does no more."""
        self._asking = 0
        self._cursors: dict[str, list[str]] = {}
        """The names that are left of lists."""

    def require(self, method: str, *, modern: bool, tasks: bool, offers: Mapping[str, JsonValue]) -> None:
        """Checks that this client may use the method; `tasks`: a legacy client was offered tasks."""
        known = method in _OF_MODERN if modern else tasks and method != "tasks/update"
        if not known:
            raise UnknownMethodError(f"there is no `{method}` for this client")
        if modern:
            require_declared(offers)

    async def line(self, message: Request, *, modern: bool) -> bytes:
        """Returns the answering line, or b"" if no answer is due; raises TaskboundError."""
        if self._standing.untold:
            raise TaskEndedError(self._standing.untold)
        raw, params = message.id_raw, message.params
        if message.method == "tasks/list":
            return result_line(raw, await self._list(params))
        more = ("inputResponses",) if message.method == "tasks/update" else ()
        if not params.keys() <= {"_meta", "taskId", *more}:
            raise BadParamsError(
                f"`{message.method}` takes {', '.join(('`taskId`', *more))}, and nothing else"
            )
        errand = self._errands.find(parse_task_name(params.get("taskId")), modern=modern)
        self._calls.came(errand.call, message.id)
        match message.method:
            case "tasks/result":
                return await self._result(message, errand)
            case "tasks/cancel":
                return result_line(raw, await self._cancel(errand))
            case "tasks/update":
                return result_line(raw, await self._update(errand, params.get("inputResponses")))
            case _:
                await self._confirm(errand)
                return result_line(raw, self._shown(errand))

    def left(self, request: Id) -> None:
        waiting = self._waiting.get(request)
        if waiting is not None:
            waiting.set()

    # --- one errand ------------------------------------------------------------------------------

    async def _confirm(self, errand: DeferredCall) -> None:
        """Asks the daemon whether the errand's content may be given out."""
        if self._asking >= MAX_ASKED:
            raise BusyError(f"{MAX_ASKED} requests about MCP tasks wait for the daemon")
        self._asking += 1
        try:
            await self._ask(errand)
        finally:
            self._asking -= 1
        self._errands.find(errand.name, modern=errand.modern)  # it may have gone meanwhile

    async def _ask(self, errand: DeferredCall) -> None:
        call = errand.call
        if errand.is_server_s:
            await self._standing.confirm(errand.task or call.task, call.tool, call.arguments)
        else:
            bound = await self._link.ask(Bind(), Bound)
            if errand.task not in {"", bound.task}:
                raise UnknownErrandError("there is no such MCP task")

    def _shown(self, errand: DeferredCall) -> bytes:
        members = task_members(errand.shown, modern=errand.modern)
        if not errand.modern:
            return canonical(members)
        head = canonical(members | {"resultType": "complete"})[:-1]
        match errand.status:
            case TaskStatus.INPUT_REQUIRED:
                return b'%b,"inputRequests":%b}' % (head, self._calls.questions.parked.asked(errand.call))
            case TaskStatus.COMPLETED:
                errand.given = True
                return b'%b,"result":%b}' % (head, errand.result)
            case TaskStatus.FAILED:
                errand.given = True
                return b'%b,"error":%b}' % (head, errand.error)
            case _:
                return head + b"}"

    async def _update(self, errand: DeferredCall, answers: JsonValue) -> bytes:
        if not isinstance(answers, dict):
            raise BadParamsError("`inputResponses` is no object")
        await self._confirm(errand)
        self._calls.questions.parked.take_answers(errand.call, answers)
        return _ACK

    async def _cancel(self, errand: DeferredCall) -> bytes:
        over = errand.status.is_terminal
        if not over:
            self._errands.cancel(errand)
        await self._confirm(errand)
        if errand.modern:
            return _ACK
        if over:
            raise EndedErrandError("the MCP task has ended")
        return canonical(task_members(errand.shown, modern=False))

    async def _result(self, message: Request, errand: DeferredCall) -> bytes:
        if not errand.over.is_set() and len(self._waiting) >= MAX_WAITING:
            raise BusyError(f"{MAX_WAITING} results are waited for")
        left = self._waiting[message.id] = asyncio.Event()
        try:
            await self._confirm(errand)
            if not errand.over.is_set() and not left.is_set():
                await self._until_over(message.id, errand, left)
                if errand.is_server_s and not left.is_set():
                    await self._confirm(errand)  # its outcome was recorded a while ago, perhaps
        finally:
            del self._waiting[message.id]
        if left.is_set():
            return b""
        if errand.status is TaskStatus.CANCELLED:
            return result_line(message.id_raw, _related(interrupted(errand.call), errand))
        if errand.call.cause is not InterruptReason.ENDED:
            self._errands.find(errand.name, modern=False)
        errand.given = True
        if errand.error:
            return error_line(message.id_raw, errand.error)
        return result_line(message.id_raw, _related(errand.result, errand))

    async def _until_over(self, request: Id, errand: DeferredCall, left: asyncio.Event) -> None:
        errand.waiting.append(request)
        self._calls.questions.posed.reach(errand.call)
        waits = [asyncio.ensure_future(one.wait()) for one in (left, errand.over)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            errand.waiting.remove(request)

    # --- lists -----------------------------------------------------------------------------------

    async def _list(self, params: Mapping[str, JsonValue]) -> bytes:
        if not params.keys() <= {"_meta", "cursor"}:
            raise BadParamsError("`tasks/list` takes `cursor`, and nothing else")
        names = [one.name for one in self._errands.of_legacy()]
        if "cursor" in params:
            cursor = params["cursor"]
            left = self._cursors.pop(cursor, None) if isinstance(cursor, str) else None
            if left is None:
                raise BadCursorError("the cursor was not given out for this list")
            there = frozenset(names)
            names = [name for name in left if name in there]
        page, rest = names[:PAGE], names[PAGE:]
        shown: list[JsonValue] = [one for name in page if (one := await self._listed(name)) is not None]
        found: dict[str, JsonValue] = {"tasks": shown}
        if rest:
            while len(self._cursors) >= _MOST_CURSORS:
                del self._cursors[next(iter(self._cursors))]
            found["nextCursor"] = cursor = secrets.token_urlsafe(16)
            self._cursors[cursor] = rest
        return canonical(found)

    async def _listed(self, name: str) -> JsonValue:
        try:
            errand = self._errands.find(name, modern=False)
            await self._confirm(errand)
        except (UncoveredErrandError, UnknownErrandError):
            return None
        return dict(task_members(errand.shown, modern=False))


def _related(result: bytes, errand: DeferredCall) -> bytes:
    members = msgspec.json.decode(result, type=dict[str, msgspec.Raw])
    meta: dict[str, msgspec.Raw] = {}
    if "_meta" in members and isinstance(msgspec.json.decode(members["_meta"]), dict):
        meta = msgspec.json.decode(members["_meta"], type=dict[str, msgspec.Raw])
    meta |= {name: msgspec.Raw(canonical(said)) for name, said in errand.related.items()}
    return _write(members | {"_meta": msgspec.Raw(_write(meta))})


def _write(members: Mapping[str, msgspec.Raw]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (canonical(name), bytes(raw)) for name, raw in members.items())
