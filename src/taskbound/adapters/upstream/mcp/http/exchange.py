"""One request and its answer on one connection: HTTP/1.1 by h11, within bounds.

Of `exchange`:

1. What is sent is built here, whole, and written at once; nothing of it comes from a client's request.
2. The head of an answer is at most 32 KiB, of at most 8 interim answers. A head that frames its body in two
   ways, says its type twice, or has a coded body (`Content-Encoding`) is no answer: nothing is unpacked.
3. Nothing is followed and nothing kept: redirections are answers like any other, cookies are not read.
4. There is a bound of time for the head, and one for each silence after it; time in which nothing is read
   because nobody keeps up counts for neither.
5. The connection is used again only after an answer that ended as it said it would.

Of `bearing`:

1. A server that wants tokens is given the one of the moment with each request. Without one nothing is sent.
2. One that the server does not take (401) is not sent again.
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
    """The beginning of an answer."""

    status: int
    kind: bytes
    """The media type in small letters, without parameters."""
    session: bytes | None


class Exchange:
    """One request on one connection."""

    def __init__(self, wire: Wire, flowing: asyncio.Event) -> None:
        """Use this connection; nothing is read from it while `flowing` is not set."""
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
        """Bytes that the server has not taken yet."""
        return self._wire.unsent

    def send(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Write a request (rule 1)."""
        request = h11.Request(method=method, target=target, headers=list(headers))
        parts = [self._http.send(request)]
        if body:
            parts.append(self._http.send(h11.Data(data=body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        self._wire.write(b"".join(part for part in parts if part))

    async def head(self, *, patience: float) -> Head:
        """The answer's head.

        Raises:
            BrokenAnswerError: There is none in time, or none that can be believed.
        """
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
        """Go on only with a head that says one length (rule 2)."""
        behind, heads = len(self._http.trailing_data[0]), bytes(self._heads or b"")
        self._heads = None
        if not has_one_length(read_lengths(heads[: len(heads) - behind])):
            raise BrokenAnswerError("bad-http", "the server frames its answer in two ways")

    async def more(self, *, silence: float) -> bytes:
        """The next piece of the body; empty at its end.

        Raises:
            BrokenAnswerError: It is cut off, or the server falls silent.
        """
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
        """The next bytes, few at once, so that rule 2 holds: `h11` bounds only what is not complete."""
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
    """What goes with every request to a server, with a body or without one; nothing of it is the client's."""
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
        raise BrokenAnswerError("encoded-answer", "the server's answer is encoded, which nobody asked for")
    if any(len(found.get(name, ())) > 1 for name in _SINGLE):
        raise BrokenAnswerError("bad-http", "the server's answer says in two ways what it is")
    session = found.get(b"mcp-session-id")
    kind = found.get(b"content-type", [b""])[0].partition(b";")[0].strip().lower()
    return Head(status=response.status_code, kind=kind, session=session[0] if session else None)


_ENOUGH: Final = 65_536
"""Bytes that wait to be read, after which nothing more is taken from the other side."""


class Wire(asyncio.Protocol):
    """One connection; made by asyncio."""

    def __init__(self) -> None:
        """Wait to be connected."""
        self._held = bytearray()
        self._over = False
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def fresh(self) -> bool:
        """Whether nothing came that nobody has asked for, and the other side is still there."""
        open_ = self._transport is not None and not self._transport.is_closing()
        return open_ and not self._over and not self._held

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the other side has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def certificate(self) -> bytes:
        """The certificate that the other side showed; empty without TLS."""
        inside = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        found = inside.getpeercert(binary_form=True) if isinstance(inside, ssl.SSLObject) else None
        return found or b""

    def write(self, data: bytes) -> None:
        """Send these bytes."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def read(self) -> bytes:
        """What came; empty at the end."""
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
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came (asyncio calls this)."""
        self._held += data
        if len(self._held) >= _ENOUGH and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note that nothing more comes (asyncio calls this)."""
        self._over = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone (asyncio calls this)."""
        del exc
        self._over = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


_UNAUTHORIZED: Final = 401
_SCHEME: Final = "Bearer "
_Headers = tuple[tuple[str, str], ...]


class Bearing:
    """The tokens of one session; none for a server that wants none."""

    def __init__(self, tokens: Tokens | None) -> None:
        """Send these."""
        self._tokens = tokens

    async def headers(self) -> _Headers:
        """The header in which a token goes (RFC 6750 §2.1), for one request.

        Raises:
            NoTokenError: The server wants one, and there is none (rule 1).
        """
        if self._tokens is None:
            return ()
        try:
            return (("Authorization", f"{_SCHEME}{await self._tokens.current()}"),)
        except TaskboundError as error:
            raise NoTokenError(f"{error.message} [{error.code}]", remedy=error.advice) from error

    def require_taken(self, head: Head, sent: _Headers, *, ours: bool) -> None:
        """See whether the server takes the token that it was sent (rule 2).

        Raises:
            UntakenTokenError: It does not, and it was a question of our own that can be asked again.
        """
        if head.status != _UNAUTHORIZED or self._tokens is None:
            return
        for _, value in sent:
            self._tokens.refused(value.removeprefix(_SCHEME))
        if ours:
            raise UntakenTokenError("http-status", "the server does not take the token that it was sent")
