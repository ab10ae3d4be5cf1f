"""Requests of a client, dispatched by method.

A request is answered once, under its own id. A refusal never uses the id of an open request, which would
end that one. A request for an action that becomes none leaves one record.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.errors import DuplicateKeyError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEndedError
from taskbound.core.tool import METHOD_NAMES, NotAToolError, is_reserved, parse_tool_name
from taskbound.surfaces.gateway import eras as answers
from taskbound.surfaces.gateway.asking import LISTS
from taskbound.surfaces.gateway.call import Call, InterruptReason
from taskbound.surfaces.gateway.eras import agreed, discovered, initialized, requested_of, terms_of
from taskbound.surfaces.gateway.errands.kept import LONGEST
from taskbound.surfaces.gateway.errands.requests import DeferredCallRequests, require_declared
from taskbound.surfaces.gateway.errors import (
    INTERNAL_ERROR,
    AlreadyInitializedError,
    BusyError,
    IdReusedError,
    NotInitializedError,
    UnknownMethodError,
    data_of,
    rpc_code,
)
from taskbound.surfaces.gateway.logs import ResumedRequest, digest_of, read_call, read_level, read_wanted
from taskbound.surfaces.gateway.subscriptions import METHOD, Stream, read_uri, read_uris
from taskbound.wire.mcp.message import LATEST_LEGACY, NULL, failure_line, result_line, salvage
from taskbound.wire.mcp.task import (
    BadParamsError,
    UnknownMemberError,
    declares_tasks,
    parse_ttl,
    task_members,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.asking import Catalog, ResourceRequests
    from taskbound.surfaces.gateway.calls import Calls
    from taskbound.surfaces.gateway.eras import RequestMeta
    from taskbound.surfaces.gateway.framing import Client
    from taskbound.surfaces.gateway.logs import Logs, Reports
    from taskbound.surfaces.gateway.standing import TaskBinding
    from taskbound.surfaces.gateway.subscriptions import Listing, Subscriptions
    from taskbound.wire.mcp.message import Id, Request, Salvage


CALL: Final = "tools/call"
ACTIONS: Final = frozenset({CALL, *METHOD_NAMES})
"""Requests that are to be actions."""
ERRANDS: Final = ("tasks/cancel", "tasks/get", "tasks/list", "tasks/result", "tasks/update")
"""Requests about calls that their clients come back for."""
_AMBIGUOUS: Final = frozenset({DuplicateKeyError.code, UnknownMemberError.code})
"""Refusals of lines in which one reader finds one method and another one another."""
_WITH_ID: Final = frozenset(
    {
        "initialize",
        "logging/setLevel",
        "ping",
        "resources/unsubscribe",
        "server/discover",
        *ERRANDS,
        "subscriptions/listen",
        "tools/list",
        *ACTIONS,
        *LISTS,
    }
)


def needs_id(method: str) -> bool:
    """Whether a message of this method without an id is a request that lost it."""
    return method in _WITH_ID


def may_ask(error: TaskboundError, known: Salvage) -> bool:
    """Whether a refused line asked for an action, or another reader could take it so."""
    return known.method is None or known.method in ACTIONS or error.code in _AMBIGUOUS


_log = logging.getLogger(__name__)

MAX_OPEN: Final = 64
"""Calls of one connection that may be open at once."""
MAX_STREAMS: Final = 8
"""Streams of changes of one connection that may be open, or being opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """The parts that answer requests."""

    client: Client
    standing: TaskBinding
    listing: Listing
    catalog: Catalog
    calls: Calls
    asking: ResourceRequests
    reports: Reports
    logs: Logs
    subscriptions: Subscriptions
    errands: DeferredCallRequests
    began: Callable[[Mapping[str, JsonValue]], None]
    """A legacy client declares these capabilities."""
    beside: Callable[[Coroutine[None, None, None]], None]
    """Does this beside everything else; it is given up when the client is gone for long enough."""


