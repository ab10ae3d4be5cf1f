"""The seat of one task in the front: its clients, tokens, sessions and limits.

* The seat serves nothing before the daemon has opened a connection with a token of the task. The token that
  is valid longest is used. A refused token is tried again only when no other is left or a new one arrived.
* An exchange is a client of its own: its number is the request's id inside the gateway, so answers reach
  only that exchange. Each exchange keeps the token it came with.
* While a client of the task does not read, none of its servers is read.
* The seat keeps asking whether the task runs and which tokens are valid. An expired token closes the
  streams opened with it; a revoked one also ends its calls. When the task is over the seat is given up.
  Without a fresh answer streams are closed (law 10), whatever else waits.
* An unused seat is given up with its servers, unless a client has an open question or a call to poll.
* A legacy session belongs to its task and outlives the token that began it; its name is random, and with
  another task's token gives the same error as an invented name. Idle sessions expire; over the bound the
  least recently used one is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEndedError
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.surfaces.gateway.errors import code_of
from taskbound.surfaces.gateway.framing import ClientSession
from taskbound.surfaces.gateway.http.errors import OVER, RPC_STATUS, NoSessionError, UnknownSessionError
from taskbound.surfaces.gateway.server import Gateway
from taskbound.surfaces.http.connection import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.client import AsyncClient
    from taskbound.surfaces.gateway.http.reply import Reply
    from taskbound.surfaces.gateway.link import Connect
    from taskbound.surfaces.gateway.server import GatewayDependencies
    from taskbound.wire.connection import Bound, Opened
    from taskbound.wire.envelope import Push
    from taskbound.wire.mcp.message import Id, Request


@dataclass(slots=True, kw_only=True)
class Session:
    """One legacy session."""

    name: str
    used: float
    capabilities: Mapping[str, JsonValue]
    open: dict[Id, int] = field(default_factory=dict)
    """By the client's id: the number of the exchange that it is open in."""
    talk: ClientSession = field(default_factory=ClientSession)
    """What its client has asked to hear."""
    outside: Reply | None = None
    """Its stream of what belongs to no request."""


class Sessions:
    """The legacy sessions of one task."""

    def __init__(
        self, bounds: FrontBounds, clock: Callable[[], float], *, over: Callable[[Session], None]
    ) -> None:
        """Starts empty; `clock` is the loop's, and `over` is called for each session that ends."""
        self._over = over
        self._bounds = bounds
        self._clock = clock
        self._all: dict[str, Session] = {}

    def begin(self, capabilities: Mapping[str, JsonValue]) -> Session:
        self._forget()
        while len(self._all) >= self._bounds.sessions:
            self._drop(min(self._all.values(), key=lambda one: one.used))
        made = Session(name=secrets.token_urlsafe(32), used=self._clock(), capabilities=capabilities)
        self._all[made.name] = made
        return made

    def of(self, name: str) -> Session:
        """Returns the session of this name; raises NoSessionError or UnknownSessionError."""
        if not name:
            raise NoSessionError("the request has no `Mcp-Session-Id`")
        self._forget()
        found = self._all.get(name)
        if found is None:
            raise UnknownSessionError("the session is over, or never was")
        found.used = self._clock()
        return found

    @property
    def all(self) -> tuple[Session, ...]:
        return tuple(self._all.values())

    def end(self, name: str) -> Session:
        """Ends the session of this name and returns it; raises as `of`."""
        found = self.of(name)
        self._drop(found)
        return found

    def _drop(self, session: Session) -> None:
        del self._all[session.name]
        self._over(session)

    def _forget(self) -> None:
        oldest = self._clock() - self._bounds.session_idle
        for one in tuple(self._all.values()):
            if one.used < oldest and not one.open and one.outside is None:
                self._drop(one)


_log = logging.getLogger(__name__)
_TOKENS: Final = 16
"""Tokens of one task that are kept to open its connection again."""


class _Fault(msgspec.Struct):
    code: int


class _Failed(msgspec.Struct):
    error: _Fault


