"""One HTTP/1.1 request and its answer on one connection, by h11 within bounds.

1. The request is built here completely and written at once; nothing in it comes from a client's request.
2. An answer's head has at most 32 KiB, after at most 8 interim answers. Ambiguous framing, two content types
   or a `Content-Encoding` make it invalid.
3. Redirects are not followed and cookies are ignored.
4. Head and each later silence have time limits, which don't run while reading is paused.
5. A connection is reused only after a complete answer.

Tokens (`SessionTokens`): 1. Each request carries the current token; without one nothing is sent. 2. A token
rejected with 401 is not sent again.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final

import h11

from taskbound.adapters.upstream.mcp.http.errors import BrokenAnswerError, NoTokenError, UntakenTokenError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.wire.frame import has_one_length, read_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.adapters.upstream.mcp.server import Tokens
    from taskbound.core.tool.identity import Remote


_MAX_HEAD: Final = 32_768
_SLICE: Final = 8_192
_MAX_INTERIM: Final = 8
_SINGLE: Final = (b"content-type", b"mcp-session-id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of an answer."""

    status: int
    kind: bytes
    """The media type in small letters, without parameters."""
    session: bytes | None


class Exchange:
    """One request on one connection; nothing is read while `flowing` is not set."""

    def __init__(self, wire: Wire, flowing: asyncio.Event) -> None:
        self._wire = wire
        self._flowing = flowing
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._left = 0.0
        """Seconds that may still be waited for bytes (rule 4)."""
        self._pending = b""
        self._heads: bytearray | None = bytearray()
        """What came until the answer's head was whole; None after that."""
        self.complete = False
        """Whether the connection can be used again (rule 5)."""

    @property
    def unsent(self) -> int:
        return self._wire.unsent

    def send(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        request = h11.Request(method=method, target=target, headers=list(headers))
        parts = [self._http.send(request)]
        if body:
            parts.append(self._http.send(h11.Data(data=body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        self._wire.write(b"".join(part for part in parts if part))

    async def head(self, *, patience: float) -> Head:
        """Returns the answer's head; raises BrokenAnswerError if it is late or invalid."""
        self._left = patience
        try:
            for _ in range(_MAX_INTERIM + 1):
                event = await self._next()
                if isinstance(event, h11.Response):
                    self._require_one_length()
                    return _head(event)
        except TimeoutError as error:
            raise BrokenAnswerError("timed-out", f"the server did not answer in {patience:g} s") from error
        raise BrokenAnswerError("bad-http", "the server's interim answers do not end")

    def _require_one_length(self) -> None:
        behind, heads = len(self._http.trailing_data[0]), bytes(self._heads or b"")
        self._heads = None
        if not has_one_length(read_lengths(heads[: len(heads) - behind])):
            raise BrokenAnswerError("bad-http", "the server frames its answer in two ways")

    async def more(self, *, silence: float) -> bytes:
        """Returns the next piece of the body, b'' at its end; raises BrokenAnswerError if it is cut off."""
        self._left = silence
        try:
            while True:
                match await self._next():
                    case h11.Data(data=data) if data:
                        return bytes(data)
                    case h11.Data():
                        continue
                    case h11.EndOfMessage():
                        done = self._http.their_state is h11.DONE and self._http.our_state is h11.DONE
                        self.complete = done and not (self._http.trailing_data[0] or self._pending)
                        return b""
                    case _:
                        raise BrokenAnswerError("bad-http", "the server's answer is cut off")
        except TimeoutError as error:
            raise BrokenAnswerError("timed-out", f"the server was silent for {silence:g} s") from error

    async def _next(self) -> object:
        data = b"?"
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                await self._flowing.wait()
                data = await self._read()
                await self._flowing.wait()  # it may have been cleared while nothing came
                if self._heads is not None:
                    self._heads += data
                self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            if not data:
                raise BrokenAnswerError("server-lost", "the server's answer is cut off") from error
            raise BrokenAnswerError("bad-http", "the server's answer is no HTTP") from error
        if isinstance(event, h11.ConnectionClosed):
            raise BrokenAnswerError("server-lost", "the server closed the connection")
        return event

    async def _read(self) -> bytes:
        if not self._pending:
            self._pending = await self._heard()
        data, self._pending = self._pending[:_SLICE], self._pending[_SLICE:]
        return data

    async def _heard(self) -> bytes:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(self._left):
            data = await self._wire.read()
        self._left = max(self._left - (loop.time() - began), 0.0)
        return data


def headers_for(remote: Remote, body: bytes) -> tuple[tuple[str, str], ...]:
    """Returns the headers of every request; none comes from the client."""
    found = [
        ("Host", remote.authority),
        ("User-Agent", "taskbound"),
        ("Accept", "application/json, text/event-stream" if body else "text/event-stream"),
        ("Accept-Encoding", "identity"),
        *remote.headers,
    ]
    if body:
        found += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return tuple(found)


def _head(response: h11.Response) -> Head:
    found: dict[bytes, list[bytes]] = {}
    for name, value in response.headers:
        found.setdefault(bytes(name), []).append(bytes(value))
    if b"transfer-encoding" in found and b"content-length" in found:
        raise BrokenAnswerError("bad-http", "the server frames its answer in two ways")  # 2
    if any(value.strip().lower() != b"identity" for value in found.get(b"content-encoding", ())):
        raise BrokenAnswerError("encoded-answer", "the server's answer is encoded without being asked to")
    if any(len(found.get(name, ())) > 1 for name in _SINGLE):
        raise BrokenAnswerError("bad-http", "the server's answer says in two ways what it is")
    session = found.get(b"mcp-session-id")
    kind = found.get(b"content-type", [b""])[0].partition(b";")[0].strip().lower()
    return Head(status=response.status_code, kind=kind, session=session[0] if session else None)


_ENOUGH: Final = 65_536
"""Bytes that wait to be read, after which nothing more is taken from the other side."""


class Wire(asyncio.Protocol):
    """One connection, made by asyncio."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._over = False
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def fresh(self) -> bool:
        """Whether the peer is connected and sent nothing unrequested."""
        open_ = self._transport is not None and not self._transport.is_closing()
        return open_ and not self._over and not self._held

    @property
    def unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def certificate(self) -> bytes:
        """The peer's certificate; b'' without TLS."""
        inside = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        found = inside.getpeercert(binary_form=True) if isinstance(inside, ssl.SSLObject) else None
        return found or b""

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def read(self) -> bytes:
        """Returns received bytes; b'' at the end."""
        while not self._held and not self._over:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = bytes(self._held)
        self._held.clear()
        if self._transport is not None and not self._over:
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """Closes the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Buffers received bytes."""
        self._held += data
        if len(self._held) >= _ENOUGH and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._over = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._over = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


_UNAUTHORIZED: Final = 401
_SCHEME: Final = "Bearer "
_Headers = tuple[tuple[str, str], ...]


class SessionTokens:
    """The tokens of one session; None if the server needs none."""

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    async def headers(self) -> _Headers:
        """Returns the token's header (RFC 6750 §2.1) for one request; raises NoTokenError."""
        if self._tokens is None:
            return ()
        try:
            return (("Authorization", f"{_SCHEME}{await self._tokens.current()}"),)
        except TaskboundError as error:
            raise NoTokenError(f"{error.message} [{error.code}]", remedy=error.advice) from error

    def require_taken(self, head: Head, sent: _Headers, *, ours: bool) -> None:
        """Raises UntakenTokenError if the server rejected the token of a repeatable request (rule 2)."""
        if head.status != _UNAUTHORIZED or self._tokens is None:
            return
        for _, value in sent:
            self._tokens.refused(value.removeprefix(_SCHEME))
        if ours:
            raise UntakenTokenError("http-status", "the server does not take the token that it was sent")