class Requests:
    """Serves the requests of one client; used in the event loop."""

    def __init__(self, answerers: Handlers, *, begun: bool) -> None:
        """Prepares; `begun` means that the caller handles the handshake."""
        self._client = answerers.client
        self._standing = answerers.standing
        self._listing = answerers.listing
        self._catalog = answerers.catalog
        self._calls = answerers.calls
        self._asking = answerers.asking
        self._reports = answerers.reports
        self._logs = answerers.logs
        self._subscriptions = answerers.subscriptions
        self._errands = answerers.errands
        self._listening: dict[Id, Stream] = {}
        """Streams that are open, or being opened."""
        self._serial = 0
        self._beside = answerers.beside
        self._asked: set[Id] = set()
        self.initialized = begun
        """Whether a legacy client has begun."""
        self.heard: Mapping[str, JsonValue] = {}
        """The capabilities of the client that was heard last."""
        self._began = answerers.began
        self._methods: dict[str, Callable[[Request], None]] = {
            "initialize": self._initialize,
            "ping": self._ping,
            "logging/setLevel": self._set_level,
            "server/discover": self._discover,
            "resources/unsubscribe": self._unsubscribe,
            CALL: self._call,
            "tools/list": self._list,
            **dict.fromkeys(LISTS, self._list_beside),
            **dict.fromkeys(ERRANDS, self._errand),
        }

    def is_open(self, request: Id) -> bool:
        known = (self._calls.open, self._asked, self._listing.streams, self._listening)
        return any(request in some for some in known)

    def refuse(self, error: TaskboundError, request: Id | None, raw: bytes) -> None:
        """Sends one JSON-RPC error; `request` is the id if certain, `raw` as the client wrote it."""
        certain = request is not None and not self.is_open(request)
        line = failure_line(raw if certain else NULL, rpc_code(error), error.message, data_of(error))
        self._client.answer(line, request)

    def take(self, message: Request, line: bytes) -> None:
        try:
            if self.is_open(message.id):
                raise IdReusedError("a request with this id is open")
            if message.method in METHOD_NAMES:
                self._ask(message, line)
                return
            if message.method == "subscriptions/listen":
                self._listen(message, line)
                return
            method = self._methods.get(message.method)
            if method is None:
                raise UnknownMethodError("there is no such method here")
            method(message)
        except TaskboundError as error:
            self.refuse(error, message.id, message.id_raw)
            if message.method in ACTIONS:
                self._reports.line(error, line, tool=salvage(line).tool)

    def _answer(self, message: Request, result: bytes) -> None:
        self._client.answer(result_line(message.id_raw, result), message.id)

    def _initialize(self, message: Request) -> None:
        if self.initialized:
            raise AlreadyInitializedError("`initialize` was sent before")
        version = agreed(requested_of(message.params))
        self.initialized = True
        talk = self._client.talk(message.id)
        if talk is not None:
            talk.tasks = version == LATEST_LEGACY
        capabilities = message.params["capabilities"]
        self.heard = capabilities if isinstance(capabilities, dict) else {}
        self._began(self.heard)
        self._declare(message, lambda found: initialized(version, found))

    def _modern(self, message: Request) -> bool:
        terms = terms_of(message.params)
        if not terms.modern and not self.initialized:
            raise NotInitializedError(f"`{message.method}` came before `initialize`")
        self.heard = terms.offers if terms.modern else self._client.declared(message.id)
        return terms.modern

    def _ping(self, message: Request) -> None:
        if terms_of(message.params).modern:
            raise UnknownMethodError("there is no `ping` in this revision of MCP")
        self._answer(message, b"{}")

    def _set_level(self, message: Request) -> None:
        if self._modern(message):
            raise UnknownMethodError("there is no `logging/setLevel` in this revision of MCP")
        talk = self._client.talk(message.id)

        async def taken() -> bytes:
            if "logging" not in await self._listing.capabilities():
                raise UnknownMethodError("no server of this task logs")
            level = read_level(message.params)
            binding = self._standing.bound
            if talk is not None:
                await self._logs.set(talk, level, binding.servers.values() if binding is not None else ())
            return b"{}"

        self._later(message, taken())

    def _discover(self, message: Request) -> None:
        if not terms_of(message.params).modern:
            raise BadParamsError("`server/discover` needs the modern `_meta`")
        self._declare(message, discovered)

    def _declare(self, message: Request, write: Callable[[dict[str, JsonValue]], bytes]) -> None:
        async def found() -> bytes:
            return write(await self._listing.capabilities())

        self._later(message, found())

    def _later(self, message: Request, work: Awaitable[bytes]) -> None:
        async def line() -> bytes:
            return result_line(message.id_raw, await work)

        self._line_later(message, line())

    def _line_later(self, message: Request, work: Awaitable[bytes]) -> None:
        self._asked.add(message.id)

        async def answer() -> None:
            try:
                line = await work
            except TaskboundError as error:
                self._asked.discard(message.id)
                self.refuse(error, message.id, message.id_raw)
                if isinstance(error, TaskEndedError):
                    self._standing.told()
            else:
                self._client.answer(line, message.id)
            finally:
                self._asked.discard(message.id)

        self._begin(answer(), message)

    def _listen(self, message: Request, line: bytes) -> None:
        if not terms_of(message.params).modern:
            raise UnknownMethodError("there is no `subscriptions/listen` in this revision of MCP")
        wanted = message.params.get("notifications")
        if not isinstance(wanted, dict):
            raise BadParamsError("`notifications` is no object")
        if "taskIds" in wanted:  # not streamed, but a client that did not declare them must get the error
            require_declared(terms_of(message.params).offers)
        uris = read_uris(wanted)
        if len(self._listening) >= MAX_STREAMS:
            raise BusyError(f"{MAX_STREAMS} streams of changes are open already")
        self._subscriptions.require_room(len(uris))
        stream = self._listening[message.id] = Stream(id=message.id, raw=message.id_raw)
        asked = [self._subscribed(stream, uri, line) for uri in uris]

        async def opened() -> None:
            honored = [uri for uri in await asyncio.gather(*asked) if uri]
            await self._listing.capabilities()  # nothing is awaited from the next line to the stream
            if self._listening.get(message.id) is not stream:
                self._subscriptions.leave(stream)
                return
            self._listing.listen(stream, wanted, honored)
            if message.id not in self._listing.streams:
                self._listening.pop(message.id, None)  # it carries nothing

        self._begin(opened(), message)

    def _subscribed(self, stream: Stream, uri: str, line: bytes) -> Awaitable[str]:
        self._serial += 1
        name = ("listen", self._serial)  # no id of a client is one: those are numbers and texts
        wanted = read_wanted(METHOD, {"uri": uri})
        call = self._calls.open[name] = Call(
            id=None,
            id_raw=b"null",
            request=f'["listen",{canonical(stream.id).decode()},{self._serial}]',
            key="",
            tool="",
            server="",
            own=METHOD,
            arguments=wanted.arguments,
            modern=True,
            token=self._client.token(stream.id),
        )
        self._calls.watch()
        stream.calls.append(call)
        wish = self._subscriptions.wish(stream, uri, call)

        async def subscribed() -> str:
            try:
                await self._subscriptions.run(wish, wanted, line)
            finally:
                del self._calls.open[name]
                self._calls.watch()
            return uri if self._subscriptions.has(stream, uri) else ""

        return subscribed()

    def _unsubscribe(self, message: Request) -> None:
        if self._modern(message):
            raise UnknownMethodError("there is no `resources/unsubscribe` in this revision of MCP")
        uri, talk = read_uri(message.params), self._client.talk(message.id)
        if talk is not None:
            self._subscriptions.leave(talk, uri)
        self._answer(message, b"{}")

    def left(self, request: Id) -> None:
        """Handles a client that no longer wants the stream or result of this request."""
        self._errands.left(request)
        stream = self._listening.pop(request, None)
        self._listing.streams.pop(request, None)
        if stream is not None:
            for call in stream.calls:
                self._calls.interrupt(call, InterruptReason.CANCELLED)
            self._subscriptions.leave(stream)

    def end_stream(self, stream: Stream) -> None:
        if self._listening.pop(stream.id, None) is not None:
            self._listing.end(stream)

    def _list(self, message: Request) -> None:
        modern = self._modern(message)
        if "cursor" in message.params:
            raise BadParamsError("no cursor was given out: the list has one page")
        talk = None if modern else self._client.talk(message.id)
        tasks = talk is not None and talk.tasks
        self._later(message, self._listing.answer(modern=modern, tasks=tasks))

    def _list_beside(self, message: Request) -> None:
        modern = self._modern(message)
        self._later(message, self._catalog.answer(message.method, message.params, modern=modern))

    def _errand(self, message: Request) -> None:
        modern = self._modern(message)
        talk = None if modern else self._client.talk(message.id)
        tasks = talk is not None and talk.tasks
        self._errands.require(message.method, modern=modern, tasks=tasks, offers=self.heard)
        self._line_later(message, self._errands.line(message, modern=modern))

    def _ask(self, message: Request, line: bytes) -> None:
        terms = terms_of(message.params)
        if not terms.modern and not self.initialized:
            raise NotInitializedError(f"`{message.method}` came before `initialize`")
        talk = None if terms.modern else self._client.talk(message.id)
        if message.method == METHOD:
            if talk is None:
                raise UnknownMethodError("there is no `resources/subscribe` in this revision of MCP")
            self._subscriptions.require_room(1)
        again = ResumedRequest.of(message.params, modern=terms.modern)
        wanted = read_wanted(message.method, again.params)
        digest = digest_of(message.method, wanted.server, terms.key, wanted.arguments)
        if again.state is not None:
            self._come_back(message, terms, again, digest)
            return
        if self._calls.count >= MAX_OPEN:
            raise BusyError(f"{MAX_OPEN} calls of this connection are open")
        call = self._open(message, terms, "", wanted.server, wanted.method, wanted.arguments)
        call.digest = digest
        if message.method == METHOD and talk is not None:
            run = self._subscriptions.run(self._subscriptions.wish(talk, wanted.uri, call), wanted, line)
        else:
            run = self._asking.run(call, wanted, line)
        self._begin(self._see_through(call, run), message)

    def _call(self, message: Request) -> None:
        terms = terms_of(message.params)
        if not terms.modern and not self.initialized:
            raise NotInitializedError("`tools/call` came before `initialize`")
        again = ResumedRequest.of(message.params, modern=terms.modern)
        params, ttl = self._as_task(message, again.params, modern=terms.modern)
        tool, arguments = read_call(params)
        server, own = parse_tool_name(tool)
        if is_reserved(own):
            raise NotAToolError(f"`{own}` is asked for by itself, and not as a tool")
        digest = digest_of(CALL, tool, terms.key, arguments)
        if again.state is not None:
            self._come_back(message, terms, again, digest)
            return
        if self._calls.count >= MAX_OPEN:
            busy = BusyError(f"{MAX_OPEN} calls of this connection are open")
            self._answer(message, answers.error_result(busy))
            return
        if ttl is not None:
            self._calls.errands.require_room()
        call = self._open(message, terms, tool, server, own, arguments)
        call.digest = digest
        call.knows_tasks = terms.modern and declares_tasks(terms.offers)
        self._calls.begin(call)
        if ttl is not None:
            errand = self._calls.errands.make(call, ttl)
            self._answer(message, canonical({"task": task_members(errand.shown, modern=False)}))
        self._begin(self._see_through(call, self._calls.run(call)), message, call)

    def _as_task(
        self, message: Request, params: Mapping[str, JsonValue], *, modern: bool
    ) -> tuple[Mapping[str, JsonValue], int | None]:
        """Returns the parameters without `task`, and the requested lifetime in milliseconds."""
        talk = None if modern else self._client.talk(message.id)
        if "task" not in params or not (modern or (talk is not None and talk.tasks)):
            return params, None
        rest = {name: value for name, value in params.items() if name != "task"}
        if modern:
            return rest, None
        ttl = parse_ttl(params["task"])
        return rest, LONGEST if ttl is None else ttl

    def _come_back(self, message: Request, terms: RequestMeta, again: ResumedRequest, digest: bytes) -> None:
        parked = self._calls.questions.parked
        call = parked.come_back(again.state or "", digest, again.answers)
        call.progress, call.level, call.offers = terms.progress, terms.level, terms.offers
        parked.go_on(call, message, again.answers)

    def _open(
        self, message: Request, terms: RequestMeta, tool: str, server: str, own: str, arguments: bytes
    ) -> Call:
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
            token=self._client.token(message.id),
            progress=terms.progress,
            level=terms.level,
            talk=None if terms.modern else self._client.talk(message.id),
            offers=terms.offers if terms.modern else self._client.declared(message.id),
        )
        self.heard = call.offers
        self._calls.open[message.id] = call
        self._calls.watch()
        return call

    async def _see_through(self, call: Call, run: Awaitable[bytes]) -> None:
        line = b""
        try:
            line = await run
        finally:
            request = call.id
            self._calls.close(call)
            if call.errand is not None:
                self._calls.errands.settle(call.errand, line)
        if request is None:
            return  # its client was asked something, and did not come back
        self._client.answer(line, request)
        # What the end itself has interrupted does not count: the daemon may tell it once more.
        if line and call.cause is None:
            self._standing.told()

    def _begin(self, work: Coroutine[None, None, None], message: Request, call: Call | None = None) -> None:
        self._beside(self._guard(work, message, call))

    async def _guard(self, work: Awaitable[None], message: Request, call: Call | None) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 -- the surface's outermost edge: one call's failure is no other's
            _log.exception("`%s` failed", message.method)
            if call is not None and call.errand is not None:
                return  # 4: its client finds that out by its name
            line = failure_line(message.id_raw, INTERNAL_ERROR, "this should not have happened")
            self._client.answer(line, message.id)
