"""A connection to the daemon over its Unix socket, for asyncio and for plain code.

1. Every request ends in an answer or in a named error; none waits forever.
2. `Fault` answers are raised as the error family that fits their code's sender:
   `RefusedByDaemonError` keeps code, text and advice for a surface to show.
3. A daemon whose queue is full is there: it is tried again, ever more rarely, for as long as a
   request would wait.
4. A connection that breaks fails every open request with `DaemonLostError` and is
   never used again; what the daemon did with an open request is then unknown.
5. What the daemon says unasked is heard before answers that arrived with it: whoever goes on
   with an answer knows then what has ended meanwhile.
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
    """The daemon said no; `fault` holds its code, text and advice."""

    code = "refused-by-daemon"

    def __init__(self, fault: Fault) -> None:
        """Keep the daemon's own words."""
        super().__init__(fault.message, remedy=fault.advice, where=fault.where)
        self.fault = fault


def _expect(answer: object, kind: type[A]) -> A:
    if isinstance(answer, Fault):  # first: it is a message too, and no answer whatever was due
        raise RefusedByDaemonError(answer)
    if isinstance(answer, kind):
        return answer
    raise FrameError(f"the daemon answered `{type(answer).__name__}` where `{kind.__name__}` was due")


def _knock(path: Path) -> socket.socket | None:
    """A connected socket; nothing while the daemon's queue is full (rule 3).

    asyncio would take such a socket for one that is about to be connected.

    Raises:
        DaemonLostError: Nothing answers at this path.
    """
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
    """Pauses that grow, `patience` seconds of them."""
    pause, left = _FIRST_PAUSE, patience
    while left > 0:
        yield min(pause, left)
        left -= pause
        pause = min(2 * pause, _LAST_PAUSE)


def _full(path: Path) -> DaemonLostError:
    return DaemonLostError(f"the daemon at `{path}` accepts nobody: its queue is full")


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
    """A request that was sent, and where its answer arrives."""

    number: int
    waiting: Arrival[Answer]


class AsyncClient(asyncio.Protocol):
    """One connection for asyncio programs; requests may overlap.

    Args of the constructor:
        pushed: called in the loop for each push; must not block.
        lost: called once when the connection is gone.
    """

    def __init__(self, pushed: Callable[[Push], None], lost: Callable[[], None]) -> None:
        """Prepare; `connect` makes the connection."""
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
        """A connection that the daemon has opened, and what it said.

        Raises:
            DaemonLostError: Nothing answers at this path.
            RefusedByDaemonError: The daemon refuses this peer, role, agent or version.
        """
        loop = asyncio.get_running_loop()
        connected = await _reach(path)
        _, client = await loop.create_unix_connection(lambda: cls(pushed, lost), sock=connected)
        try:
            return client, await client.ask(hello, Opened)
        except BaseException:
            client.close()
            raise

    async def ask(self, ask: Ask, kind: type[A], *, patience: float = PATIENCE) -> A:
        """The daemon's answer, of this kind.

        Raises:
            DaemonLostError: The connection broke, or no answer came within `patience` seconds.
            RefusedByDaemonError: The daemon answered with a fault.
        """
        return _expect(await self.ask_any(ask, patience=patience), kind)

    async def ask_any(self, ask: Ask, *, patience: float = PATIENCE, shown: Shown | None = None) -> Answer:
        """The daemon's answer, of any kind, faults included; `shown` is what came with the request."""
        return await self.answer(self.begin(ask, patience=patience, shown=shown))

    def begin(self, ask: Ask, *, patience: float = PATIENCE, shown: Shown | None = None) -> Begun:
        """Ask at once; `answer` waits for what comes, for as long as `patience` says from now on.

        Raises:
            DaemonLostError: The connection is closed.
        """
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
        """What the daemon answers to what was asked."""
        try:
            return await begun.waiting
        finally:
            self._open.pop(begun.number, None)

    def _watch_until(self, end: float) -> None:
        """Look at `end` for requests that waited too long: one timer for all, not one for each."""
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
        """End the connection; open requests fail."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand answers to those who wait (asyncio calls this)."""
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
        """Fail whoever still waits (asyncio calls this)."""
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
    """One connection for plain code (the command line); one request at a time.

    What the daemon says unasked while an answer is waited for is kept for `pushes` and `replies`.
    """

    def __init__(self, path: Path, hello: Open, *, patience: float = PATIENCE) -> None:
        """Connect and open.

        Raises:
            DaemonLostError: Nothing answers at this path.
            RefusedByDaemonError: The daemon refuses this peer, role, agent or version.
        """
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
        """The daemon's answer, of this kind.

        Raises:
            DaemonLostError: The connection broke, or no answer came in time.
            RefusedByDaemonError: The daemon answered with a fault.
        """
        return _expect(self.ask_any(ask, patience=patience), kind)

    def ask_any(self, ask: Ask, *, patience: float | None = None) -> Answer:
        """The daemon's answer, of any kind, faults included.

        Raises:
            DaemonLostError: The connection broke, or no answer came in time.
        """
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
        """Ask, and wait for nothing: the number under which the answer is among `replies`.

        Raises:
            DaemonLostError: The connection is gone.
        """
        self._last += 1
        try:
            self._socket.sendall(encode_frame(Said(id=self._last, ask=ask)))
        except OSError as error:
            raise DaemonLostError(f"the daemon does not answer: {error.strerror or error}") from error
        return self._last

    def fileno(self) -> int:
        """The socket, to wait for: it is readable when something was pushed or the daemon is gone."""
        return self._socket.fileno()

    def is_readable(self, seconds: float) -> bool:
        """Whether it is, at once or within so many seconds; `ValueError` once it is closed here."""
        waiting = select.poll()  # `select.select` takes none that was opened beside a thousand others
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def pushes(self) -> tuple[Push, ...]:
        """What the daemon has said unasked since the last look; call it when the socket is readable.

        Raises:
            DaemonLostError: The connection is gone.
        """
        return tuple(reply.push for reply in self.replies() if reply.push is not None)

    def replies(self) -> tuple[Reply, ...]:
        """What the daemon has said since the last look, also to what was begun; when the socket is readable.

        Raises:
            DaemonLostError: The connection is gone.
        """
        try:
            data = self._socket.recv(_CHUNK)
        except OSError as error:
            raise DaemonLostError(f"the daemon does not answer: {error.strerror or error}") from error
        if not data:
            raise DaemonLostError("the daemon closed the connection")
        self._ready += self._buffer.feed(data)
        return self.kept()

    def kept(self) -> tuple[Reply, ...]:
        """What the daemon said unasked while an answer was waited for; nothing is waited for here."""
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
        """End the connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close at the end."""
        self.close()
