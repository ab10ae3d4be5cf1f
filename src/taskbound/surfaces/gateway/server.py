"""Serves one client of the gateway.

The gateway reads every client line strictly or refuses it with one JSON-RPC error, under its id if that is
certain. Answers without a question and unknown notifications are dropped. When the client is gone every
open call is interrupted and recorded, every server ended, then the process ends. A server that announces
changed tools is listed at once, so that the daemon knows before a client asks; announcements count at most
once a second per server.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.surfaces.gateway.asked.questions import offered
from taskbound.surfaces.gateway.asking import Catalog, Entries, ResourceRequests
from taskbound.surfaces.gateway.binding import ServerListener, Servers
from taskbound.surfaces.gateway.call import InterruptReason
from taskbound.surfaces.gateway.calls import CallDependencies, Calls
from taskbound.surfaces.gateway.errands.requests import DeferredCallRequests
from taskbound.surfaces.gateway.framing import ClientPipes
from taskbound.surfaces.gateway.link import Connect, Link, Timings
from taskbound.surfaces.gateway.logs import Logs, Reports
from taskbound.surfaces.gateway.requests import ACTIONS, Handlers, Requests, may_ask, needs_id
from taskbound.surfaces.gateway.standing import TaskBinding
from taskbound.surfaces.gateway.subscriptions import Listing, Subscriptions
from taskbound.wire.approval import HoldPush
from taskbound.wire.connection import Bind, Bound, StopPush, TaskPush
from taskbound.wire.mcp.message import NOTHING, Notice, Refused, Request, parse_message, salvage
from taskbound.wire.mcp.task import BadIdError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import StartUpstream
    from taskbound.surfaces.gateway.binding import ServerHandle
    from taskbound.surfaces.gateway.framing import Client, ClientSession
    from taskbound.wire.envelope import Push
    from taskbound.wire.mcp.message import Cut, Failure, Id, Message, Result

    Beside = Callable[[Coroutine[None, None, None]], None]


_log = logging.getLogger(__name__)
_REST: Final = 1.0


class Changes:
    """Handles the change notices of one connection's servers; used in the event loop."""

    def __init__(self, servers: Servers, entries: Entries, listing: Listing, beside: Beside) -> None:
        self._servers = servers
        self._entries = entries
        self._listing = listing
        self._beside = beside
        self._resting: dict[tuple[ServerHandle, str], asyncio.TimerHandle] = {}
        self._again: set[tuple[ServerHandle, str]] = set()

    def listed(self, server: ServerHandle, kind: str) -> None:
        key = (server, kind)
        if key in self._resting:
            self._again.add(key)
            return
        self._resting[key] = asyncio.get_running_loop().call_later(_REST, self._rested, key)
        if kind == "tools":
            self._beside(self._look(server))
        else:
            self._entries.forget()
            self._listing.changed(kind)

    def close(self) -> None:
        for timer in self._resting.values():
            timer.cancel()
        self._again.clear()

    def _rested(self, key: tuple[ServerHandle, str]) -> None:
        del self._resting[key]
        if key in self._again:
            self._again.discard(key)
            self.listed(*key)

    async def _look(self, server: ServerHandle) -> None:
        if server.upstream is None or not server.upstream.alive:
            return
        try:
            await self._servers.make_ready(server)
        except TaskboundError as error:
            _log.warning("server %s can't be looked at: %s", server.spec.name, error.message)
        self._listing.changed("tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayDependencies:
    """The parts that wiring gives the gateway."""

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

    def __init__(self, plugs: GatewayDependencies, client: Client | None = None) -> None:
        """Connects the parts; a given `client` reads messages itself, strictly, and handles handshakes."""
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
        self._standing = TaskBinding(
            self._link, self._servers, bound=self._listing.bound, over=self._client.task_over
        )
        self._logs = Logs(
            self._client,
            tell=lambda line, call: self._calls.errands.tell(line, call),  # noqa: PLW0108 -- as below
            connected=lambda: self._link.connected,
            calls=lambda: self._calls.open.values(),  # noqa: PLW0108 -- they are made below
        )
        self._calls = Calls(self._desk(plugs))
        self._reports = Reports(
            self._link,
            hold=lambda: self._client.hold("reports"),
            release=lambda: self._client.release("reports"),
        )
        entries = Entries(self._servers)
        asking = ResourceRequests(self._link, self._standing, entries, self._calls, self._reports)
        self._changes = Changes(self._servers, entries, self._listing, self._beside)
        self._subscriptions = Subscriptions(
            self._client,
            self._link,
            asking,
            beside=self._beside,
            end_stream=lambda stream: self._requests.end_stream(stream),  # noqa: PLW0108 -- it is made below
        )
        self._servers.ears = ServerListener(
            offered=self._offered,
            asked=self._calls.questions.ask,
            withdrawn=self._calls.questions.withdraw,
            listed=self._changes.listed,
            updated=self._subscriptions.updated,
            logged=self._logs.outside,
            ended=self._subscriptions.ended,
        )
        self._work: set[asyncio.Task[None]] = set()
        self._gone: asyncio.Event = asyncio.Event()
        self._requests = Requests(
            self._answerers(asking, Catalog(self._link, self._standing, entries)), begun=client is not None
        )

    def _answerers(self, asking: ResourceRequests, catalog: Catalog) -> Handlers:
        return Handlers(
            client=self._client,
            standing=self._standing,
            listing=self._listing,
            catalog=catalog,
            calls=self._calls,
            asking=asking,
            reports=self._reports,
            logs=self._logs,
            subscriptions=self._subscriptions,
            errands=DeferredCallRequests(self._calls, self._standing, self._link),
            began=self.pipes.began,
            beside=self._beside,
        )

    def _desk(self, plugs: GatewayDependencies) -> CallDependencies:
        return CallDependencies(
            link=self._link,
            servers=self._servers,
            logs=self._logs,
            timings=plugs.timings,
            now=plugs.now,
            client=self._client,
            beside=self._beside,
            report=lambda error, raw, tool: self._reports.line(error, raw, tool=tool),
            bound=lambda: self._standing.bound,
            bind=self._standing.bind,
            repinned=self._standing.refresh,
        )

    async def serve(self) -> None:
        self._link.start()
        await self._gone.wait()
        self._calls.interrupt_all(InterruptReason.LEFT)
        self._subscriptions.close()
        self._changes.close()
        self._calls.errands.close()
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
        match message:
            case Request():
                self._requests.take(message, line)
            case Notice():
                self._notice(message, line)
            case _ if not self._calls.questions.posed.answered(message):
                _log.warning("the client answered what was never asked")

    def left(self, rest: Refused | None) -> None:
        """Handles the client's end; an incomplete message is never run."""
        if rest is not None:
            self._refuse_cut(rest)
        self._gone.set()

    def fell_behind(self) -> None:
        self._servers.pause()

    def caught_up(self) -> None:
        self._servers.resume()

    def _refuse_cut(self, cut: Refused) -> None:
        known = salvage(cut.raw) if cut.raw else NOTHING
        self._requests.refuse(cut.error, known.id, known.id_raw)
        if may_ask(cut.error, known):
            self._reports.add(cut.error, cut.size, cut.sha256, tool=known.tool)

    def _refuse_line(self, error: MalformedError, line: bytes) -> None:
        known = salvage(line)
        self._requests.refuse(error, known.id, known.id_raw)
        self.refused(error, line)

    def refused(self, error: TaskboundError, line: bytes) -> None:
        """Reports a refused line if it asked for an action."""
        known = salvage(line)
        if may_ask(error, known):
            self._reports.line(error, line, tool=known.tool)

    def _beside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    # --- notifications ---------------------------------------------------------------------------

    def _notice(self, notice: Notice, line: bytes) -> None:
        match notice.method:
            case "notifications/initialized":
                for talk in self._client.talks():
                    talk.begun = self._requests.initialized
            case "notifications/cancelled":
                self._cancel(notice.params.get("requestId"))
            case method if needs_id(method):
                error = BadIdError(f"`{method}` without an id would run without an answer")
                _log.warning("%s", error.message)
                if method in ACTIONS:
                    self._reports.line(error, line, tool=salvage(line).tool)
            case _:
                _log.info("a notification of the client means nothing here")

    def _cancel(self, request: JsonValue) -> None:
        if isinstance(request, int | str) and not isinstance(request, bool):
            self.cancel(request)

    def cancel(self, request: Id) -> None:
        """Cancels this request for its client; does nothing if it is not open."""
        call = self._calls.open.get(request)
        if call is not None:
            self._calls.interrupt(call, InterruptReason.CANCELLED)
        self._requests.left(request)

    def unheard(self, request: Id) -> None:
        """Handles a client that disconnected and may return: its call continues."""
        self._requests.left(request)

    # --- the daemon ------------------------------------------------------------------------------

    def pushed(self, push: Push) -> None:
        match push:
            case TaskPush(task=task, state="running"):
                self._standing.refresh()
            case TaskPush(task=task, state="paused", reason=reason):
                words = f"the task is paused{f': {reason}' if reason else ''}"
                self._calls.interrupt_all(InterruptReason.PAUSED, task=task, words=words)
                self._subscriptions.end_all()
            case TaskPush(task=task, state=state, reason=reason):
                self._end(task, f"the task has ended ({state}{f': {reason}' if reason else ''})")
            case HoldPush():
                self._calls.holds.told(push)
                return
            case StopPush(stopped=stopped):
                if stopped:
                    self._calls.interrupt_all(InterruptReason.STOPPED)
                    self._subscriptions.end_all()
        self._logs.halt()
        self._listing.changed()

    def _end(self, task: str, words: str) -> None:
        self._calls.interrupt_all(InterruptReason.ENDED, task=task, words=words)
        self._subscriptions.end_all()
        self._standing.leave(task, words)

    def joined(self, *, stopped: bool, again: bool) -> None:
        if stopped:
            self._calls.interrupt_all(InterruptReason.STOPPED)
            self._subscriptions.end_all()
        self.answered()
        if again:
            self._logs.halt()
            self._beside(self._recheck())
        else:
            self._listing.joined()

    def answered(self) -> None:
        if len(self._calls.debts):
            self._beside(self._pay())

    async def _pay(self) -> None:
        try:
            await self._calls.debts.pay()
        except TaskboundError as error:
            _log.warning("%s", error.message)
        self._calls.watch()

    async def _recheck(self) -> None:
        task = self._standing.task
        words = await self._standing.recheck()
        if words:
            self._calls.interrupt_all(InterruptReason.ENDED, task=task, words=words)
            self._subscriptions.end_all()
        self._listing.changed()

    def abandoned(self) -> None:
        """Gives up every open call after the daemon was away too long."""
        self._calls.interrupt_all(InterruptReason.LOST)
        self._subscriptions.end_all()
        self._logs.halt()

    # --- what servers ask ------------------------------------------------------------------------

    def _offered(self, running: ServerHandle) -> frozenset[str]:
        binding = self._standing.bound
        reach = binding.reach if binding is not None else ()
        return offered(running.spec.name, reach, self._requests.heard)

    def answered_within(self, message: Result | Failure, requests: Collection[Id]) -> None:
        """Takes a client's answer from the session in which these requests are open."""
        if not self._calls.questions.posed.answered(message, requests):
            _log.warning("a client answered what it was never asked")

    # --- what another client's side asks ---------------------------------------------------------

    @property
    def runs_servers(self) -> bool:
        return self._servers.any_runs

    def forget(self, talk: ClientSession) -> None:
        self._subscriptions.leave(talk)

    @property
    def is_waiting(self) -> bool:
        """Whether an idle client may return: for a call, or to answer a question."""
        return bool(self._calls.questions.parked.calls) or len(self._calls.errands) > 0

    async def confirm(self, tokens: Collection[str] = ()) -> Bound:
        """Asks the daemon whether calls still belong to a task, and which of these tokens are over."""
        return await self._link.ask(Bind(tokens=tuple(tokens)), Bound)

    async def capabilities(self) -> dict[str, JsonValue]:
        return await self._listing.capabilities()

    async def schema_of(self, tool: str) -> JsonValue:
        """Returns the pinned input schema of a reachable tool, else None."""
        try:
            return (await self._standing.bind()).schema_of(tool)
        except TaskboundError:
            return None  # the call is decided all the same, and refused
