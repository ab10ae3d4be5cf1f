"""The front: reads agents' HTTP requests and enforces its rules.

* A request is read and refused as strictly as a pipe's line, with one named error, and one record if it
  asked for an action. The daemon first names its task from the token and the proof of possession; the front
  judges neither.
* A legacy request needs its session, which gives it a name and no right. A modern client's disconnect is a
  cancel; a legacy client's is not. A client that disconnects before work began has asked for nothing.
* Each task has one seat for all of its tokens. Seats, requests per address and the daemon's time are
  bounded.
* Metadata is published for every possible agent name, so it doesn't reveal which agents exist (RFC 9728
  §2).
* A head or body over its limit is reported to the daemon. Other requests that are refused before they are
  read are not: their body says what they ask for.
* The header and `_meta` must name the same revision; no header means 2025-03-26. `Mcp-Method` is the method
  and `Mcp-Name` its subject, so that proxies see what the gateway sees. `Mcp-Param-…` is the argument whose
  pinned schema has `x-mcp-header`; integers are compared as numbers. A value that can't stand in a header
  is written `=?base64?…?=`; a partial form is literal.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from base64 import b64decode, b64encode
from binascii import Error
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.tool.definition import parse_mirrors
from taskbound.core.tool.errors import BadMirrorError
from taskbound.core.tool.name import shown
from taskbound.surfaces.gateway.eras import agreed, initialized, requested_of, terms_of
from taskbound.surfaces.gateway.errors import IdReusedError, UnknownMethodError, UnsupportedVersionError
from taskbound.surfaces.gateway.http.door import Pace
from taskbound.surfaces.gateway.http.errors import HeaderMismatchError
from taskbound.surfaces.gateway.http.reply import SESSION, Reply, read_head
from taskbound.surfaces.gateway.http.seat import ShownToken, TaskSession
from taskbound.surfaces.gateway.requests import needs_id
from taskbound.surfaces.http.errors import FrontFullError, NotAcceptableError, VerbError
from taskbound.surfaces.http.head import OVERSIZED, RefusalReporter, leaving
from taskbound.surfaces.http.rate import ConnectionLimits
from taskbound.wire.mcp.message import (
    LATEST_LEGACY,
    LEGACY,
    MODERN,
    NULL,
    VERSION_KEY,
    Notice,
    Request,
    parse_message,
    result_line,
    salvage,
)
from taskbound.wire.mcp.task import BadIdError, BadParamsError, NotAMessageError
from taskbound.wire.network import Shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.definition import Mirror
    from taskbound.surfaces.gateway.http.door import DaemonLookup
    from taskbound.surfaces.gateway.http.reply import Head
    from taskbound.surfaces.gateway.http.seat import FrontBounds, Session
    from taskbound.surfaces.gateway.link import Connect
    from taskbound.surfaces.gateway.server import GatewayDependencies
    from taskbound.surfaces.http.connection import HttpConnection, RawHead
    from taskbound.wire.mcp.message import Failure, Result

    Connection: TypeAlias = HttpConnection[Head, Reply]


_ABOUT: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""Which parameter `Mcp-Name` is, by method."""
_HEAD, _TAIL = "=?base64?", "?="
_PLAIN: Final = re.compile(r"[ -~\t]*", re.ASCII)
_WHOLE: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)


def require_era(headers: Mapping[str, str], message: Request | Notice) -> bool:
    """Returns whether the message is modern; its headers must agree with it."""
    named = headers.get("mcp-protocol-version", "")
    meta = message.params.get("_meta")
    within = meta.get(VERSION_KEY) if isinstance(meta, dict) else None
    if within is None:
        if named == MODERN and isinstance(message, Request):
            raise BadParamsError(f"`{VERSION_KEY}` is missing in `_meta`")
        require_spoken(named)
        if named == MODERN:
            _require_method(headers, message)
        return named == MODERN
    if within != named:
        raise HeaderMismatchError("`MCP-Protocol-Version` is not the revision that the body names")
    _require_method(headers, message)
    if not terms_of(message.params).modern:
        raise BadParamsError(f"`{VERSION_KEY}` is no revision")
    return True


