"""Clients of a crowd, each in its own way: over HTTP in both eras, over a pipe in both eras.

1. A client's ids are whatever the caller says, so that those of all clients can be equal.
2. What comes is believed by nobody: an answer is kept with the id that stood in it, and whoever asked
   compares.
3. A client that cancels does it as its way has it: a modern one over HTTP goes away, all others say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from taskbound.wire.mcp.message import DECISION_KEY
from tests.surfaces.gateway.bench import META
from tests.surfaces.gateway.http.fronting import Answer, Listening, Wire
from tests.surfaces.gateway.real import PATIENT, Place

Id = int | str
Json = dict[str, Any]
Way = Literal["http-legacy", "http-modern", "stdio-legacy", "stdio-modern"]
WAYS: Final[tuple[Way, ...]] = ("http-legacy", "http-modern", "stdio-legacy", "stdio-modern")
_IDLE: Final = 30.0
"""Seconds after which a connection is not used again: the front closes those that were idle for 75."""
_PATIENCE: Final = 600.0
"""Seconds: whoever asks has a bound of its own."""
_LIMIT: Final = 64 * 1_048_576


class WrongIdError(AssertionError):
    """An answer came under an id that nobody had asked with, or twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one call was answered."""

    code: str
    """`ok`, the code of a refusal, `cancelled` when the client went away, `silence` for no answer."""
    text: str = ""


class Open(Protocol):
    """A call that was sent."""

    async def answer(self) -> Said:
        """What it is answered; a call that was cancelled may be answered all the same."""

    async def cancel(self) -> None:
        """Cancel it."""


class Client(Protocol):
    """One client of one task."""

    async def send(self, tool: str, arguments: Json, request: Id) -> Open:
        """Send a call."""


def said_of(message: Json) -> Said:
    """What an answer says."""
    if "error" in message:
        return Said(code=message["error"].get("data", {}).get("code", str(message["error"]["code"])))
    result = message["result"]
    if DECISION_KEY in result.get("_meta", {}):
        return Said(code=result["_meta"][DECISION_KEY]["code"])
    return Said(code="ok", text=result["content"][0]["text"])


def require_id(message: Json, request: Id) -> None:
    """The answer is to this request, by the id that stands in it."""
    found = message.get("id")
    if type(found) is not type(request) or found != request:
        raise WrongIdError(f"the call with the id {request!r} got an answer with {found!r}")


# --- over HTTP ----------------------------------------------------------------------------------------------


class _Posted:
    """A call that was posted on a connection of its own."""

    def __init__(self, client: _Web, wire: Wire, request: Id) -> None:
        self._client, self._wire, self._request = client, wire, request
        self._left = False

    def is_left(self) -> bool:
        """Whether the client went away, maybe while it waited."""
        return self._left

    async def answer(self) -> Said:
        if self.is_left():
            return Said(code="cancelled")
        try:
            found = await self._wire.answer()
        except (asyncio.IncompleteReadError, ConnectionError):
            if self.is_left():
                return Said(code="cancelled")
            raise
        self._client.give_back(self._wire)
        if not found.events and (not found.body or found.body == b"events"):
            return Said(code="silence")
        require_id(found.json, self._request)
        return said_of(found.json)

    async def cancel(self) -> None:
        if self._client.session:
            notice = {"method": "notifications/cancelled", "params": {"requestId": self._request}}
            await self._client.post(notice)
        else:
            self._left = True
            self._wire.writer.transport.abort()


class _Web:
    """A client over HTTP: as many connections as it has calls."""

    def __init__(self, there: Listening, token: str, session: str, *, eager: bool) -> None:
        self._there, self._token, self.session = there, token, session
        self._more: Json = {"Accept": "text/event-stream"} if eager else {}
        self._idle: list[tuple[float, Wire]] = []
        self._wires: list[Wire] = []

    async def send(self, tool: str, arguments: Json, request: Id) -> Open:
        wire = await self._wire()
        if self.session:
            params = {"name": tool, "arguments": arguments}
            message = {"id": request, "method": "tools/call", "params": params}
            wire.send(self._there.legacy(self._token, message, self.session))
        else:
            wire.send(self._there.calling(self._token, tool, arguments, request, META, **self._more))
        return _Posted(self, wire, request)

    async def post(self, notice: Json) -> Answer:
        """A message that gets no answer but that it was taken."""
        wire = await self._wire()
        wire.send(self._there.legacy(self._token, notice, self.session))
        found = await wire.answer()
        self.give_back(wire)
        return found

    def give_back(self, wire: Wire) -> None:
        """Keep a connection for the next call."""
        self._idle.append((asyncio.get_running_loop().time(), wire))

    async def _wire(self) -> Wire:
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, wire = self._idle.pop()
            if now - since < _IDLE and not wire.writer.is_closing() and not wire.reader.at_eof():
                return wire
            wire.writer.close()
        self._wires = [one for one in self._wires if not one.writer.is_closing()]
        wire = await self._there.wire()
        wire.patience = _PATIENCE
        self._wires.append(wire)
        return wire

    async def close(self) -> None:
        """End all connections, also where this is cancelled before the first of them has ended."""
        for wire in self._wires:
            wire.writer.close()
        for wire in self._wires:
            await wire.__aexit__()


@contextlib.asynccontextmanager
async def web(there: Listening, token: str, way: Way, *, eager: bool = False) -> AsyncIterator[Client]:
    """A client of the front with this token; an eager one would rather have streams."""
    session = await there.initialize(token) if way == "http-legacy" else ""
    client = _Web(there, token, session, eager=eager and not session)
    try:
        yield client
    finally:
        await client.close()


# --- over a pipe --------------------------------------------------------------------------------------------


class Written:
    """A call that was written to a pipe."""

    def __init__(self, pipe: Pipe, request: Id, come: asyncio.Future[Said]) -> None:
        self._pipe, self._request, self._come = pipe, request, come
        self._left = False

    async def answer(self) -> Said:
        if self._left:  # MCP: no answer is due, and none may be waited for
            return self._come.result() if self._come.done() else Said(code="cancelled")
        return await self._come

    async def cancel(self) -> None:
        self._left = True
        self._come.add_done_callback(lambda come: come.cancelled() or come.exception())  # nobody waits for it
        self._pipe.write({"method": "notifications/cancelled", "params": {"requestId": self._request}})


class Pipe:
    """A gateway process of one agent, of which both eras' clients are one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._to, self._from = process.stdin, process.stdout
        self._open: dict[str, asyncio.Future[Said]] = {}
        self._reading = asyncio.get_running_loop().create_task(self._read())

    def write(self, message: Json) -> None:
        self._to.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")

    def expect(self, request: Id) -> asyncio.Future[Said]:
        """What the request with this id will be answered."""
        key = json.dumps(request)
        self._open[key] = asyncio.get_running_loop().create_future()
        return self._open[key]

    async def _read(self) -> None:
        try:
            while line := await self._from.readline():
                message = json.loads(line)
                if "method" in message:
                    continue
                come = self._open.pop(json.dumps(message["id"]), None)
                if come is None and not self._to.is_closing():
                    raise WrongIdError(f"an answer to {message['id']!r}, which nobody asked, or twice")
                if come is None or come.done():
                    continue
                called = "error" in message or "content" in message["result"]
                come.set_result(said_of(message) if called else Said(code="ok"))
        finally:
            for one in self._open.values():
                if not one.done():
                    one.set_exception(ConnectionError("the gateway has ended"))
            self._open.clear()

    def of(self, way: Way) -> Client:
        """A client of this pipe."""
        return _Piped(self, modern=way == "stdio-modern")

    async def close(self) -> None:
        """End the input, and wait for the process."""
        for one in self._open.values():
            one.cancel()
        self._open.clear()
        self._to.close()
        try:
            await self._reading
        finally:
            await self.process.wait()


class _Piped:
    """A client that writes to a pipe."""

    def __init__(self, pipe: Pipe, *, modern: bool) -> None:
        self._pipe, self._modern = pipe, modern

    async def send(self, tool: str, arguments: Json, request: Id) -> Open:
        params: Json = {"name": tool, "arguments": arguments} | ({"_meta": META} if self._modern else {})
        come = self._pipe.expect(request)
        self._pipe.write({"id": request, "method": "tools/call", "params": params})
        return Written(self._pipe, request, come)


@contextlib.asynccontextmanager
async def piped(place: Place, agent: str) -> AsyncIterator[Pipe]:
    """The gateway of an agent, whose handshake is done."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *PATIENT,
        *("--agent", agent, "--home", str(place.home)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LIMIT,
    )
    pipe = Pipe(process)
    try:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}}
        come = pipe.expect(0)
        who = {"name": "crowd", "version": "1"}
        pipe.write({"id": 0, "method": "initialize", "params": hello | {"clientInfo": who}})
        await come
        pipe.write({"method": "notifications/initialized"})
        yield pipe
    finally:
        await pipe.close()
