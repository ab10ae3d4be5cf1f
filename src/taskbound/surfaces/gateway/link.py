"""The gateway's connection to the daemon, and the outcomes it owes.

A question whose answer was lost is sent once more on the next connection, if that is made within 5 seconds
(design 4.9): the daemon recognizes the connection's secret. A daemon that doesn't answer in time counts as
lost; late answers are ignored. While calls are open or outcomes owed, the link pings each second. Without a
daemon new questions fail at once, and reconnection is retried with growing pauses.

An outcome is owed when the daemon could not be reached or could not record it; its result stays withheld
and is not kept. The gateway sends it again on reconnection, at each ping, and before the next decision:
until then the action counts as running, and a repeat would be a new use. The debt ends when the daemon
confirms the outcome or says that another connection must report it. After a transaction token was issued
the daemon never accepts *not sent*: the outcome is then reported as unknown.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

from taskbound.core.action import CredentialWrittenError, TokenIssuedError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.wire.action import Outcome, Released, Withheld
from taskbound.wire.connection import Done, Fault, Ping
from taskbound.wire.frame import FrameError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskbound.sdk.client import AsyncClient, Begun
    from taskbound.wire.connection import Opened
    from taskbound.wire.envelope import Answer, Ask, Push


A = TypeVar("A")
Asked: TypeAlias = "tuple[AsyncClient, Begun]"
"""What was asked already, and on which connection."""
_log = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 0.05
_LAST_PAUSE: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds; the defaults are the design's, tests use shorter ones."""

    grace: float = 5.0
    """How long the daemon may be away before open calls are given up (4.9)."""
    ping: float = 1.0
    cancel: float = 2.0
    """How long a server may take to answer a call that was cancelled (section 6)."""
    hold: float = 45.0
    """How long a call waits for people; clients give up after 60 seconds (the SDK's own bound)."""
    read: float = 4.0
    """How long reading what one call names may take: what was read is worth 5 seconds."""
    question: float = 540.0
    """How long a client may take to answer what a server asks; servers wait for 600 seconds, mostly."""
    patience: float = 0.5
    """How long a call takes before a client that declared MCP tasks must poll for it."""
    leave: float = 10.0
    """How long ending may take in all once the client is gone."""