def require_spoken(named: str) -> None:
    """Raises UnsupportedVersionError if the header names an unsupported revision."""
    if named and named != MODERN and named not in LEGACY:
        raise UnsupportedVersionError(f"MCP `{shown(named)}` is not spoken here", requested=shown(named))


def _require_method(headers: Mapping[str, str], message: Request | Notice) -> None:
    if headers.get("mcp-method") != message.method:
        raise HeaderMismatchError("`Mcp-Method` is not the method of the body")
    about = message.params.get(_ABOUT.get(message.method, ""))
    if isinstance(about, str) and _value(headers, "mcp-name") != about:
        raise HeaderMismatchError("`Mcp-Name` is not what the body is about")


def require_mirrored(
    headers: Mapping[str, str], arguments: dict[str, JsonValue], some: tuple[Mirror, ...]
) -> None:
    """Raises HeaderMismatchError unless each mirrored argument equals its header."""
    for one in some:
        told, value = _value(headers, one.header.lower()), _at(arguments, one.path)
        if not _same(told, value):
            raise HeaderMismatchError(f"`{one.header}` is not the argument that it mirrors")


def _at(value: JsonValue, path: tuple[str, ...]) -> JsonValue:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _same(told: str | None, value: JsonValue) -> bool:
    match value:
        case None:
            return told is None
        case bool():
            return told == ("true" if value else "false")
        case int():
            return told is not None and _WHOLE.fullmatch(told) is not None and int(told) == value
        case float():
            return told is not None and _WHOLE.fullmatch(told) is not None and float(told) == value
        case str():
            return told == value
        case _:
            return False


def _value(headers: Mapping[str, str], name: str) -> str | None:
    told = headers.get(name)
    if told is None:
        return None
    if _PLAIN.fullmatch(told) is None:
        raise HeaderMismatchError(f"`{name[:80]}` has characters that a header can't have")
    if not (told.startswith(_HEAD) and told.endswith(_TAIL) and len(told) >= len(_HEAD) + len(_TAIL)):
        return told
    try:
        return b64decode(told[len(_HEAD) : -len(_TAIL)], validate=True).decode("utf-8")
    except (Error, ValueError) as error:
        raise HeaderMismatchError(f"`{name[:80]}` is no strict Base64 of UTF-8") from error


_log = logging.getLogger(__name__)
_CALL: Final = "tools/call"
_LISTEN: Final = "subscriptions/listen"


