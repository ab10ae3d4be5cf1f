"""The egress' Unix socket.

1. Account and process of the peer are read from the socket at accept; accounts that aren't allowed get a
   fault.
2. A connection asks for the public key, or is one server, which ends with the connection.
3. An unreadable or out-of-order message ends the connection and the server.
4. A gateway that doesn't read causes back-pressure on its server.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.identity import UnprovenError
from taskbound.surfaces.egress.errors import NotStartedError, fault_of
from taskbound.surfaces.egress.served import Served
from taskbound.wire.egress import (
    MAX_SAID,
    CloseServer,
    SealingPublic,
    ShowSealing,
    StartServer,
    Unanswered,
    ask_decoder,
)
from taskbound.wire.frame import FrameBuffer, FrameError, decode_frame, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from socket import socket
    from typing import Any

    from taskbound.core.errors import TaskboundError
    from taskbound.surfaces.egress.tokens import StartDependencies
    from taskbound.wire.egress import EgressAsk, EgressSaid, Holder


_log = logging.getLogger(__name__)
MOST: Final = 256
"""Connections of one account."""
OPENING: Final = 10.0
"""Seconds until a connection that asked for nothing is closed."""


@dataclass(slots=True, kw_only=True)
class EgressState:
    """State shared by all connections of an egress."""

    desk: StartDependencies
    look: Callable[[socket], Holder]
    """Who is at the other end of a socket, by the kernel's word; `UnprovenError` when it does not say."""
    accounts: frozenset[int] | None
    """Accounts that may ask; None leaves that to the socket's mode: the daemon is asked about each."""
    idle: Callable[[], None]
    """Called when no server runs any more: what they left behind ends too."""
    running: set[EgressSocket] = field(default_factory=set)
    counts: Counter[int] = field(default_factory=Counter)
    ending: set[asyncio.Task[None]] = field(default_factory=set)

    async def close(self) -> None:
        for one in tuple(self.running):
            one.leave()
        while self.running:  # that its connection is lost is told to each in the loop's next round
            await asyncio.sleep(0)
            if self.ending:
                await asyncio.wait(tuple(self.ending))


class EgressSocket(asyncio.Protocol):
    """One connection."""

    def __init__(self, house: EgressState) -> None:
        self._house = house
        self._buffer = FrameBuffer()
        self._transport: asyncio.Transport | None = None
        self._holder: Holder | None = None
        self._served: Served | None = None
        self._starting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            return
        self._transport = transport
        try:
            holder = self._welcome(transport)
        except UnprovenError as error:
            _log.warning("a connection was refused: %s", error.message)
            self._refuse(error)
            return
        self._house.counts[holder.uid] += 1
        self._holder = holder
        self._timer = asyncio.get_running_loop().call_later(
            OPENING, self._refuse, NotStartedError("nothing was asked")
        )

    def _welcome(self, transport: asyncio.Transport) -> Holder:
        holder = self._house.look(transport.get_extra_info("socket"))
        if self._house.accounts is not None and holder.uid not in self._house.accounts:
            raise UnprovenError("this account may not ask the egress")
        if self._house.counts[holder.uid] >= MOST:
            raise UnprovenError(f"this account has {MOST} connections to the egress")
        return holder

    def data_received(self, data: bytes) -> None:
        """Handles received bytes (rule 3)."""
        if self._holder is None:
            return
        try:
            for body in self._buffer.feed(data):
                self._take(decode_frame(ask_decoder, body), self._holder)
        except (FrameError, NotStartedError) as error:
            self._refuse(error)

    def _take(self, ask: EgressAsk, holder: Holder) -> None:
        if self._timer is not None:
            self._timer.cancel()
        match ask:
            case ShowSealing():
                self.say(SealingPublic(key=self._house.desk.key.public))
            case StartServer() if self._served is None:
                self._served = served = Served(self._house.desk, holder, ask, self.say)
                self._house.running.add(self)
                self._starting = asyncio.get_running_loop().create_task(self._start(served))
            case CloseServer() if self._served is not None:
                self._begin(self._close())
            case _ if self._served is not None:
                self._served.take(ask)
            case _:
                raise NotStartedError("the server was not started")

    async def _start(self, served: Served) -> None:
        self.say(await served.start())

    async def _close(self) -> None:
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self._served is not None:
            await self._served.close(at_once=False)
        if self._transport is not None:
            self._transport.close()

    def leave(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def say(self, said: EgressSaid) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            frame = encode_frame(said, limit=MAX_SAID)
        except FrameError as error:
            number = getattr(said, "number", 0)
            frame = encode_frame(Unanswered(number=number, code=error.code, reason=error.message))
        transport.write(frame)

    def _refuse(self, error: TaskboundError) -> None:
        self.say(fault_of(error))
        if self._transport is not None:
            self._transport.close()

    def pause_writing(self) -> None:
        """Pauses reading from the server (rule 4)."""
        if self._served is not None and self._served.upstream is not None:
            self._served.upstream.pause()

    def resume_writing(self) -> None:
        """Resumes reading from the server."""
        if self._served is not None and self._served.upstream is not None:
            self._served.upstream.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()
        if self._holder is not None:
            self._house.counts[self._holder.uid] -= 1
        if self._served is not None:
            self._begin(self._ended(self._served))

    async def _ended(self, served: Served) -> None:
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        await served.close(at_once=True)
        self._house.running.discard(self)
        if not self._house.running:
            self._house.idle()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._house.ending.add(task)
        task.add_done_callback(self._house.ending.discard)
