"""The gateway's link to the daemon, and what it still owes it.

Of `link`:

1. A question whose answer is lost with the connection is asked once more on the next one,
   if that comes within the grace of 5 seconds (design 4.9): the daemon knows the
   connection by its secret again, and what it holds.
2. A daemon that does not answer in time is lost like one that is gone: the connection is
   given up, and never believed late.
3. While calls are open, or an outcome is owed, the daemon is asked each second whether it still answers.
4. Without a daemon new questions fail at once; attempts go on beside them, ever more rarely.

Of `debts`:

1. An outcome is owed when the daemon could not be told, or said that it could not record it. Its result
   was withheld then, and stays so: what is owed has no result with it.
2. It is told again when the daemon is there again, at each ping, and before the next call is decided:
   until then the act counts as running, and a repeat would be a new use. While something is owed,
   nothing new is asked for.
3. It is owed no longer once the daemon says that it stands, or that this gateway is not who may tell it.
4. That nothing was sent the daemon takes from nobody once a transaction token was issued for the action: then
   what came of it is unknown, and told so.
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
    """Seconds; the values are the design's, and tests use shorter ones."""

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
    """How long a call takes before a client that knows what MCP calls tasks is told to come back for it."""
    leave: float = 10.0
    """How long ending may take in all once the client is gone."""