class Front(ConnectionLimits["FrontBounds", "Connection"]):
    """Serves every connection (`connection.Server`)."""

    def __init__(
        self, plugs: GatewayDependencies, door: DaemonLookup, bounds: FrontBounds, *, hosts: frozenset[str]
    ) -> None:
        """Serves no client yet; `hosts` are the allowed values of `Host`."""
        self._pace = Pace(bounds, time.monotonic)
        super().__init__(bounds, count=self._pace.take)
        self._plugs = plugs
        self._door = door
        self.hosts = hosts
        self._seats: dict[str, TaskSession] = {}
        self._leaving: set[TaskSession] = set()
        self._work: set[asyncio.Task[None]] = set()
        self.telling = RefusalReporter(door.tell)
        """Tells the daemon what is refused here."""

    async def close(self) -> None:
        self.abort_all()
        for task in tuple(self._work):
            task.cancel()  # none of it opens another seat
        every = {*self._seats.values(), *self._leaving}
        await asyncio.gather(*(one.closed() for one in every))
        await self.telling.close()
        self._door.close()

    @property
    def runs_servers(self) -> bool:
        return any(one.gateway.runs_servers for one in (*self._seats.values(), *self._leaving))

    # --- connections -----------------------------------------------------------------------------

    def read(self, verb: str, target: str, fields: Sequence[tuple[bytes, bytes]]) -> Head:
        return read_head(
            verb, target, fields, hosts=self.hosts, scheme=self._door.scheme, most=self.bounds.body
        )

    def reply(self, connection: Connection, head: Head | None, raw: RawHead | None) -> Reply:
        made = Reply(connection, head, alive=self.bounds.alive, origin=self._door.origin)
        made.address, made.chain = self.client_of(connection, raw), connection.certificates
        made.on_proven = lambda: self.prove(connection, made.task)
        return made

    def refused(self, error: TaskboundError, raw: RawHead | None) -> None:
        """Reports a request that was refused before it was complete."""
        del raw
        if error.code in OVERSIZED:
            self.telling.refused(error.code, "")

    def take(self, head: Head, body: bytes, reply: Reply) -> None:
        task = asyncio.get_running_loop().create_task(self._take(head, body, reply))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _take(self, head: Head, body: bytes, reply: Reply) -> None:
        try:
            if not head.token:
                self._pace.take(reply.address)
                reply.give(msgspec.json.encode(await self._door.published(head.agent)))
                return
            seat = await self._seat(head, reply)
            if seat is None:
                return
            if head.verb == "DELETE":
                self._end_session(seat, head, reply)
            elif head.verb == "GET":
                self._hear(seat, head, reply)
            else:
                await _Exchanging(seat, head, body, reply).run()
        except TaskboundError as error:
            reply.refuse(error)
        except Exception:  # noqa: BLE001 -- the surface's outermost edge: one request's failure is no other's
            _log.exception("a request failed")
            reply.refuse(TaskboundError("this should not have happened"))

    # --- seats -----------------------------------------------------------------------------------

    async def _seat(self, head: Head, reply: Reply) -> TaskSession | None:
        """Returns the seat of the token's task; None if the client has left."""

        def is_known() -> bool:
            return any(one.holds(head.token) for one in self._seats.values())

        with leaving(reply):
            known = await self._pace.turn(reply.address, head.token, is_known=is_known)
        with self._pace.question(reply.address, head.token, known=known):
            found = await self._door.show(head.agent, self._shown(head, reply))
            reply.token, reply.task = found.token, found.task
            reply.on_proven()
            token = ShownToken(text=head.token, name=found.token, until=found.until)
            seat = self._seats.get(found.task)
            if seat is None:
                seat = self._open(found.task, head.agent, token)
            seat.show(token)
        if reply.is_over:
            return None
        with leaving(reply):
            await seat.ready()
        return seat

    def _shown(self, head: Head, reply: Reply) -> Shown:
        return Shown(
            method=head.verb,
            uri=f"{self._door.origin}/mcp/{head.agent}",
            authorization=head.headers.get("authorization", ""),
            dpop=head.headers.get("dpop", ""),
            chain=tuple(b64encode(one).decode("ascii") for one in reply.chain),
        )

    def _open(self, task: str, agent: str, token: ShownToken) -> TaskSession:
        if len(self._seats) >= self.bounds.seats:
            raise FrontFullError("so many tasks are served that another one is not")

        def ended(one: TaskSession) -> None:
            del self._seats[task]
            self._leaving.add(one)

        def connect(text: str) -> Connect:
            return self._door.seat(agent, text)

        seat = self._seats[task] = TaskSession(self._plugs, connect, self.bounds, token, ended=ended)
        seat.start(self._leaving.discard)
        return seat

    @staticmethod
    def _hear(seat: TaskSession, head: Head, reply: Reply) -> None:
        if head.version == MODERN:
            raise VerbError("there is no stream outside of requests in this revision of MCP")
        if "last-event-id" in head.headers:
            raise VerbError("no stream can be come back to")
        seat.hear(seat.sessions.of(head.headers.get(SESSION, "")), reply)

    @staticmethod
    def _end_session(seat: TaskSession, head: Head, reply: Reply) -> None:
        if head.version == MODERN:
            raise VerbError("there are no sessions in this revision of MCP")
        session = seat.sessions.end(head.headers.get(SESSION, ""))
        for number in tuple(session.open.values()):
            seat.gateway.cancel(number)
        reply.answer(b"")


