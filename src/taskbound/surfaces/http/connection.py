"""One bounded HTTP connection.

1. The head is cut and checked here first (`head`), then parsed by h11; the body has exactly the stated
   length.
2. Nothing is read behind an unanswered request: bytes there close the connection, so request smuggling fails.
3. Each step has a time limit: first byte, head, body, reading the answer. A slow client is told if possible,
   and closed.
4. A client refused while sending may go on for a moment, unread, so that it reads the refusal.
5. Unread output is bounded; a slow reader is closed. The next request waits until the answer was read.
6. TCP_NODELAY is set, because a stream is written in pieces and a delayed acknowledgment costs 40 ms; asyncio
   sets it only on sockets that it made.
7. The server judges heads and renders answers, also refusals of unreadable requests. The body of an answer to
   HEAD is dropped here.
8. The client's address and TLS certificates are passed on unjudged.
9. The server is told of a request that was refused before it was complete after the answer, unless its client
   went away.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import h11

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.http.errors import BadHttpError, FrontFullError, HeadTooLargeError, SlowClientError
from taskbound.surfaces.http.head import require_strict

if TYPE_CHECKING:
    from collections.abc import Sequence


_END: Final = b"\r\n\r\n"
_HIGH: Final = 262_144
_DER: Final = 2
"""`_ssl.ENCODING_DER`."""


class Head(Protocol):
    """A server's view of a request's head."""

    @property
    def length(self) -> int:
        """Returns the bytes of the body."""


@dataclass(frozen=True, slots=True)
class RawHead:
    """A request's head as it was written."""

    verb: str
    target: str
    fields: Sequence[tuple[bytes, bytes]] = field(repr=False)
    """Lower-case names and values of headers, in order; they may be credentials, and are in no `repr`."""


class Answering(Protocol):
    """The one answer to a request."""

    def refuse(self, error: TaskboundError) -> None:
        """Answers with an error, under its status."""

    def lost(self) -> None:
        """The client is gone."""

    def slow(self, *, slow: bool) -> None:
        """The client stopped reading, or goes on."""


H = TypeVar("H", bound=Head)
R = TypeVar("R", bound=Answering)


class Server(Protocol[H, R]):
    """The owner of connections; every method is called in the loop and returns at once."""

    @property
    def bounds(self) -> Bounds:
        """Returns the limits."""

    def enter(self, connection: HttpConnection[H, R]) -> bool:
        """Counts another connection; returns whether there is room."""

    def leave(self, connection: HttpConnection[H, R]) -> None:
        """Takes a closed connection; called once for each that entered."""

    def reserve(self, connection: HttpConnection[H, R], size: int) -> bool:
        """Reserves bytes for a body; returns whether there is room."""

    def release(self, connection: HttpConnection[H, R]) -> None:
        """Releases the reservation."""

    def read(self, verb: str, target: str, fields: Sequence[tuple[bytes, bytes]]) -> H:
        """Judges a head (rule 7), with lower-case names in order; raises a TaskboundError to refuse."""

    def reply(self, connection: HttpConnection[H, R], head: H | None, raw: RawHead | None) -> R:
        """Returns the reply object of a request.

        `head` may be None for a request refused before it was complete, `raw` for an unreadable one.
        """

    def take(self, head: H, body: bytes, reply: R) -> None:
        """Takes a complete request, to be answered once."""

    def refusal(
        self, connection: HttpConnection[H, R], raw: RawHead | None, error: TaskboundError
    ) -> TaskboundError:
        """Returns the error to send for a request that is refused before it is complete."""

    def refused(self, error: TaskboundError, raw: RawHead | None) -> None:
        """Takes a request that was refused before it was complete (rule 9)."""


class _Phase(Enum):
    IDLE = "between two requests"
    HEAD = "in a head"
    BODY = "in a body"
    ANSWERING = "in an answer"
    LINGERING = "refused, and read no more"
    GONE = "closed"


