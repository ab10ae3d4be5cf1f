"""The gateway: one client, one connection to the daemon, the servers of one task at a time.

1. Every line of the client is strictly read or refused with one JSON-RPC error, under its
   id when that is certain; nothing of a refused line goes any further.
2. Requests are those of the table below and no others; the method decides who answers.
3. Answers to what nobody asked and notifications that mean nothing here are dropped.
4. When the client is gone, every open call is interrupted and recorded, every server is
   ended, and then the process ends.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.tool import METHOD_NAMES, parse_tool_name
from taskbound.surfaces.gateway import answers
from taskbound.surfaces.gateway.asking import Asking
from taskbound.surfaces.gateway.binding import Servers
from taskbound.surfaces.gateway.call import Call, Cause
from taskbound.surfaces.gateway.calls import Calls, Desk
from taskbound.surfaces.gateway.catalog import LISTS, Catalog
from taskbound.surfaces.gateway.entries import Entries
from taskbound.surfaces.gateway.eras import discovered, initialized, requested_of, terms_of
from taskbound.surfaces.gateway.errors import (
    INTERNAL_ERROR,
    AlreadyInitializedError,
    BusyError,
    IdReusedError,
    NotAToolError,
    NotInitializedError,
    UnknownMethodError,
    data_of,
    rpc_code,
)
from taskbound.surfaces.gateway.framing import ClientPipes
from taskbound.surfaces.gateway.link import Connect, Link, Timings
from taskbound.surfaces.gateway.listing import Listing
from taskbound.surfaces.gateway.methods import ACTIONS, CALL, may_ask, needs_id
from taskbound.surfaces.gateway.reports import Reports
from taskbound.surfaces.gateway.standing import Standing
from taskbound.surfaces.gateway.wanted import read_call, read_wanted
from taskbound.wire.approval import HoldPush
from taskbound.wire.connection import Bind, Bound, StopPush, TaskPush
from taskbound.wire.mcp.errors import BadIdError, BadParamsError
from taskbound.wire.mcp.line import Refused
from taskbound.wire.mcp.message import Notice, Request, parse_message
from taskbound.wire.mcp.salvage import NOTHING, salvage
from taskbound.wire.mcp.write import NULL, failure_line, result_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import StartUpstream
    from taskbound.surfaces.gateway.eras import Terms
    from taskbound.surfaces.gateway.framing import Client
    from taskbound.wire.envelope import Push
    from taskbound.wire.mcp.line import Cut
    from taskbound.wire.mcp.message import Id, Message

__all__ = ["MAX_OPEN", "Gateway", "Plugs"]

_log = logging.getLogger(__name__)

MAX_OPEN: Final = 64
"""Calls of one connection that may be open at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugs:
    """What the gateway is given by wiring."""

    connect: Connect
    start: StartUpstream
    now: Callable[[], int]
    """The wall clock, µs since the epoch."""
    sweep: Callable[[], None] = lambda: None
    """Ends what servers left behind; called when none runs."""
    namespace: str = "default"
    timings: Timings = field(default_factory=Timings)