class _Exchanging:
    def __init__(self, seat: TaskSession, head: Head, body: bytes, reply: Reply) -> None:
        self._seat = seat
        self._head = head
        self._body = body
        self._reply = reply

    async def run(self) -> None:
        known = NULL
        try:
            message = parse_message(self._body)
            if isinstance(message, Request):
                known = message.id_raw
                await self._request(message)
            elif isinstance(message, Notice):
                self._notice(message)
            else:
                self._answered(message)
        except TaskboundError as error:
            if isinstance(error, MalformedError | DeniedError):
                self._seat.gateway.refused(error, self._body)
            self._reply.refuse(error, request=known if known != NULL else salvage(self._body).id_raw or NULL)

    async def _request(self, message: Request) -> None:
        modern = require_era(self._head.headers, message)
        if message.method == "initialize":
            await self._initialize(message, modern=modern)
            return
        session = None if modern else self._session()
        if session is not None and message.id in session.open:
            raise IdReusedError("a request with this id is open")
        stream = modern and message.method == _LISTEN
        if stream and not self._reply.can_stream:
            raise NotAcceptableError("the client must accept `text/event-stream` to listen for messages")
        if modern and message.method == _CALL:
            await self._require_mirrored(message)
        if self._reply.is_over:
            return
        made = self._seat.begin(message, self._reply, modern=modern, stream=stream, session=session)
        self._seat.gateway.take(
            Request(made.number, message.id_raw, message.method, message.params), self._body
        )

    def _session(self) -> Session:
        return self._seat.sessions.of(self._head.headers.get(SESSION, ""))

    async def _initialize(self, message: Request, *, modern: bool) -> None:
        if modern:
            raise UnknownMethodError("there is no `initialize` in this revision of MCP")
        version = agreed(requested_of(message.params))
        result = result_line(message.id_raw, initialized(version, await self._seat.gateway.capabilities()))
        if self._reply.is_over:
            return
        declared = message.params["capabilities"]
        session = self._seat.sessions.begin(declared if isinstance(declared, dict) else {})
        session.talk.tasks = version == LATEST_LEGACY
        self._reply.answer(result, headers=(("Mcp-Session-Id", session.name),))

    async def _require_mirrored(self, message: Request) -> None:
        name, arguments = message.params.get("name"), message.params.get("arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return  # refused later as an invalid call
        schema = await self._seat.gateway.schema_of(name)
        try:
            some = parse_mirrors(schema)
        except BadMirrorError:
            return  # no client mirrors anything of such a tool, and nothing is decided by it
        require_mirrored(self._head.headers, arguments, some)

    def _notice(self, notice: Notice) -> None:
        modern = require_era(self._head.headers, notice)
        session = None if modern else self._session()
        if needs_id(notice.method):
            raise BadIdError(f"`{notice.method}` without an id would run without an answer")
        request = notice.params.get("requestId")
        if (
            session is not None
            and notice.method == "notifications/cancelled"
            and isinstance(request, int | str)
            and not isinstance(request, bool)
            and request in session.open
        ):
            self._seat.gateway.cancel(session.open[request])
        if session is not None and notice.method == "notifications/initialized":
            session.talk.begun = True
        self._reply.accept()

    def _answered(self, message: Result | Failure) -> None:
        if self._head.version == MODERN:
            raise NotAMessageError("in this revision of MCP a client answers with a request, and never so")
        require_spoken(self._head.headers.get("mcp-protocol-version", ""))
        session = self._session()
        self._reply.accept()
        self._seat.gateway.answered_within(message, frozenset(session.open.values()))
