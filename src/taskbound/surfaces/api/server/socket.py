"""The daemon's Unix socket: reads frames, identifies the peer, runs operations, answers.

1. Account and process of the peer are read at accept; an account that may not speak gets one fault only.
2. The first message opens the connection; a different version is refused.
3. Every request gets one answer; an error becomes a fault with a code.
4. Open requests and unread bytes of a connection are limited; beyond that it is not read further.
5. A lost gateway keeps its permits for 5 seconds (design 4.9).
6. A peer that has not opened yet is limited to a few bytes and seconds. Connections per account are limited,
   so that others find room.
7. A request from the network runs in the name of its proven principal, never in that of its process.
8. Every operation is authorized by the rules in force before its work, and by its flow.
9. The idempotency key of a request for an action is the action's; its path detects repetition.
10. An egress connection of a task never comes back: its permits are given up with it.
11. A connection ends with the process that made it. What that process sent is still read; data that another
    process sends over a passed or inherited descriptor is not.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import struct
import termios
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound import __version__
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.identity import UnprovenError, parse_name
from taskbound.core.policy.operation import Allowed, Barred, OperationForbiddenError, Right
from taskbound.surfaces.api.auth.fronts import require_front, require_same_origin, seat
from taskbound.surfaces.api.auth.network import prove, require_api, shows, told_of_kind
from taskbound.surfaces.api.operations.broker import require_broker
from taskbound.surfaces.api.operations.egress import require_egress
from taskbound.surfaces.api.operations.service import (
    is_service_seat,
    require_no_service,
    require_service_seat,
)
from taskbound.surfaces.api.server.connection import CrowdedError, connection_name
from taskbound.surfaces.api.server.peer import Peer, hold_peer, read_peer
from taskbound.surfaces.api.server.place import NotOutsideError
from taskbound.surfaces.api.server.reply import Reply, fault_of
from taskbound.surfaces.api.server.table import OPERATIONS, once
from taskbound.surfaces.api.server.tracing import stage
from taskbound.wire.connection import Fault, Open, Opened
from taskbound.wire.envelope import Reply as Replied
from taskbound.wire.envelope import Said, ask_decoder
from taskbound.wire.frame import FrameBuffer, FrameError, decode_frame, encode_frame

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import Operation
    from taskbound.wire.envelope import Answer, Ask, Push


GRACE: Final = 5.0
"""Seconds that a lost gateway may take to come back before its permits are unknown."""
OPEN_REQUESTS: Final = 256
"""Requests that one connection may have open before it is not read any further."""
OPENING: Final = 10.0
"""Seconds until a connection that was not opened is closed."""
UNOPENED: Final = 65_536
"""Bytes of half a message that are kept for a connection that was not opened."""
_COUNT: Final = struct.Struct("i")
_ROLES: Final = frozenset({"api", "broker", "cli", "egress", "front", "gateway", "run"})


class VersionError(DeniedError):
    """The peer is another version of Taskbound."""

    code = "other-version"
    remedy = (
        "end the older of the two: a daemon with `taskbound serve --end`,"
        " a gateway with the program that started it"
    )


class NotOpenError(MalformedError):
    """A connection was used before it was opened, or opened twice."""

    code = "not-open"


class SocketServer(asyncio.Protocol):
    """The daemon's side of one connection; asyncio makes one for each."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._buffer = FrameBuffer()
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None
        self._process = -1
        self._rest: int | None = None
        """Bytes that are still read, once the process has ended (rule 11)."""
        self._connection: Connection | None = None
        self._requests = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Identifies the peer (rule 1)."""
        if not isinstance(transport, asyncio.Transport):
            return
        self._transport = transport
        connection = transport.get_extra_info("socket")
        try:
            self._process = hold_peer(connection)
            peer = read_peer(connection, self._process)
            self._daemon.connections.enter(peer.proof.uid)  # 6
        except (CrowdedError, UnprovenError) as error:
            self._send(0, fault_of(error))
            transport.close()
            return
        self._peer = peer
        self._daemon.loop.add_reader(self._process, self._left, connection.fileno())  # 11
        self._timer = self._daemon.loop.call_later(OPENING, self._close, NotOpenError("nothing was said"))

    def data_received(self, data: bytes) -> None:
        """Takes received bytes."""
        if self._rest is not None:
            data = data[: self._rest]
            self._rest -= len(data)
        try:
            with self._daemon.worker.reading(alone=self._daemon.connections.is_single):
                for body in self._buffer.feed(data):
                    self._take(decode_frame(ask_decoder, body))
        except FrameError as error:
            self._close(error)
            return
        if self._connection is None and len(self._buffer) > UNOPENED:
            self._close(NotOpenError("the connection was not opened"))  # 6
        self._close_left()

    def _left(self, descriptor: int) -> None:
        """The peer process has ended (rule 11); what it sent is still read."""
        self._daemon.loop.remove_reader(self._process)
        (self._rest,) = _COUNT.unpack(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(_COUNT.size)))
        self._close_left()

    def _close_left(self) -> None:
        if self._rest == 0:
            self._close(UnprovenError("the process that made this connection has ended"))

    def _close(self, error: TaskboundError) -> None:
        self._send(0, fault_of(error))
        if self._transport is not None:
            self._transport.close()

    def _take(self, said: Said) -> None:
        if isinstance(said.ask, Open):
            self._open(said.id, said.ask)
            return
        connection = self._connection
        if connection is None:
            self._send(said.id, fault_of(NotOpenError("the connection was not opened")))
            return
        self._count()
        operation = OPERATIONS[type(said.ask)]
        reply = Reply(partial(self._answer, said.id), operation.name)
        if shows(connection, said):
            self._run(self._relayed(operation, connection, said), reply)  # 7
            return
        try:
            self._require(operation, connection)
            if operation.hand is None:
                self._run(self._work(operation, connection, said.ask), reply)
                return
            authority = self._daemon.authority
            match authority.standing(connection, operation.policy):  # 8
                case Allowed():
                    operation.hand(self._daemon, connection, said.ask, reply)
                case Barred():
                    self._run(authority.refuse(connection, operation.policy, said.ask), reply)
        except Exception as error:  # noqa: BLE001 - the surface's outermost edge, rule 3
            reply.fail(error)

    async def _relayed(self, operation: Operation, carrier: Connection, said: Said) -> Answer:
        """Runs an operation in the name of the proven principal (rule 7)."""
        trace = said.shown.trace if said.shown is not None else ""
        with self._daemon.network.tracing.operation(trace, operation.policy.name, said.ask) as traced:
            with stage("prove"):
                seat = await prove(self._daemon, carrier, said, operation.name)
            if traced is not None and not isinstance(seat, Fault):
                traced.seated(seat)
            answer = seat if isinstance(seat, Fault) else await self._seated(operation, seat, said)
            if traced is not None:
                traced.answered(answer)
            return answer

    async def _seated(self, operation: Operation, seat: Connection, said: Said) -> Answer:
        key = said.shown.key if said.shown is not None else ""
        work = partial(self._work, operation, seat, said.ask)
        try:
            self._require(operation, seat)
            if operation.right is Right.GATEWAY:
                seat.key = key
                return await work()  # 9
            return await once(self._daemon, seat, key, said.ask, work)
        except (OperationForbiddenError, UnprovenError) as error:
            raise told_of_kind(error, seat, operation.policy) from error

    async def _work(self, operation: Operation, connection: Connection, ask: Ask) -> Answer:
        """Runs an operation after the rules in force authorized it (rule 8)."""
        if operation.work is None:
            raise NotOpenError(f"`{operation.name}` is done by no work of its own")
        with stage("authorize"):
            await self._daemon.authority.require(connection, operation.policy, ask)
        try:
            with stage("do"):
                return await operation.work(self._daemon, connection, ask)
        except NotOutsideError as error:
            await self._daemon.authority.refuse_inside(connection, operation.policy, error)
            raise

    def _require(self, operation: Operation, connection: Connection) -> None:
        if operation.policy.serves and is_service_seat(connection):
            return
        if operation.right is Right.GATEWAY:
            require = self._daemon.require_asker if operation.injects else self._daemon.require_gateway
            require(connection)
        elif operation.right is Right.EGRESS:
            require_egress(self._daemon, connection)
        elif operation.right is Right.BROKER:
            require_broker(self._daemon, connection)
        elif operation.right is Right.READ:
            self._daemon.require_speaker(connection)
        elif operation.right is Right.SERVICE:
            require_service_seat(connection)
        elif operation.right is Right.ANYONE:
            require_no_service(connection)

    def _run(self, work: Awaitable[Answer], reply: Reply) -> None:
        async def run() -> None:
            try:
                answer = await work
            except Exception as error:  # noqa: BLE001 - the surface's outermost edge, rule 3
                reply.fail(error)
            else:
                reply.give(answer)

        task = self._daemon.loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _answer(self, number: int, answer: Answer) -> None:
        self._send(number, answer)
        self._requests -= 1
        if self._requests < OPEN_REQUESTS // 2:
            self._release("requests")

    def pause_writing(self) -> None:
        """The peer does not read its answers (rule 4)."""
        self._hold("unread")

    def resume_writing(self) -> None:
        """The peer reads its answers again."""
        self._release("unread")

    def _hold(self, why: str) -> None:
        self._held.add(why)
        if self._transport is not None:
            self._transport.pause_reading()

    def _release(self, why: str) -> None:
        if why not in self._held:
            return
        self._held.discard(why)
        if not self._held and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _count(self) -> None:
        self._requests += 1
        if self._requests >= OPEN_REQUESTS:
            self._hold("requests")

    def _open(self, number: int, ask: Open) -> None:
        try:
            answer: Answer = self._opened(ask)
        except NotOutsideError as error:
            self._count()
            reply = Reply(partial(self._answer, number), "connection:open")
            self._run(self._refused_inside(ask, error), reply)
            return
        except TaskboundError as error:
            answer = fault_of(error)
        self._send(number, answer)

    async def _refused_inside(self, ask: Open, error: NotOutsideError) -> Answer:
        if self._peer is not None:
            proof = self._peer.proof
            await self._daemon.authority.refuse_opening(ask.namespace, ask.role, proof, error)
        raise error

    def _opened(self, ask: Open) -> Opened:
        if self._peer is None or self._connection is not None:
            raise NotOpenError("the connection is open already")
        if ask.version != __version__:
            raise VersionError(  # 2
                f"the daemon is {__version__}, and this is {ask.version}",
                remedy="end the older of the two; the daemon is started again when a command needs it"
                f" (`taskbound serve --end`, or `kill {os.getpid()}`), or whatever started the gateway",
            )
        if ask.role not in _ROLES:
            raise NotOpenError(f"`{ask.role}` is no role", where="role")
        parse_name(ask.namespace, what="a namespace")
        if ask.role == "gateway":
            parse_name(ask.agent, what="an agent")
        elif ask.token or ask.task:
            raise NotOpenError("a token and a task are for gateways", where="token" if ask.token else "task")
        secret = ask.resume or secrets.token_urlsafe(24)
        name = self._daemon.name_of(connection_name(secret, ask.role))
        if self._daemon.connections.is_open(name):
            raise NotOpenError("another process holds this connection", where="resume")
        connection = seat(self._daemon, ask, name, self._peer, self._push)
        if connection.role == "egress":
            require_egress(self._daemon, connection)
        elif connection.role == "broker":
            require_broker(self._daemon, connection)
        elif connection.role == "api":
            require_api(self._daemon, connection)
        elif connection.role == "front":
            require_front(self._daemon, connection)
            require_same_origin(self._daemon, ask)
        elif not connection.seat:
            self._daemon.require_welcome(connection)
        connection.named = self._named(connection, ask.task)
        self._connection = connection  # only now: a refused opening leaves nothing that could be used
        self._stop_timer()
        self._daemon.join(connection)
        with self._daemon.adapters.store.read() as snapshot:
            stopped = snapshot.revocation.kill_switch(ask.namespace).stopped
        return Opened(
            connection=secret,
            version=__version__,
            stopped=stopped,
            agent=connection.agent,
            task=connection.seat,
            issuer=self._daemon.network.issuer if connection.role == "front" else "",
        )

    def _named(self, connection: Connection, task: str) -> str:
        """Returns the named task if it counts: a process beneath a run or gateway has the task of that."""
        if not task:
            return ""
        insiders, process = self._daemon.insiders, connection.peer.ancestry[0]
        try:
            self._daemon.require_outside(connection)
        except NotOutsideError:
            return task if insiders.named(process) == task else ""  # what it had named before
        insiders.keep_named(process, task)
        return task

    def _push(self, push: Push) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_frame(Replied(id=0, push=push)))

    def _send(self, number: int, answer: Answer) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        try:
            frame = encode_frame(Replied(id=number, answer=answer))
        except FrameError as error:
            frame = encode_frame(Replied(id=number, answer=fault_of(error)))
        self._transport.write(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        """Starts the grace of a gateway (rule 5)."""
        del exc
        self._stop_timer()
        if self._process >= 0:
            self._daemon.loop.remove_reader(self._process)
            os.close(self._process)
            self._process = -1
        if self._peer is not None:
            self._daemon.connections.leave(self._peer.proof.uid)
        connection = self._connection
        if connection is None:
            return
        self._daemon.credentials.lose(connection)
        if connection.role == "egress" and connection.agent:
            self._daemon.lose(connection)
            self._daemon.give_up(connection)  # 10
        elif connection.role == "gateway":
            self._daemon.lose(connection)
            self._daemon.loop.call_later(GRACE, self._daemon.give_up, connection)
        else:
            self._daemon.connections.lose(connection)
            self._daemon.connections.forget(connection)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