class Connect(Protocol):
    """Makes a connection to the daemon, which it may start."""

    def __call__(
        self, *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> Awaitable[tuple[AsyncClient, Opened]]:
        """Returns the connection and the daemon's opening message; raises TaskboundError."""


class LinkEvents(Protocol):
    """Receiver of connection events; called in the event loop, returns at once."""

    def pushed(self, push: Push) -> None:
        """Handles an unsolicited message of the daemon."""

    def joined(self, *, stopped: bool, again: bool) -> None:
        """Handles a new connection; `again` unless it is the first."""

    def answered(self) -> None:
        """Handles the daemon's answer to a ping."""

    def abandoned(self) -> None:
        """Handles a daemon that was away beyond the grace period: open work is given up."""


class _Line:
    """One connection, compared by identity: messages of a closed one are not taken for another's."""

    def __init__(self) -> None:
        self.broken = False


class Link:
    """Sends questions to the daemon."""

    def __init__(self, connect: Connect, events: LinkEvents, timings: Timings) -> None:
        """Prepares; `start` makes the first attempt."""
        self._connect = connect
        self._events = events
        self._timings = timings
        self._client: AsyncClient | None = None
        self._secret = ""
        self._attempts: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._changed: asyncio.Future[None] | None = None
        self._failure: TaskboundError = DaemonLostError("the daemon was not reached yet")
        self._tries = 0
        self._last_failed = 0
        self._lost_at: float | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._busy = False
        self._ping_due: asyncio.TimerHandle | None = None
        self._pinging: asyncio.Task[None] | None = None
        self._closing = False
        self._line: _Line | None = None

    def start(self) -> None:
        if self._attempts is None and not self._closing:
            self._attempts = asyncio.get_running_loop().create_task(self._keep_trying())

    @property
    def connected(self) -> bool:
        return self._client is not None

    async def ask(self, ask: Ask, kind: type[A]) -> A:
        """Returns the answer; raises RefusedByDaemonError for a fault, DaemonLostError."""
        answer = await self.ask_any(ask)
        if isinstance(answer, kind):
            return answer
        if isinstance(answer, Fault):
            raise RefusedByDaemonError(answer)
        raise FrameError(f"the daemon answered `{type(answer).__name__}` where `{kind.__name__}` was due")

    async def ask_any(self, ask: Ask) -> Answer:
        """Returns the daemon's answer of any kind; raises as `ask_twice`."""
        answer, _ = await self.ask_twice(ask)
        return answer

    def begin(self, ask: Ask) -> Asked | None:
        """Sends a question at once, for `ask_twice` to await; None if it can't be sent now."""
        client = self._client
        if client is None:
            return None
        try:
            return client, client.begin(ask, patience=self._timings.grace)
        except TaskboundError:  # `ask_twice` raises it again for its caller
            return None

    async def ask_twice(self, ask: Ask, asked: Asked | None = None) -> tuple[Answer, bool]:
        """Returns the answer and whether the question was sent twice; `asked` was sent already."""
        if asked is None:
            client = self._client if self._client is not None else await self._join()
        else:
            client = asked[0]
        try:
            if asked is not None:
                return await client.answer(asked[1]), False
            return await client.ask_any(ask, patience=self._timings.grace), False
        except DaemonLostError:
            if client is self._client:
                self._give_up(client)
                raise
        client = await self._rejoin()
        try:
            return await client.ask_any(ask, patience=self._timings.grace), True
        except DaemonLostError:
            self._give_up(client)
            raise

    def watch(self, *, busy: bool) -> None:
        """Turns the pings on while busy; an idle timer runs out by itself."""
        self._busy = busy
        if busy and self._ping_due is None and self._pinging is None:
            self._ping_soon()

    async def close(self) -> None:
        self._closing, self._busy = True, False
        if self._ping_due is not None:
            self._ping_due.cancel()
        if self._pinging is not None:
            self._pinging.cancel()
        if self._grace is not None:
            self._grace.cancel()
        if self._attempts is not None:
            self._attempts.cancel()
            await asyncio.wait([self._attempts])
        if self._client is not None:
            self._client.close()

    # --- making connections ----------------------------------------------------------------------

    async def _join(self) -> AsyncClient:
        """Returns a connection if an attempt begun from now on succeeds; else raises its error."""
        self.start()
        self._hurry.set()
        before = self._tries
        end = asyncio.get_running_loop().time() + self._timings.grace
        while self._client is None and self._last_failed <= before and await self._wait(end):
            pass
        if self._client is None:
            raise self._failure
        return self._client

    async def _rejoin(self) -> AsyncClient:
        self.start()
        since = self._lost_at if self._lost_at is not None else asyncio.get_running_loop().time()
        while self._client is None and await self._wait(since + self._timings.grace):
            pass
        if self._client is None:
            raise DaemonLostError("the daemon went away before it answered")
        return self._client

    async def _wait(self, end: float) -> bool:
        left = end - asyncio.get_running_loop().time()
        if left <= 0 or self._closing:
            return False
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait([self._changed], timeout=left)
        return bool(done)

    def _tell(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self._changed = None

    async def _keep_trying(self) -> None:
        pause = _FIRST_PAUSE
        while self._client is None:
            self._hurry.clear()
            self._tries += 1
            try:
                await self._try()
            except TaskboundError as error:
                if _differ(self._failure, error):
                    _log.warning("not bound to the daemon: %s", error.message)
                self._failure, self._last_failed = error, self._tries
                self._tell()
            else:
                break
            try:
                async with asyncio.timeout(pause):
                    await self._hurry.wait()
            except TimeoutError:
                pause = min(2 * pause, _LAST_PAUSE)
        self._attempts = None

    async def _try(self) -> None:
        line = _Line()

        def lost() -> None:
            line.broken = True
            if line is self._line:
                self._connection_lost()

        try:
            client, opened = await self._connect(resume=self._secret, pushed=self._events.pushed, lost=lost)
        except OSError as error:
            raise DaemonLostError(f"the daemon can't be reached: {error.strerror or error}") from error
        if line.broken:
            raise DaemonLostError("the daemon closed the connection at once")
        again = bool(self._secret)
        self._client, self._secret, self._line = client, opened.connection, line
        self._lost_at = None
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._events.joined(stopped=opened.stopped, again=again)
        self._tell()

    # --- losing them -----------------------------------------------------------------------------

    def _connection_lost(self) -> None:
        self._client, self._line = None, None
        loop = asyncio.get_running_loop()
        self._lost_at = loop.time()
        if self._closing:
            return
        self._grace = loop.call_later(self._timings.grace, self._events.abandoned)
        self.start()

    def _give_up(self, client: AsyncClient) -> None:
        if client is not self._client:
            return
        self._connection_lost()
        client.close()
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._events.abandoned()

    def _ping_soon(self) -> None:
        self._ping_due = asyncio.get_running_loop().call_later(self._timings.ping, self._begin_ping)

    def _begin_ping(self) -> None:
        self._ping_due = None
        if self._busy:
            self._pinging = asyncio.get_running_loop().create_task(self._ping())

    async def _ping(self) -> None:
        try:
            client = self._client
            if client is not None:
                await self._ask_whether_there(client)
        finally:
            self._pinging = None
            if self._busy:
                self._ping_soon()

    async def _ask_whether_there(self, client: AsyncClient) -> None:
        try:
            await client.ask(Ping(), Done, patience=self._timings.grace - self._timings.ping)
        except TaskboundError:
            self._give_up(client)
        else:
            self._events.answered()


def _differ(one: TaskboundError, other: TaskboundError) -> bool:
    return (one.code, one.message) != (other.code, other.message)


_UNKNOWN: Final = "unknown"
_UNBELIEVED: Final = frozenset({CredentialWrittenError.code, TokenIssuedError.code})
"""With these it is not believed that nothing was sent."""
_NEVER: Final = frozenset({"bad-outcome"})
"""Faults that a second telling gets too."""


class OwingError(UnavailableError):
    """An earlier call's outcome is not recorded yet, so nothing new is asked."""

    code = "outcome-owed"
    remedy = "try again in a moment; if it stays so, look at the daemon's log and its disk"


def instead(ask: Outcome, said: Answer) -> Outcome | None:
    """Returns the outcome to report when the daemon will never accept this one, or None."""
    if not isinstance(said, Withheld) or said.code not in _UNBELIEVED or ask.outcome == _UNKNOWN:
        return None
    return Outcome(action=ask.action, outcome=_UNKNOWN, note=ask.note)


def recorded(said: Answer) -> bool:
    """Whether an outcome with this answer needs no further report."""
    match said:
        case Released():
            return True
        case Withheld():
            return said.recorded
        case Fault():
            return said.code in _NEVER
        case _:
            return False


class UnrecordedOutcomes:
    """The outcomes that one gateway owes its daemon."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._owed: dict[str, Outcome] = {}
        self._paying = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._owed)

    def __contains__(self, action: object) -> bool:
        return action in self._owed

    def owe(self, ask: Outcome) -> None:
        """Keeps an outcome for later, without its result."""
        self._owed[ask.action] = Outcome(
            action=ask.action, outcome=ask.outcome, answer_sha256=ask.answer_sha256, note=ask.note
        )

    async def pay(self) -> None:
        """Reports the owed outcomes in order; raises OwingError or DaemonLostError."""
        async with self._paying:
            while self._owed:
                ask = next(iter(self._owed.values()))
                said = await self._link.ask_any(ask)
                if (other := instead(ask, said)) is not None:
                    self._owed[ask.action] = other
                    continue
                if not recorded(said):
                    raise OwingError(f"the outcome of `{ask.action}` could not be recorded yet: {_why(said)}")
                self._owed.pop(ask.action, None)


def _why(said: Answer) -> str:
    match said:
        case Withheld():
            return said.reason
        case Fault():
            return said.message
        case _:
            return "the daemon answered with something else"