class HttpConnection(asyncio.Protocol, Generic[H, R]):
    """One client's connection; asyncio makes one for each."""

    def __init__(self, server: Server[H, R]) -> None:
        self._server = server
        self._bounds = server.bounds
        self._transport: asyncio.Transport | None = None
        self.address = ""
        """Where the connection comes from; empty when that is not known (rule 8)."""
        self._phase = _Phase.IDLE
        self._raw = bytearray()
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=self._bounds.head)
        self._head: H | None = None
        self._written: RawHead | None = None
        """The head as it was written, once it is whole and until it is answered (rules 7 and 9)."""
        self._reply: R | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._entered = False
        self._stalled: asyncio.TimerHandle | None = None
        self._bare = False
        """Whether the request is a HEAD, whose answer has no body (rule 7)."""
        self._slowed: R | None = None
        """The answer that is not read yet; it may be whole, and the next request begun."""

    # --- reading ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins if there is room."""
        if not isinstance(transport, asyncio.Transport):
            return
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        transport.set_write_buffer_limits(high=_HIGH)
        with suppress(OSError):  # a client that is gone already
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # 6
        self._entered = self._server.enter(self)
        if not self._entered:
            self._refuse(FrontFullError("so many connections are open that another one is not served"))
            return
        self._wait(min(self._bounds.first, self._bounds.idle), None)

    def data_received(self, data: bytes) -> None:
        """Takes received bytes (rules 1 and 2)."""
        match self._phase:
            case _Phase.IDLE | _Phase.HEAD:
                self._heading(data)
            case _Phase.BODY:
                self._filling(data)
            case _Phase.ANSWERING:
                self.abort()  # 2
            case _Phase.LINGERING | _Phase.GONE:
                pass  # 4

    def eof_received(self) -> bool:
        """Closes: a half-closed connection is no client (rule 2)."""
        return False

    def _heading(self, data: bytes) -> None:
        if self._phase is _Phase.IDLE:
            self._phase = _Phase.HEAD
            self._wait(self._bounds.head_seconds, SlowClientError("the head did not arrive in time"))
        self._raw += data
        end = self._raw.find(_END)
        if end > self._bounds.head or (end < 0 and len(self._raw) > self._bounds.head):
            self._refuse(HeadTooLargeError(f"the head is over {self._bounds.head} bytes"))
        elif end >= 0:
            head, rest = bytes(self._raw[: end + 4]), bytes(self._raw[end + 4 :])
            self._raw.clear()
            try:
                self._begin(head)
            except TaskboundError as error:
                self._refuse(error)
                return
            self._filling(rest)

    def _begin(self, raw: bytes) -> None:
        require_strict(raw)
        try:
            self._wire.receive_data(raw)
            request = self._wire.next_event()
        except h11.RemoteProtocolError as error:
            raise BadHttpError("the head is no HTTP/1.1") from error
        if not isinstance(request, h11.Request) or request.http_version != b"1.1":
            raise BadHttpError("the head is no request of HTTP/1.1")
        self._bare = request.method == b"HEAD"
        verb, target = (one.decode("ascii", "replace") for one in (request.method, request.target))
        fields: Sequence[tuple[bytes, bytes]] = list(request.headers)
        self._written = RawHead(verb, target, fields)
        if len(fields) > self._bounds.headers:
            raise HeadTooLargeError(f"the head has over {self._bounds.headers} headers")
        head = self._server.read(verb, target, fields)
        if not self._server.reserve(self, head.length):
            raise FrontFullError("so much is being read that nothing more is taken")
        self._head = head
        self._phase = _Phase.BODY
        self._wait(self._bounds.body_seconds, SlowClientError("the body did not arrive in time"))
        if self._wire.they_are_waiting_for_100_continue:
            self.write(h11.InformationalResponse(status_code=100, headers=[]))

    def _filling(self, data: bytes) -> None:
        head = self._head
        if head is None:
            return
        self._raw += data
        if len(self._raw) < head.length:
            return
        if len(self._raw) > head.length:
            self._refuse(BadHttpError("the request has more bytes than its stated length"))  # 2
            return
        body = bytes(self._raw)
        self._raw.clear()
        if body:  # no bytes would be the end of the connection to h11
            self._wire.receive_data(body)
        while not isinstance(self._wire.next_event(), h11.EndOfMessage):
            pass
        self._phase = _Phase.ANSWERING
        self._stop()
        self._reply = self._server.reply(self, head, self._written)
        self._server.take(head, body, self._reply)

    def _refuse(self, error: TaskboundError) -> None:
        self._phase = _Phase.LINGERING
        self._raw.clear()
        written = self._written
        self._let_go()
        error = self._server.refusal(self, written, error)
        self._server.reply(self, None, written).refuse(error)
        if (
            self._transport is not None
            and self._transport.can_write_eof()
            and not self._transport.is_closing()
        ):
            self._transport.write_eof()
        self._wait(self._bounds.linger, None)
        self._server.refused(error, written)  # 9

    @property
    def is_idle(self) -> bool:
        """Returns whether no byte of a request arrived since the last answer."""
        return self._phase is _Phase.IDLE

    @property
    def is_answering(self) -> bool:
        """Returns whether a complete request waits for its answer."""
        return self._phase is _Phase.ANSWERING

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """Returns the client's TLS certificates in DER, leaf first (rule 8)."""
        secured = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        if secured is None or not secured.getpeercert(binary_form=True):
            return ()
        if hasattr(secured, "get_unverified_chain"):  # Python 3.13
            return tuple(secured.get_unverified_chain())
        shown = secured._sslobj.get_unverified_chain()  # noqa: SLF001 -- before 3.13 it has no other name
        return tuple(one.public_bytes(_DER) for one in shown)

    # --- writing ---------------------------------------------------------------------------------

    @property
    def unread(self) -> int:
        """Returns the bytes that the client has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def write(self, *events: h11.Event) -> None:
        """Sends events in one piece; does nothing once the client is gone."""
        if self._transport is None or self._transport.is_closing():
            return
        if self.unread > self._bounds.unread and any(isinstance(one, h11.Data) for one in events):
            self.abort()  # 5
            return
        told = [one for one in events if not (self._bare and isinstance(one, h11.Data))]  # 7
        try:
            data = b"".join([self._wire.send(one) or b"" for one in told])
        except h11.LocalProtocolError:  # there is no answer of this form
            self.abort()
            return
        if data:
            self._transport.write(data)

    def finished(self) -> None:
        """Ends the answer: waits for the next request, or closes."""
        self._let_go()
        self._reply = None
        if self._phase is not _Phase.ANSWERING:
            return
        if self._wire.our_state is h11.DONE and self._wire.their_state is h11.DONE:
            self._wire.start_next_cycle()
            self._phase = _Phase.IDLE
            self._wait(self._bounds.idle, None)
            if self._stalled is not None and self._transport is not None:
                self._transport.pause_reading()  # 5
        else:
            self._close()

    def pause_writing(self) -> None:
        """The client does not read (rule 5)."""
        self._watch_stall()
        self._slowed = self._reply
        if self._slowed is not None:
            self._slowed.slow(slow=True)

    def _watch_stall(self, before: int = -1) -> None:
        unread = self.unread
        if unread == before:
            self.abort()
            return
        loop = asyncio.get_running_loop()
        self._stalled = loop.call_later(self._bounds.stalled, self._watch_stall, unread)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
            if self._transport is not None:
                self._transport.resume_reading()  # nothing where it was not paused, or is closed
        slowed, self._slowed = self._slowed, None
        if slowed is not None:
            slowed.slow(slow=False)

    # --- ending ----------------------------------------------------------------------------------

    def abort(self) -> None:
        """Closes at once; unsent output is lost."""
        self._phase = _Phase.GONE
        if self._transport is not None:
            self._transport.abort()

    def _close(self) -> None:
        self._phase = _Phase.LINGERING
        if self._transport is not None:
            self._transport.close()
        self._wait(self._bounds.stalled, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the request of the connection."""
        del exc
        self._phase = _Phase.GONE
        self._stop()
        self.resume_writing()
        self._let_go()
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.lost()
        if self._entered:
            self._entered = False
            self._server.leave(self)

    def _let_go(self) -> None:
        self._head = self._written = None
        self._server.release(self)

    def _wait(self, seconds: float, error: TaskboundError | None) -> None:
        self._stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._late, error)

    def _late(self, error: TaskboundError | None) -> None:
        if error is not None:
            self._refuse(error)
        else:
            self.abort()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The limits of connections; tests use smaller values."""

    connections: int = 512
    """Of all clients (`room`)."""
    reserve: int = 128
    """Of these, for clients that have proven themselves alone; at most half of all."""
    each: int = 128
    """Unproven connections of one network: an IPv4 address, or the /64 of an IPv6 one. And proven ones of one
    identity."""
    first: float = 5.0
    """Seconds that a connection may stay without its first request."""
    head: int = 16_384
    """Bytes of a request's line and headers."""
    headers: int = 64
    head_seconds: float = 10.0
    """From the first byte of a request to the last of its headers."""
    body: int = 1_048_576
    """Bytes of a body."""
    body_seconds: float = 30.0
    bodies: int = 32 * 1_048_576
    """Bytes of bodies that are being read, of all clients."""
    bodies_each: int = 8 * 1_048_576
    """Of these, for unproven connections of one network; one body at least."""
    idle: float = 75.0
    """Seconds that a connection may stay between two requests."""
    linger: float = 2.0
    """Seconds for which a refused client may go on sending, so that it can read why."""
    unread: int = 8 * 1_048_576
    """Bytes that a client may leave unread before something more is written to it."""
    stalled: float = 30.0
    """Seconds that a client may read nothing of what waits for it."""
    alive: float = 15.0
    """Seconds between two comments on a stream on which nothing is said."""
