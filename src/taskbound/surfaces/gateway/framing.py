"""Lines between client and gateway, with flow control.

A client line has at most 1 MiB; `wire.mcp.line` frames the raw bytes before any library reads them (design
4.1). Beyond a bound of unread output the gateway stops reading from the client and from all servers. When
either pipe ends, the client is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.dataclass import dataclass
from taskbound.wire.mcp.message import LineCutter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.wire.mcp.message import Cut, Id, Refused


@dataclass(slots=True, kw_only=True, eq=False)
class ClientSession:
    """One client: the client of a pipe, or one session of a task."""

    begun: bool = False
    """Whether it is initialized and may receive unsolicited messages."""
    tasks: bool = False
    """Whether MCP tasks were declared to it (2025-11-25)."""
    level: str = ""
    """Its log level; empty until it sets one."""


MAX_LINE: Final = 1_048_576
"""Bytes of one line of the client."""
MAX_UNREAD: Final = 8 * 1_048_576
"""Unread bytes beyond which the gateway stops reading for the client."""


class ClientSide(Protocol):
    """The receiver of a client's events; called in the event loop, must return at once."""

    def line(self, line: Cut) -> None:
        """Takes one line, or the reason why it is invalid."""

    def left(self, rest: Refused | None) -> None:
        """Handles the client's end, with an unfinished message if there is one; called once."""

    def fell_behind(self) -> None:
        """Handles a client that does not read its output."""

    def caught_up(self) -> None:
        """Handles a client that reads again."""


class Client(Protocol):
    """The connection to a client; called in the event loop, returns at once."""

    def answer(self, line: bytes, to: Id | None) -> None:
        """Answers the request of this id, or none that is known; an empty line means no answer is due."""

    def tell(self, line: bytes, to: Id | None) -> None:
        """Sends a message that belongs to the request of this id, or to none."""

    def say(self, line: bytes, talk: ClientSession) -> None:
        """Sends a message outside requests to one legacy client, if it listens."""

    def talk(self, request: Id) -> ClientSession | None:
        """Returns the subscriptions of the legacy client of this request; None for a modern one."""

    def talks(self) -> tuple[ClientSession, ...]:
        """Returns those of every connected legacy client."""

    @property
    def is_one(self) -> bool:
        """Whether the connection has exactly one client."""

    def declared(self, to: Id) -> Mapping[str, JsonValue]:
        """Returns the capabilities of the legacy client of this request."""

    def can_hear(self, to: Id) -> bool:
        """Whether the client of this request can receive messages before its answer."""

    def token(self, to: Id) -> str:
        """Returns the name of the request's token; "" for a client that is identified by its process."""

    def hold(self, why: str) -> None:
        """Stops taking messages from the client until each hold is released."""

    def release(self, why: str) -> None:
        """Releases one hold."""

    def task_over(self, words: str) -> None:
        """Handles the end of the task that the client's calls belonged to."""

    async def close(self, *, patience: float) -> None:
        """Closes after the client has read its output, at most `patience` seconds."""


class ClientPipes:
    """Both pipes of one client (`Client`)."""

    def __init__(self, side: ClientSide) -> None:
        self._side = side
        self._cutter = LineCutter(MAX_LINE)
        self._reader: asyncio.ReadTransport | None = None
        self._writer: asyncio.WriteTransport | None = None
        self._held: set[str] = set()
        self._gone = False
        self._talk = ClientSession()
        self.capabilities: Mapping[str, JsonValue] = {}
        """What the client declared with `initialize`."""
        self.incoming = _Incoming(self)
        self.outgoing = _Outgoing(self)

    def answer(self, line: bytes, to: Id | None = None) -> None:
        self.tell(line, to)

    def tell(self, line: bytes, to: Id | None = None) -> None:
        del to
        if not line:
            return
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(line)

    def say(self, line: bytes, talk: ClientSession) -> None:
        del talk
        self.tell(line)

    def talk(self, request: Id) -> ClientSession | None:
        del request
        return self._talk

    def talks(self) -> tuple[ClientSession, ...]:
        return (self._talk,)

    def began(self, capabilities: Mapping[str, JsonValue]) -> None:
        self.capabilities = capabilities

    @property
    def is_one(self) -> bool:
        return True

    def declared(self, to: Id) -> Mapping[str, JsonValue]:
        del to
        return self.capabilities

    def can_hear(self, to: Id) -> bool:
        del to
        return not self._gone

    def token(self, to: Id) -> str:
        del to
        return ""

    def hold(self, why: str) -> None:
        self._held.add(why)
        if self._reader is not None and self._reader.is_reading():
            self._reader.pause_reading()

    def release(self, why: str) -> None:
        self._held.discard(why)
        if not self._held and self._reader is not None and not self._reader.is_closing():
            self._reader.resume_reading()

    def task_over(self, words: str) -> None:
        """Does nothing: the next call reports it, and another task may follow."""

    async def close(self, *, patience: float) -> None:
        """Waits for the client to read its output, at most `patience` seconds, and closes both pipes."""
        if self._reader is not None:
            self._reader.close()
        if self._writer is None:
            return
        self._writer.close()
        try:
            async with asyncio.timeout(patience):
                await self.outgoing.closed.wait()
        except TimeoutError:
            self._writer.abort()

    def reading(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.ReadTransport):
            self._reader = transport

    def writing(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.set_write_buffer_limits(high=MAX_UNREAD)
            self._writer = transport

    def heard(self, data: bytes) -> None:
        for line in self._cutter.feed(data):
            self._side.line(line)

    def lost(self, *, half: bool) -> None:
        if not self._gone:
            self._gone = True
            self._side.left(self._cutter.finish() if half else None)

    def paused(self) -> None:
        self.hold("unread")
        self._side.fell_behind()

    def resumed(self) -> None:
        self.release("unread")
        self._side.caught_up()


class _Incoming(asyncio.Protocol):
    def __init__(self, pipes: ClientPipes) -> None:
        self._pipes = pipes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pipes.reading(transport)

    def data_received(self, data: bytes) -> None:
        self._pipes.heard(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Passes on what the client left without a line feed: half a message."""
        self._pipes.lost(half=exc is None)


class _Outgoing(asyncio.BaseProtocol):
    def __init__(self, pipes: ClientPipes) -> None:
        self._pipes = pipes
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pipes.writing(transport)

    def pause_writing(self) -> None:
        self._pipes.paused()

    def resume_writing(self) -> None:
        self._pipes.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.closed.set()
        self._pipes.lost(half=False)


class Pace:
    """Counts the messages about one call, or outside calls; used in the event loop."""

    def __init__(self, *, second: int, most: int) -> None:
        self._second = second
        self._left = most
        self._last: deque[float] = deque(maxlen=second)
        """Times of the last messages, by the loop's clock in seconds."""

    def allows(self) -> bool:
        """Counts one message and returns whether it is within the limits."""
        now = asyncio.get_running_loop().time()
        if not self._left or (len(self._last) == self._second and now - self._last[0] < 1.0):
            return False
        self._left -= 1
        self._last.append(now)
        return True