class Connect(Protocol):
    """Makes a connection to the daemon, which it may start; given by wiring."""

    def __call__(
        self, *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> Awaitable[tuple[AsyncClient, Opened]]:
        """The connection, and what the daemon said when it opened.

        Raises:
            TaskboundError: There is none.
        """


class LinkEvents(Protocol):
    """What happens to the connection; called in the loop, returns at once."""

    def pushed(self, push: Push) -> None:
        """The daemon said something unasked."""

    def joined(self, *, stopped: bool, again: bool) -> None:
        """A connection is open; `again` when it is not the first."""

    def answered(self) -> None:
        """The daemon answered a ping."""

    def abandoned(self) -> None:
        """The daemon was away for longer than the grace: what is open is given up."""


class _Line:
    """One connection, by identity: what a given-up one still says is not taken for another's."""

    def __init__(self) -> None:
        self.broken = False


class Link:
    """Asks the daemon."""

    def __init__(self, connect: Connect, events: LinkEvents, timings: Timings) -> None:
        """Prepare; `start` makes the first attempt."""
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
        """Begin to connect."""
        if self._attempts is None and not self._closing:
            self._attempts = asyncio.get_running_loop().create_task(self._keep_trying())

    @property
    def connected(self) -> bool:
        """Whether a connection is open now."""
        return self._client is not None

    async def ask(self, ask: Ask, kind: type[A]) -> A:
        """The daemon's answer, of this kind.

        Raises:
            RefusedByDaemonError: The daemon answered with a fault.
            DaemonLostError: There is no daemon, or it did not answer in time.
        """
        answer = await self.ask_any(ask)
        if isinstance(answer, kind):
            return answer
        if isinstance(answer, Fault):
            raise RefusedByDaemonError(answer)
        raise FrameError(f"the daemon answered `{type(answer).__name__}` where `{kind.__name__}` was due")

    async def ask_any(self, ask: Ask) -> Answer:
        """The daemon's answer, of any kind; raises as `ask_twice`."""
        answer, _ = await self.ask_twice(ask)
        return answer

    def begin(self, ask: Ask) -> Asked | None:
        """Ask at once, for `ask_twice` to wait for the answer; None when it can't be asked now."""
        client = self._client
        if client is None:
            return None
        try:
            return client, client.begin(ask, patience=self._timings.grace)
        except TaskboundError:  # `ask_twice` meets it again, where somebody waits for it
            return None

    async def ask_twice(self, ask: Ask, asked: Asked | None = None) -> tuple[Answer, bool]:
        """The daemon's answer, and whether it was asked twice because the first answer was lost (rule 1).

        Args:
            ask: What to ask.
            asked: The same, when it was asked already.

        Raises:
            TaskboundError: Why no connection could be made, when there is none.
            DaemonLostError: The daemon did not answer in time, or not again within the grace (rule 1).
        """
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
                self._give_up(client)  # 2
                raise
        client = await self._rejoin()
        try:
            return await client.ask_any(ask, patience=self._timings.grace), True
        except DaemonLostError:
            self._give_up(client)
            raise

    def watch(self, *, busy: bool) -> None:
        """Calls are open or outcomes owed, or none is any more (rule 3).

        The timer is left to run out when none is: the next call begins within its second, mostly.
        """
        self._busy = busy
        if busy and self._ping_due is None and self._pinging is None:
            self._ping_soon()

    async def close(self) -> None:
        """End the connection and every attempt to make one."""
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
        """A connection, if an attempt that begins from now on makes one; the reason why not otherwise."""
        self.start()
        self._hurry.set()
        before = self._tries
        end = asyncio.get_running_loop().time() + self._timings.grace
        while self._client is None and self._last_failed <= before and await self._wait(end):
            pass
        if self._client is None:
            raise self._failure  # 4
        return self._client

    async def _rejoin(self) -> AsyncClient:
        """The next connection, if it comes within the grace."""
        self.start()
        since = self._lost_at if self._lost_at is not None else asyncio.get_running_loop().time()
        while self._client is None and await self._wait(since + self._timings.grace):
            pass
        if self._client is None:
            raise DaemonLostError("the daemon went away before it answered")
        return self._client

    async def _wait(self, end: float) -> bool:
        """Wait for a connection or a failed attempt; whether there was time for one."""
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
        """A daemon that does not answer is gone, and has had its grace (rule 2)."""
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
    """Whether two errors say different things, so that the log says each once."""
    return (one.code, one.message) != (other.code, other.message)


_UNKNOWN: Final = "unknown"
_UNBELIEVED: Final = frozenset({CredentialWrittenError.code, TokenIssuedError.code})
"""With these it is not believed that nothing was sent."""
_NEVER: Final = frozenset({"bad-outcome"})
"""Faults that a second telling gets too."""


class OwingError(UnavailableError):
    """What came of an earlier call is not recorded yet, so nothing new is asked for."""

    code = "outcome-owed"
    remedy = "try again in a moment; if it stays so, look at the daemon's log and its disk"


def instead(ask: Outcome, said: Answer) -> Outcome | None:
    """What is told where the daemon will never take this (rule 4); None where it may, or has."""
    if not isinstance(said, Withheld) or said.code not in _UNBELIEVED or ask.outcome == _UNKNOWN:
        return None
    return Outcome(action=ask.action, outcome=_UNKNOWN, note=ask.note)


def recorded(said: Answer) -> bool:
    """Whether an outcome that was answered like this needs no second telling."""
    match said:
        case Released():
            return True
        case Withheld():
            return said.recorded
        case Fault():
            return said.code in _NEVER
        case _:
            return False


class Debts:
    """What one gateway owes its daemon."""

    def __init__(self, link: Link) -> None:
        """Owe nothing."""
        self._link = link
        self._owed: dict[str, Outcome] = {}
        self._paying = asyncio.Lock()

    def __len__(self) -> int:
        """How many outcomes are owed."""
        return len(self._owed)

    def __contains__(self, action: object) -> bool:
        """Whether the outcome of this action is owed."""
        return action in self._owed

    def owe(self, ask: Outcome) -> None:
        """Keep an outcome for later, without its result (rule 1)."""
        self._owed[ask.action] = Outcome(
            action=ask.action, outcome=ask.outcome, answer_sha256=ask.answer_sha256, note=ask.note
        )

    async def pay(self) -> None:
        """Tell what is owed, one after another.

        Raises:
            OwingError: The daemon can't record something now.
            DaemonLostError: It is not there.
        """
        async with self._paying:
            while self._owed:
                ask = next(iter(self._owed.values()))
                said = await self._link.ask_any(ask)
                if (other := instead(ask, said)) is not None:
                    self._owed[ask.action] = other  # 4
                    continue
                if not recorded(said):
                    raise OwingError(f"the outcome of `{ask.action}` could not be recorded yet: {_why(said)}")
                self._owed.pop(ask.action, None)  # 3


def _why(said: Answer) -> str:
    match said:
        case Withheld():
            return said.reason
        case Fault():
            return said.message
        case _:
            return "the daemon answered with something else"
