"""A connection to the daemon over its Unix socket, for asyncio and for blocking code.

1. Every request ends in an answer or a named error within its time limit.
2. A `Fault` is raised as `RefusedByDaemonError` with the daemon's code, text and advice.
3. A connect that meets a full queue is retried with growing pauses, within the request's time limit.
4. A broken connection fails every open request with `DaemonLostError`; the daemon may have executed them.
5. Pushes are delivered before answers that arrived with them, so the receiver knows what has ended.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeVar

from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.sdk.arrival import Arrival
from taskbound.wire.connection import Fault, Open, Opened
from taskbound.wire.envelope import Answer, Ask, Push, Reply, Said, said_decoder
from taskbound.wire.frame import FrameBuffer, FrameError, decode_frame, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.wire.network import Shown


A = TypeVar("A")
PATIENCE: Final = 5.0
"""Seconds that a request waits before the daemon counts as lost (design 4.9)."""
_CHUNK: Final = 65536
_FIRST_PAUSE: Final = 0.002
_LAST_PAUSE: Final = 0.2


class DaemonLostError(UnavailableError):
    """The daemon does not answer."""

    code = "daemon-lost"
    remedy = "start it with `taskbound serve`, or look at `taskbound doctor`"


class RefusedByDaemonError(DeniedError):
    """The daemon refused; `fault` holds its code, text and advice."""

    code = "refused-by-daemon"

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message, remedy=fault.advice, where=fault.where)
        self.fault = fault


def _expect(answer: object, kind: type[A]) -> A:
    if isinstance(answer, Fault):  # first: it is a message too, and no answer whatever was due
        raise RefusedByDaemonError(answer)
    if isinstance(answer, kind):
        return answer
    raise FrameError(f"the daemon answered `{type(answer).__name__}` where `{kind.__name__}` was due")


def _knock(path: Path) -> socket.socket | None:
    """Returns a connected socket, or None while the daemon's queue is full: asyncio can't tell them apart."""
    fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    try:
        fresh.connect(str(path))
    except BlockingIOError:
        fresh.close()
        return None
    except OSError as error:
        fresh.close()
        raise DaemonLostError(f"no daemon answers at `{path}`: {error.strerror or error}") from error
    return fresh


def _pauses(patience: float) -> Iterator[float]:
    pause, left = _FIRST_PAUSE, patience
    while left > 0:
        yield min(pause, left)
        left -= pause
        pause = min(2 * pause, _LAST_PAUSE)


def _full(path: Path) -> DaemonLostError:
    return DaemonLostError(f"the daemon at `{path}` accepts no connection: its queue is full")


async def _reach(path: Path) -> socket.socket:
    for pause in _pauses(PATIENCE):
        if (connected := _knock(path)) is not None:
            return connected
        await asyncio.sleep(pause)
    raise _full(path)


def _reach_now(path: Path, patience: float) -> socket.socket:
    for pause in _pauses(patience):
        if (connected := _knock(path)) is not None:
            return connected
        time.sleep(pause)
    raise _full(path)


class Begun(NamedTuple):
    """A sent request and the future of its answer."""

    number: int
    waiting: Arrival[Answer]


class AsyncClient(asyncio.Protocol):
    """A connection for asyncio; `pushed` must not block; `lost` is called once, when it is gone."""

    def __init__(self, pushed: Callable[[Push], None], lost: Callable[[], None]) -> None:
        self._pushed = pushed
        self._lost = lost
        self._buffer = FrameBuffer()
        self._open: dict[int, tuple[Arrival[Answer], float]] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._last = 0
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(
        cls, path: Path, hello: Open, *, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> tuple[AsyncClient, Opened]:
        """Connects and opens; raises RefusedByDaemonError for this peer, role, agent or version."""
        loop = asyncio.get_running_loop()
        connected = await _reach(path)
        _, client = await loop.create_unix_connection(lambda: cls(pushed, lost), sock=connected)
        try:
            return client, await client.ask(hello, Opened)
        except BaseException:
            client.close()
            raise

    async def ask(self, ask: Ask, kind: type[A], *, patience: float = PATIENCE) -> A:
        return _expect(await self.ask_any(ask, patience=patience), kind)

    async def ask_any(self, ask: Ask, *, patience: float = PATIENCE, shown: Shown | None = None) -> Answer:
        """Returns the answer of any kind, faults included; `shown` came with the request."""
        return await self.answer(self.begin(ask, patience=patience, shown=shown))

    def begin(self, ask: Ask, *, patience: float = PATIENCE, shown: Shown | None = None) -> Begun:
        """Sends a request at once; `answer` waits, at most `patience` seconds from now."""
        if self._transport is None or self._transport.is_closing():
            raise DaemonLostError("the connection to the daemon is closed")
        self._last += 1
        number = self._last
        frame = encode_frame(Said(id=number, ask=ask, shown=shown))
        loop = asyncio.get_running_loop()
        waiting: Arrival[Answer] = Arrival(loop=loop)
        end = loop.time() + patience
        self._open[number] = (waiting, end)
        self._transport.write(frame)
        if self._watch is None or end < self._watch.when():
            self._watch_until(end)
        return Begun(number, waiting)

    async def answer(self, begun: Begun) -> Answer:
        try:
            return await begun.waiting
        finally:
            self._open.pop(begun.number, None)

    def _watch_until(self, end: float) -> None:
        """One timer for all requests finds those that waited too long."""
        if self._watch is not None:
            self._watch.cancel()
        self._watch = asyncio.get_running_loop().call_at(end, self._give_up)

    def _give_up(self) -> None:
        self._watch = None
        now = asyncio.get_running_loop().time()
        for waiting, end in self._open.values():
            if end <= now and not waiting.done():
                waiting.set_exception(DaemonLostError("the daemon did not answer in time"))
        left = [end for _, end in self._open.values() if end > now]
        if left:
            self._watch_until(min(left))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            replies = [decode_frame(said_decoder, body) for body in self._buffer.feed(data)]
        except FrameError:
            if self._transport is not None:
                self._transport.abort()
            return
        for reply in replies:
            if reply.push is not None:
                self._pushed(reply.push)  # 5
        for reply in replies:
            if reply.answer is not None and reply.push is None:
                self._take(reply.id, reply.answer)

    def _take(self, number: int, answer: Answer) -> None:
        waiting, _ = self._open.pop(number, (None, 0.0))
        if waiting is not None:
            waiting.arrive(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for waiting, _ in self._open.values():
            if not waiting.done():
                waiting.set_exception(
                    DaemonLostError(f"the daemon closed the connection: {exc or 'end of stream'}")
                )
        self._open.clear()
        self._lost()


class Client:
    """A connection for blocking code, one request at a time; keeps what the daemon pushes meanwhile."""

    def __init__(self, path: Path, hello: Open, *, patience: float = PATIENCE) -> None:
        self._buffer = FrameBuffer()
        self._ready: list[bytes] = []
        self._kept: list[Reply] = []
        self._last = 0
        self._patience = patience
        self._socket = _reach_now(path, patience)
        try:
            self._socket.settimeout(patience)
            self.opened: Opened = self.ask(hello, Opened)
        except BaseException:
            self._socket.close()
            raise

    def ask(self, ask: Ask, kind: type[A], *, patience: float | None = None) -> A:
        return _expect(self.ask_any(ask, patience=patience), kind)

    def ask_any(self, ask: Ask, *, patience: float | None = None) -> Answer:
        """Returns the answer of any kind, faults included; raises DaemonLostError."""
        self._socket.settimeout(self._patience if patience is None else patience)
        number = self.begin(ask)
        try:
            while True:
                reply = decode_frame(said_decoder, self._next())
                if reply.id == number and reply.answer is not None:
                    return reply.answer
                if reply.push is not None:
                    self._kept.append(reply)
        except OSError as error:
            raise DaemonLostError(f"the daemon does not answer: {error.strerror or error}") from error

    def begin(self, ask: Ask) -> int:
        """Sends a request; returns the number of its answer among `replies`. Raises DaemonLostError."""
        self._last += 1
        try:
            self._socket.sendall(encode_frame(Said(id=self._last, ask=ask)))
        except OSError as error:
            raise DaemonLostError(f"the daemon does not answer: {error.strerror or error}") from error
        return self._last

    def fileno(self) -> int:
        """Returns the socket, which is readable after a push or when the daemon is gone."""
        return self._socket.fileno()

    def is_readable(self, seconds: float) -> bool:
        """Whether it is readable within `seconds`; raises ValueError once it is closed here."""
        waiting = select.poll()  # `select.select` takes none that was opened beside a thousand others
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def pushes(self) -> tuple[Push, ...]:
        """Returns the pushes since the last call; requires a readable socket. Raises DaemonLostError."""
        return tuple(reply.push for reply in self.replies() if reply.push is not None)

    def replies(self) -> tuple[Reply, ...]:
        """Returns all messages since the last call; requires a readable socket. Raises DaemonLostError."""
        try:
            data = self._socket.recv(_CHUNK)
        except OSError as error:
            raise DaemonLostError(f"the daemon does not answer: {error.strerror or error}") from error
        if not data:
            raise DaemonLostError("the daemon closed the connection")
        self._ready += self._buffer.feed(data)
        return self.kept()

    def kept(self) -> tuple[Reply, ...]:
        """Returns the messages pushed during earlier requests, without waiting."""
        kept, self._kept = tuple(self._kept), []
        bodies, self._ready = self._ready, []
        return (*kept, *(decode_frame(said_decoder, body) for body in bodies))

    def _next(self) -> bytes:
        while not self._ready:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise DaemonLostError("the daemon closed the connection")
            self._ready = self._buffer.feed(data)
        return self._ready.pop(0)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
