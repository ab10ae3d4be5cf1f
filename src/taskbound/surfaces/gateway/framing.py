"""Lines between client and gateway: framed, paced.

1. A line of the client has at most 1 MiB; cutting follows `wire.mcp.line`, so that no
   library sees the bytes before we do (design 4.1).
2. What the client does not read piles up only so far: then nothing more is read from it,
   nor from any server, until it has caught up.
3. When either pipe ends, the client is gone.
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
class Talk:
    """One client: that of a pipe, or one session of those of a task."""

    begun: bool = False
    """Whether it said that it is initialized, and may be told of what it did not ask for."""
    tasks: bool = False
    """Whether it was told that its calls can be what MCP calls tasks (2025-11-25)."""
    level: str = ""
    """From which level on it hears what servers log; empty until it says so."""


MAX_LINE: Final = 1_048_576
"""Bytes of one line of the client."""
MAX_UNREAD: Final = 8 * 1_048_576
"""Bytes that the client may leave unread before nothing more is read for it."""


class ClientSide(Protocol):
    """Who serves the client; every method is called in the loop and returns at once."""

    def line(self, line: Cut) -> None:
        """One line, or why it is none."""

    def left(self, rest: Refused | None) -> None:
        """The client is gone, and this is the half of a message that it left; called once."""

    def fell_behind(self) -> None:
        """The client does not read what it is sent."""

    def caught_up(self) -> None:
        """It reads again."""


class Client(Protocol):
    """The way to a client, by pipes or otherwise; called in the loop, returns at once."""

    def answer(self, line: bytes, to: Id | None) -> None:
        """Answer the request of this id, or none that is known; an empty line says that none is due."""

    def tell(self, line: bytes, to: Id | None) -> None:
        """Say something that belongs to the request of this id, or to none."""

    def say(self, line: bytes, talk: Talk) -> None:
        """Say something that belongs to no request to one legacy client, if it hears such."""

    def talk(self, request: Id) -> Talk | None:
        """What the legacy client that sent this request has asked to hear; none of a modern one."""

    def talks(self) -> tuple[Talk, ...]:
        """The same of every legacy client that is there."""

    @property
    def is_one(self) -> bool:
        """Whether there is one client, and not several by one way."""

    def declared(self, to: Id) -> Mapping[str, JsonValue]:
        """The capabilities that the legacy client of this request has declared."""

    def can_hear(self, to: Id) -> bool:
        """Whether the client of this request can be told something before its answer."""

    def token(self, to: Id) -> str:
        """The name of the token that this request came with; empty for a client known by its process."""

    def hold(self, why: str) -> None:
        """Take nothing more from the client as long as anyone holds it."""

    def release(self, why: str) -> None:
        """Take back one hold."""

    def task_over(self, words: str) -> None:
        """The task that its calls belonged to has ended."""

    async def close(self, *, patience: float) -> None:
        """Let the client read what it was sent, at most so many seconds, and be done."""


class ClientPipes:
    """Both pipes of one client (`Client`)."""

    def __init__(self, side: ClientSide) -> None:
        """Prepare; `protocols` are plugged into the pipes by wiring."""
        self._side = side
        self._cutter = LineCutter(MAX_LINE)
        self._reader: asyncio.ReadTransport | None = None
        self._writer: asyncio.WriteTransport | None = None
        self._held: set[str] = set()
        self._gone = False
        self._talk = Talk()
        self.capabilities: Mapping[str, JsonValue] = {}
        """What the client declared with `initialize`."""
        self.incoming = _Incoming(self)
        self.outgoing = _Outgoing(self)

    def answer(self, line: bytes, to: Id | None = None) -> None:
        """Send one answer, with its line feed; it is dropped once the client is gone."""
        self.tell(line, to)

    def tell(self, line: bytes, to: Id | None = None) -> None:
        """Send one line: a pipe has one reader, whoever it is to."""
        del to
        if not line:
            return
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(line)

    def say(self, line: bytes, talk: Talk) -> None:
        """Send one line: there is one client."""
        del talk
        self.tell(line)

    def talk(self, request: Id) -> Talk | None:
        """That of the one client; whoever asks knows whether its request is a legacy one."""
        del request
        return self._talk

    def talks(self) -> tuple[Talk, ...]:
        """That of the one client."""
        return (self._talk,)

    def began(self, capabilities: Mapping[str, JsonValue]) -> None:
        """The client declares these with `initialize`."""
        self.capabilities = capabilities

    @property
    def is_one(self) -> bool:
        """Yes: a pipe has one reader."""
        return True

    def declared(self, to: Id) -> Mapping[str, JsonValue]:
        """What the client declared with `initialize`."""
        del to
        return self.capabilities

    def can_hear(self, to: Id) -> bool:
        """Yes: a pipe takes every line."""
        del to
        return not self._gone

    def token(self, to: Id) -> str:
        """None: the client is known by its process."""
        del to
        return ""

    def hold(self, why: str) -> None:
        """Read nothing from the client as long as anyone holds it."""
        self._held.add(why)
        if self._reader is not None and self._reader.is_reading():
            self._reader.pause_reading()

    def release(self, why: str) -> None:
        """Take back one hold."""
        self._held.discard(why)
        if not self._held and self._reader is not None and not self._reader.is_closing():
            self._reader.resume_reading()

    def task_over(self, words: str) -> None:
        """Nothing: the next call is told so, and another task may follow."""

    async def close(self, *, patience: float) -> None:
        """Wait until the client has read what it was sent, at most so many seconds, and close both."""
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
        """Keep the transport of the client's input."""
        if isinstance(transport, asyncio.ReadTransport):
            self._reader = transport

    def writing(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport of its output."""
        if isinstance(transport, asyncio.WriteTransport):
            transport.set_write_buffer_limits(high=MAX_UNREAD)  # 2
            self._writer = transport

    def heard(self, data: bytes) -> None:
        """Bytes of the client."""
        for line in self._cutter.feed(data):
            self._side.line(line)

    def lost(self, *, half: bool) -> None:
        """A pipe ended (rule 3)."""
        if not self._gone:
            self._gone = True
            self._side.left(self._cutter.finish() if half else None)

    def paused(self) -> None:
        """The client does not keep up (rule 2)."""
        self.hold("unread")
        self._side.fell_behind()

    def resumed(self) -> None:
        """It does again."""
        self.release("unread")
        self._side.caught_up()


class _Incoming(asyncio.Protocol):
    """Standard input, for asyncio."""

    def __init__(self, pipes: ClientPipes) -> None:
        self._pipes = pipes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._pipes.reading(transport)

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        self._pipes.heard(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client ended its side; what it left without a line feed is half a message."""
        self._pipes.lost(half=exc is None)


class _Outgoing(asyncio.BaseProtocol):
    """Standard output, for asyncio."""

    def __init__(self, pipes: ClientPipes) -> None:
        self._pipes = pipes
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._pipes.writing(transport)

    def pause_writing(self) -> None:
        """More is unread than may be."""
        self._pipes.paused()

    def resume_writing(self) -> None:
        """The client has read on."""
        self._pipes.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody reads any more."""
        del exc
        self.closed.set()
        self._pipes.lost(half=False)


class Pace:
    """Counts what is told of one call, or outside of all; used in the loop."""

    def __init__(self, *, second: int, most: int) -> None:
        """Tell at most `second` in any second, and `most` in all."""
        self._second = second
        self._left = most
        self._last: deque[float] = deque(maxlen=second)
        """When the last ones were told, by the loop's clock in seconds."""

    def allows(self) -> bool:
        """Whether one more is told now; then it counts."""
        now = asyncio.get_running_loop().time()
        if not self._left or (len(self._last) == self._second and now - self._last[0] < 1.0):
            return False
        self._left -= 1
        self._last.append(now)
        return True