class Gateway:
    """Serves one client (`framing.ClientSide`, `link.LinkEvents`)."""

    def __init__(self, plugs: Plugs, client: Client | None = None) -> None:
        """Plug the parts together; `serve` begins.

        Args:
            plugs: What wiring gives.
            client: Another way to the client than two pipes; it reads messages itself, strictly, and sees to
                the handshake of each.
        """
        self._timings = plugs.timings
        self.pipes = ClientPipes(self)
        self._client: Client = self.pipes if client is None else client
        self._link = Link(plugs.connect, self, plugs.timings)
        self._listing = Listing(self._link, self._client)
        self._servers = Servers(
            plugs.start,
            self._link,
            namespace=plugs.namespace,
            differ=self._listing.changed,
            sweep=plugs.sweep,
        )
        self._standing = Standing(
            self._link, self._servers, bound=self._listing.bound, over=self._client.task_over
        )
        self._calls = Calls(
            Desk(
                link=self._link,
                servers=self._servers,
                timings=plugs.timings,
                now=plugs.now,
                tell=self._client.tell,
                bound=lambda: self._standing.bound,
                bind=self._standing.bind,
                repinned=self._standing.refresh,
            )
        )
        self._reports = Reports(
            self._link,
            hold=lambda: self._client.hold("reports"),
            release=lambda: self._client.release("reports"),
        )
        entries = Entries(self._servers)
        self._asking = Asking(self._link, self._standing, entries, self._calls, self._reports)
        self._catalog = Catalog(self._link, self._standing, entries)
        self._initialized = client is not None
        self._asked: set[Id] = set()
        self._work: set[asyncio.Task[None]] = set()
        self._gone: asyncio.Event = asyncio.Event()
        self._methods: dict[str, Callable[[Request], None]] = {
            "initialize": self._initialize,
            "ping": self._ping,
            "server/discover": self._discover,
            "subscriptions/listen": self._listen,
            CALL: self._call,
            "tools/list": self._list,
            **dict.fromkeys(LISTS, self._list_beside),
        }

    async def serve(self) -> None:
        """Serve until the client is gone, then end everything (rule 4)."""
        self._link.start()
        await self._gone.wait()
        self._calls.interrupt_all(Cause.LEFT)
        end = asyncio.get_running_loop().time() + self._timings.leave
        while pending := self._work | self._reports.waiting:
            left = end - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait(pending, timeout=max(0.0, left))
            if not done:
                break
        for task in self._work:
            task.cancel()
        await self._standing.close()
        await self._servers.end_all()
        await self._link.close()
        await self._client.close(patience=1.0)

    # --- the client ------------------------------------------------------------------------------

    def line(self, line: Cut) -> None:
        """One line of the client (rule 1)."""
        if isinstance(line, Refused):
            self._refuse_cut(line)
            return
        try:
            message = parse_message(line)
        except MalformedError as error:
            self._refuse_line(error, line)
            return
        self.take(message, line)

    def take(self, message: Message, line: bytes) -> None:
        """One message, with the line that it was."""
        match message:
            case Request():
                self._request(message, line)
            case Notice():
                self._notice(message, line)
            case _:
                _log.warning("the client answered what was never asked")  # 3

    def left(self, rest: Refused | None) -> None:
        """The client is gone (rule 4); half a message is never run."""
        if rest is not None:
            self._refuse_cut(rest)
        self._gone.set()

    def fell_behind(self) -> None:
        """The client does not read: nothing more is read from servers either."""
        self._servers.pause()

    def caught_up(self) -> None:
        """The client reads again."""
        self._servers.resume()

    def _refuse_cut(self, cut: Refused) -> None:
        known = salvage(cut.raw) if cut.raw else NOTHING
        self._answer_refusal(cut.error, known.id, known.id_raw)
        if may_ask(cut.error, known):
            self._reports.add(cut.error, cut.size, cut.sha256, tool=known.tool)

    def _refuse_line(self, error: MalformedError, line: bytes) -> None:
        known = salvage(line)
        self._answer_refusal(error, known.id, known.id_raw)
        self.refused(error, line)

    def refused(self, error: TaskboundError, line: bytes) -> None:
        """A line was refused before it was taken: report it if it asked for an action (rule 1)."""
        known = salvage(line)
        if may_ask(error, known):
            self._reports.line(error, line, tool=known.tool)

    def _answer_refusal(self, error: TaskboundError, request: Id | None, raw: bytes) -> None:
        """One JSON-RPC error; never under the id of a request that is open, which would end it."""
        certain = request is not None and not self._is_open(request)
        line = failure_line(raw if certain else NULL, rpc_code(error), error.message, data_of(error))
        self._client.answer(line, request)

    def _is_open(self, request: Id) -> bool:
        return request in self._calls.open or request in self._asked or request in self._listing.streams

    # --- requests --------------------------------------------------------------------------------

    def _request(self, message: Request, line: bytes) -> None:
        try:
            if self._is_open(message.id):
                raise IdReusedError("a request with this id is open")
            if message.method in METHOD_NAMES:
                self._ask(message, line)
                return
            method = self._methods.get(message.method)
            if method is None:
                raise UnknownMethodError("there is no such method here")
            method(message)
        except TaskboundError as error:
            self._answer_refusal(error, message.id, message.id_raw)
            if message.method in ACTIONS:
                self._reports.line(error, line, tool=salvage(line).tool)

    def _answer(self, message: Request, result: bytes) -> None:
        self._client.answer(result_line(message.id_raw, result), message.id)

    def _initialize(self, message: Request) -> None:
        if self._initialized:
            raise AlreadyInitializedError("`initialize` was sent before")
        version = requested_of(message.params)
        self._initialized = True
        self._declare(message, lambda found: initialized(version, found))

    def _modern(self, message: Request) -> bool:
        """Whether the request is a modern one; a legacy one needs the handshake."""
        modern = terms_of(message.params).modern
        if not modern and not self._initialized:
            raise NotInitializedError(f"`{message.method}` came before `initialize`")
        return modern

    def _ping(self, message: Request) -> None:
        if terms_of(message.params).modern:
            raise UnknownMethodError("there is no `ping` in this revision of MCP")
        self._answer(message, b"{}")

    def _discover(self, message: Request) -> None:
        if not terms_of(message.params).modern:
            raise BadParamsError("`server/discover` needs the modern `_meta`")
        self._declare(message, discovered)

    def _declare(self, message: Request, write: Callable[[dict[str, JsonValue]], bytes]) -> None:
        """Answer with what there is, once that is known."""

        async def found() -> bytes:
            return write(await self._listing.capabilities())

        self._later(message, found())

    def _later(self, message: Request, work: Awaitable[bytes]) -> None:
        """Answer with what takes its time; what is wrong with the request may show only then."""
        self._asked.add(message.id)

        async def answer() -> None:
            try:
                result = await work
            except MalformedError as error:
                self._asked.discard(message.id)
                self._answer_refusal(error, message.id, message.id_raw)
            else:
                self._answer(message, result)
            finally:
                self._asked.discard(message.id)

        self._begin(answer(), message)

    def _listen(self, message: Request) -> None:
        if not terms_of(message.params).modern:
            raise UnknownMethodError("there is no `subscriptions/listen` in this revision of MCP")
        self._listing.listen(message.id, message.id_raw, message.params)

    def _list(self, message: Request) -> None:
        modern = self._modern(message)
        if "cursor" in message.params:
            raise BadParamsError("no cursor was given out: the list has one page")
        self._later(message, self._listing.answer(modern=modern))

    def _list_beside(self, message: Request) -> None:
        modern = self._modern(message)
        self._later(message, self._catalog.answer(message.method, message.params, modern=modern))

    def _ask(self, message: Request, line: bytes) -> None:
        """A request that is an action, and no `tools/call`."""
        terms = terms_of(message.params)
        if not terms.modern and not self._initialized:
            raise NotInitializedError(f"`{message.method}` came before `initialize`")
        wanted = read_wanted(message.method, message.params)
        if len(self._calls.open) >= MAX_OPEN:
            raise BusyError(f"{MAX_OPEN} calls of this connection are open")
        call = self._open(message, terms, "", wanted.server, wanted.method, wanted.arguments)
        self._begin(self._see_through(message.id, call, self._asking.run(call, wanted, line)), message)

    def _call(self, message: Request) -> None:
        terms = terms_of(message.params)
        if not terms.modern and not self._initialized:
            raise NotInitializedError("`tools/call` came before `initialize`")
        tool, arguments = read_call(message.params)
        server, own = parse_tool_name(tool)
        if own in METHOD_NAMES:
            raise NotAToolError(f"`{own}` is asked for by itself, and not as a tool")
        if len(self._calls.open) >= MAX_OPEN:
            busy = BusyError(f"{MAX_OPEN} calls of this connection are open")
            self._answer(message, answers.error_result(busy))
            return
        call = self._open(message, terms, tool, server, own, arguments)
        self._calls.begin(call)
        self._begin(self._see_through(message.id, call, self._calls.run(call)), message)

    def _open(
        self, message: Request, terms: Terms, tool: str, server: str, own: str, arguments: bytes
    ) -> Call:
        """A call that is open from now on."""
        call = Call(
            id=message.id,
            id_raw=message.id_raw,
            request=canonical(message.id).decode(),
            key=terms.key,
            tool=tool,
            server=server,
            own=own,
            arguments=arguments,
            modern=terms.modern,
            progress=terms.progress,
        )
        self._calls.open[message.id] = call
        self._link.watch(busy=True)
        return call

    async def _see_through(self, request: Id, call: Call, run: Awaitable[bytes]) -> None:
        try:
            line = await run
        finally:
            del self._calls.open[request]
            self._watch()
        self._client.answer(line, request)
        # What the end itself has interrupted does not count: the daemon may tell it once more.
        if line and call.cause is None:
            self._standing.told()

    def _beside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _begin(self, work: Coroutine[None, None, None], message: Request) -> None:
        """Do what takes longer beside everything else; its failure is ours, and is answered too."""
        self._beside(self._guard(work, message))

    async def _guard(self, work: Awaitable[None], message: Request) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 -- the surface's outermost edge: one call's failure is no other's
            _log.exception("`%s` failed", message.method)
            line = failure_line(message.id_raw, INTERNAL_ERROR, "this should not have happened")
            self._client.answer(line, message.id)

    # --- notifications ---------------------------------------------------------------------------

    def _notice(self, notice: Notice, line: bytes) -> None:
        match notice.method:
            case "notifications/initialized":
                self._listing.legacy = self._initialized
            case "notifications/cancelled":
                self._cancel(notice.params.get("requestId"))
            case method if needs_id(method):
                error = BadIdError(f"`{method}` without an id would run without an answer")
                _log.warning("%s", error.message)
                if method in ACTIONS:
                    self._reports.line(error, line, tool=salvage(line).tool)
            case _:
                _log.info("a notification of the client means nothing here")  # 3

    def _cancel(self, request: JsonValue) -> None:
        if isinstance(request, int | str) and not isinstance(request, bool):
            self.cancel(request)

    def cancel(self, request: Id) -> None:
        """Whoever sent this request wants no answer any more; nothing happens when it is not open."""
        call = self._calls.open.get(request)
        if call is not None:
            self._calls.interrupt(call, Cause.CANCELLED)
        self._listing.streams.pop(request, None)

    # --- the daemon ------------------------------------------------------------------------------

    def pushed(self, push: Push) -> None:
        """The daemon said that a task or the kill switch changed."""
        match push:
            case TaskPush(task=task, state="running"):
                self._standing.refresh()
            case TaskPush(task=task, state="paused", reason=reason):
                words = f"the task is paused{f': {reason}' if reason else ''}"
                self._calls.interrupt_all(Cause.PAUSED, task=task, words=words)
            case TaskPush(task=task, state=state, reason=reason):
                self._end(task, f"the task has ended ({state}{f': {reason}' if reason else ''})")
            case HoldPush():
                self._calls.holds.told(push)
                return
            case StopPush(stopped=stopped):
                if stopped:
                    self._calls.interrupt_all(Cause.STOPPED)
        self._listing.changed()

    def _end(self, task: str, words: str) -> None:
        self._calls.interrupt_all(Cause.ENDED, task=task, words=words)
        self._standing.leave(task, words)

    def joined(self, *, stopped: bool, again: bool) -> None:
        """The daemon is there, or there again: what happened meanwhile is asked for."""
        if stopped:
            self._calls.interrupt_all(Cause.STOPPED)
        self.answered()
        if again:
            self._beside(self._recheck())
        else:
            self._listing.joined()

    def answered(self) -> None:
        """The daemon answers: it is told what is owed to it."""
        if len(self._calls.debts):
            self._beside(self._pay())

    async def _pay(self) -> None:
        try:
            await self._calls.debts.pay()
        except TaskboundError as error:
            _log.warning("%s", error.message)
        self._watch()

    def _watch(self) -> None:
        self._link.watch(busy=bool(self._calls.open) or len(self._calls.debts) > 0)

    async def _recheck(self) -> None:
        task = self._standing.task
        words = await self._standing.recheck()
        if words:
            self._calls.interrupt_all(Cause.ENDED, task=task, words=words)
        self._listing.changed()

    def abandoned(self) -> None:
        """The daemon was away for too long: every open call is given up."""
        self._calls.interrupt_all(Cause.LOST)

    # --- what another client's side asks ---------------------------------------------------------

    @property
    def runs_servers(self) -> bool:
        """Whether a server of it runs."""
        return self._servers.any_runs

    async def confirm(self) -> None:
        """Have the daemon say that calls still belong to a task; raises why they do not."""
        await self._link.ask(Bind(), Bound)

    async def capabilities(self) -> dict[str, JsonValue]:
        """What is declared when a client begins."""
        return await self._listing.capabilities()

    async def schema_of(self, tool: str) -> JsonValue:
        """The pinned input schema of a tool that the task can reach; none where it reaches no such tool."""
        try:
            return (await self._standing.bind()).schema_of(tool)
        except TaskboundError:
            return None  # the call is decided all the same, and refused