_failed: Final = msgspec.json.Decoder(_Failed)
"""Reads the code of a line that is known to be an error."""


@dataclass(slots=True, kw_only=True, eq=False)
class Exchange:
    """One open request."""

    number: int
    id: Id
    """The client's own."""
    id_raw: bytes
    modern: bool
    stream: bool
    """Whether it is a stream that has no answer."""
    reply: Reply
    token: str
    """The name of the token that it came with."""
    session: Session | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownToken:
    """A token of the task, with its key."""

    text: str
    name: str
    until: int
    """When it ends: instant, µs since the epoch."""

    def __repr__(self) -> str:
        return f"Held({self.name!r})"


def _end_of(token: ShownToken) -> int:
    return token.until


class TaskSession:
    """The gateway of one task's clients over HTTP (`framing.Client`)."""

    def __init__(
        self,
        plugs: GatewayDependencies,
        connect: Callable[[str], Connect],
        bounds: FrontBounds,
        first: ShownToken,
        *,
        ended: Callable[[TaskSession], None],
    ) -> None:
        """Prepares; `ended` is called once when the seat takes no more requests."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._connect = connect
        self._held: dict[str, ShownToken] = {first.name: first}
        """Tokens that were shown, by name."""
        self._bounds = bounds
        self._ended = ended
        self._proof: asyncio.Future[Opened] = loop.create_future()
        self._free = asyncio.Event()
        self._free.set()
        self._slow = 0
        self._numbers = 0
        self._open: dict[int, Exchange] = {}
        self._used = self._fresh = loop.time()
        self._tasks: list[asyncio.Task[None]] = []
        self.over: TaskboundError | None = None
        """Why nothing more is served for the task."""
        self.sessions = Sessions(bounds, loop.time, over=self._session_over)
        self.gateway = Gateway(replace(plugs, connect=self._reach), self)

    def start(self, gone: Callable[[TaskSession], None]) -> None:
        """Starts asking the daemon; `gone` is called once, when every server of the seat has ended."""
        serving = self._loop.create_task(self.gateway.serve())
        serving.add_done_callback(lambda _: gone(self))
        self._tasks = [serving, *map(self._loop.create_task, (self._watch(), self._doubt()))]

    def show(self, token: ShownToken) -> None:
        self._used = self._loop.time()
        self._held[token.name] = token
        if len(self._held) > _TOKENS:
            del self._held[min(self._held.values(), key=_end_of).name]

    def holds(self, text: str) -> bool:
        return any(one.text == text for one in self._held.values())

    async def ready(self) -> None:
        """Waits until the daemon has opened a connection; raises if it refuses or the seat was given up."""
        await asyncio.shield(self._proof)
        await self._free.wait()
        if self.over is not None:
            raise self.over

    async def closed(self) -> None:
        self.gateway.left(None)
        for one in self._tasks[1:]:
            one.cancel()
        await asyncio.wait(self._tasks)

    # --- exchanges -------------------------------------------------------------------------------

    def begin(
        self, message: Request, reply: Reply, *, modern: bool, stream: bool, session: Session | None
    ) -> Exchange:
        """Opens an exchange that the gateway has not seen yet; raises if the seat was given up meanwhile."""
        if self.over is not None:
            raise self.over
        self._numbers += 1
        made = Exchange(
            number=self._numbers,
            id=message.id,
            id_raw=message.id_raw,
            modern=modern,
            stream=stream,
            reply=reply,
            token=reply.token,
            session=session,
        )
        self._open[made.number] = made
        if session is not None:
            session.open[made.id] = made.number
        reply.on_lost = lambda: self._left(made)
        reply.on_slow = self._paced
        return made

    def cancel(self, number: int) -> None:
        self.gateway.cancel(number)

    def _left(self, exchange: Exchange) -> None:
        if exchange.modern:
            self.gateway.cancel(exchange.number)
            if exchange.stream:
                self._close(exchange)
        else:
            self.gateway.unheard(exchange.number)

    def _close(self, exchange: Exchange) -> None:
        self._used = self._loop.time()
        self._open.pop(exchange.number, None)
        session = exchange.session
        if session is not None:
            session.used = self._used
            session.open.pop(exchange.id, None)

    def _paced(self, slow: bool) -> None:  # noqa: FBT001 -- what a reply says of its client
        self._slow += 1 if slow else -1
        if slow and self._slow == 1:
            self.gateway.fell_behind()
        elif not slow and not self._slow:
            self.gateway.caught_up()

    # --- the gateway's client --------------------------------------------------------------------

    def answer(self, line: bytes, to: Id | None) -> None:
        exchange = self._open.get(to) if isinstance(to, int) else None
        if exchange is None:
            return
        self._close(exchange)
        status = 200
        if exchange.modern and line.startswith(b'{"jsonrpc":"2.0","id":%b,"error":' % exchange.id_raw):
            status = RPC_STATUS.get(_failed.decode(line).error.code, 200)
        exchange.reply.answer(line, status=status)

    def tell(self, line: bytes, to: Id | None) -> None:
        exchange = self._open.get(to) if isinstance(to, int) else None
        if exchange is not None:
            exchange.reply.tell(line)

    def talk(self, request: Id) -> ClientSession | None:
        """Returns the subscriptions of the exchange's session; None for a modern client."""
        exchange = self._open.get(request) if isinstance(request, int) else None
        return exchange.session.talk if exchange is not None and exchange.session is not None else None

    def talks(self) -> tuple[ClientSession, ...]:
        return tuple(one.talk for one in self.sessions.all)

    def say(self, line: bytes, talk: ClientSession) -> None:
        for one in self.sessions.all:
            if one.talk is talk and one.outside is not None:
                one.outside.tell(line)

    def hear(self, session: Session, reply: Reply) -> None:
        older, session.outside = session.outside, reply
        if older is not None:
            older.answer(b"")
        reply.on_lost = lambda: self._unheard(session)  # one whose place was taken is over
        reply.on_slow = self._paced
        reply.begin()

    def _unheard(self, session: Session) -> None:
        self._used = session.used = self._loop.time()
        session.outside = None

    def _session_over(self, session: Session) -> None:
        self._end_outside(session)
        self.gateway.forget(session.talk)

    def _end_outside(self, session: Session) -> None:
        outside, session.outside = session.outside, None
        if outside is not None:
            self._used = session.used = self._loop.time()
            outside.answer(b"")

    @property
    def is_one(self) -> bool:
        return False

    def declared(self, to: Id) -> Mapping[str, JsonValue]:
        exchange = self._open.get(to) if isinstance(to, int) else None
        return exchange.session.capabilities if exchange is not None and exchange.session is not None else {}

    def can_hear(self, to: Id) -> bool:
        exchange = self._open.get(to) if isinstance(to, int) else None
        return exchange is not None and exchange.reply.can_stream and not exchange.reply.is_over

    def token(self, to: Id) -> str:
        exchange = self._open.get(to) if isinstance(to, int) else None
        return exchange.token if exchange is not None else ""

    def hold(self, why: str) -> None:
        """Takes no further requests until released; only reports hold a seat."""
        del why
        self._free.clear()

    def release(self, why: str) -> None:
        del why
        self._free.set()

    def task_over(self, words: str) -> None:
        self._give_up(TaskEndedError(words))

    async def close(self, *, patience: float) -> None:
        del patience
        for one in tuple(self._open.values()):
            self._close(one)
            one.reply.answer(b"")

    # --- the daemon ------------------------------------------------------------------------------

    async def _reach(
        self, *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> tuple[AsyncClient, Opened]:
        token = max(self._held.values(), key=_end_of)
        try:
            connect = self._connect(token.text)
            client, opened = await connect(resume=resume, pushed=pushed, lost=lost)
        except TaskboundError as error:
            if isinstance(error, RefusedByDaemonError) and code_of(error) not in OVER:
                self._held.pop(token.name, None)
                if self._held:
                    raise  # the next one is tried
                self._held[token.name] = replace(token, until=0)
            self._failed(error)
            raise
        except OSError as error:
            self._failed(DaemonLostError(f"the daemon can't be reached: {error.strerror or error}"))
            raise
        self._fresh = self._loop.time()
        if not self._proof.done():
            self._proof.set_result(opened)
        return client, opened

    def _failed(self, error: TaskboundError) -> None:
        """A seat without an earlier connection, or one that the daemon refuses, is over."""
        first = not self._proof.done()
        if first:
            self._proof.set_exception(error)
            self._proof.exception()  # waiters get it; there may be none
        if first or code_of(error) in OVER:
            self._give_up(error)

    async def _watch(self) -> None:
        while self.over is None:
            try:
                found = await self.gateway.confirm(self._tokens())
            except RefusedByDaemonError as error:
                if code_of(error) in OVER:
                    self._give_up(error)
                    return
            except TaskboundError:
                pass
            else:
                self._fresh = self._loop.time()
                self._let_go(found)
            heard = any(one.outside is not None for one in self.sessions.all)
            used = self._open or self.gateway.is_waiting
            if not used and not heard and self._loop.time() - self._used > self._bounds.seat_idle:
                self._give_up(DaemonLostError("the seat was not used"))
            await asyncio.sleep(self._bounds.check)

    async def _doubt(self) -> None:
        """Closes streams when the last answer is too old, also while a new one is waited for."""
        while self.over is None:
            left = self._fresh + self._bounds.fresh - self._loop.time()
            if left <= 0:
                self._end_streams()
            await asyncio.sleep(left if left > 0 else self._bounds.check)

    def _tokens(self) -> frozenset[str]:
        outside = (one.outside.token for one in self.sessions.all if one.outside is not None)
        return frozenset({one.token for one in self._open.values()}.union(outside))

    def _let_go(self, found: Bound) -> None:
        over = frozenset(found.expired).union(found.ended)
        for one in tuple(self._open.values()):
            if one.token in over and (one.stream or one.token in found.ended):
                self.gateway.cancel(one.number)
                if one.stream:
                    self._close(one)
                    one.reply.answer(b"")
        for session in self.sessions.all:
            if session.outside is not None and session.outside.token in over:
                self._end_outside(session)

    def _end_streams(self) -> None:
        for one in [one for one in self._open.values() if one.stream]:
            self._close(one)
            self.gateway.cancel(one.number)
            one.reply.answer(b"")
        for session in self.sessions.all:
            self._end_outside(session)

    def _give_up(self, error: TaskboundError) -> None:
        if self.over is not None:
            return
        self.over = error
        _log.info("a seat is given up: %s", error.message)
        self._ended(self)
        self._end_streams()
        self._loop.call_later(0.0 if not self._open else self._bounds.fresh, self.gateway.left, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontBounds(Bounds):
    """Limits of the front's connections and of the tasks behind them."""

    seats: int = 128
    """Tasks at once."""
    proving: int = 192
    """Requests that the daemon is being asked about at once: whose they are."""
    proving_each: int = 96
    """Those of one address."""
    strange: int = 96
    """Those with tokens that no seat holds."""
    strange_each: int = 48
    """Those with such tokens of one address."""
    burst: int = 4_000
    """Requests that one address may make at once: all clients of this machine have one."""
    rate: float = 2_000.0
    """And then so many a second: more than one front serves."""
    strange_burst: int = 200
    """Requests with tokens that no seat holds of one address at once: more than there are seats."""
    strange_rate: float = 20.0
    """And then so many a second: a token is new every few minutes."""
    seat_idle: float = 300.0
    """Seconds without a request until a task's gateway and servers are ended."""
    sessions: int = 64
    """Sessions of one task; a new one takes the place of the one that was used least lately."""
    session_idle: float = 3600.0
    check: float = 2.0
    """Seconds between two looks whether task and tokens still hold."""
    fresh: float = 5.0
    """Seconds without such a look after which streams are closed (law 10)."""
