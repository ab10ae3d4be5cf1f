"""What a client's calls owe the daemon, written down before it is owed and told whatever interrupts a call.

1. A call's debt is written before what it is of: its question before that is sent, *not sent* with its
   permit, *unknown* before its function begins, and what came of it before that is told. So what was known
   stands here wherever the call is interrupted: by a cancellation, a signal, or who closes its coroutine.
2. What is left when a call is over is told at once, and where that could not be, with the next call, sign of
   life, end of a block, and when the client is closed. The daemon says for how long: over the socket five
   seconds from a connection's loss, over HTTP while a token of the task can be had.
3. It is told in the words that were written down. The same again changes nothing at the daemon, so that it is
   no harm where two threads tell it, or one that was interrupted does.
4. A question whose answer nobody heard is presented again, as the same one; what it permitted is *not sent*,
   and one that people are asked is taken back. Under a key of the caller's another process may have it too:
   there its answer is waited for where it still comes, and nothing is said else.
5. What can't be told any more is said when a block ends or the client is closed, unless its caller has heard.
6. A process that was forked owes nothing of its parent's, and another event loop tells nothing.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from weakref import WeakSet

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.sdk.guard.errors import OutcomeUntoldError, ResultWithheldError
from taskbound.sdk.guard.flow import Pause, drive, steer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager

    from taskbound.sdk.guard.flow import Flow, Step, Transport


T = TypeVar("T")
UNSENT: Final = "not-sent"
_INTERRUPTED: Final = "interrupted"
_AT_ONCE: Final = 1.0
"""Seconds for which a program that blocks and was interrupted goes on telling."""
_PAUSE: Final = 0.1
_SLACK: Final = 5.0
"""Seconds that what was sent last may still be waited for."""
_MOST: Final = 1000
"""Debts of a client; of more the oldest is said to be untold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question that may have been sent, and whose answer nobody has heard."""

    what: object
    """The transport's own."""
    own: bool
    """Whether it is under a key of the caller's, which another process may have too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of an action that was permitted."""

    action: str
    outcome: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """People are asked about this action, and nobody waits for their answer."""

    action: str


Due: TypeAlias = Asked | Came | Left


class Debt:
    """What one call owes. Each change is one assignment: an interruption finds it before or behind it."""

    __slots__ = ("answer", "due", "heard", "sent")

    def __init__(self) -> None:
        """Owe nothing."""
        self.due: Due | None = None
        self.sent = 0
        """Which holder sent the question, from 1 on; 0 where nobody did."""
        self.answer: asyncio.Future[Any] | None = None
        """The question's answer, for which it is still waited."""
        self.heard = False
        """Whether its caller has heard that it could not be told."""

    def asks(self, what: object, *, own: bool) -> None:
        """A question is about to be sent."""
        self.sent, self.answer = 0, None
        self.due = Asked(what=what, own=own)

    def permitted(self, action: str) -> None:
        """It was permitted, and nothing has begun."""
        self.due = Came(action=action, outcome=UNSENT)

    def held(self, action: str) -> None:
        """People are asked, for this call."""
        self.due = Left(action=action)

    def begins(self) -> None:
        """Its function is about to begin: what is interrupted from now on may have been done."""
        if isinstance(self.due, Came):
            self.due = replace(self.due, outcome="unknown", note=_INTERRUPTED)

    @property
    def is_own(self) -> bool:
        """Whether it is of a question under a key of the caller's."""
        return isinstance(self.due, Asked) and self.due.own

    @property
    def is_begun(self) -> bool:
        """Whether its function may have begun."""
        return isinstance(self.due, Came) and self.due.outcome != UNSENT

    def came(self, action: str, outcome: str, note: str = "") -> None:
        """This came of it, and is about to be told."""
        self.due = Came(action=action, outcome=outcome, note=note)

    def over(self) -> None:
        """Nothing is owed."""
        self.due = None


def _paid(
    transport: Transport, debt: Debt, untold: dict[str, OutcomeUntoldError], *, seconds: float
) -> Flow[None]:
    """Tell what is left of a call, for so many seconds at most; raises where that is to be tried again."""
    end = time.monotonic() + seconds
    while isinstance(debt.due, Asked):
        try:
            yield from transport.again(debt)  # 4
        except UnavailableError:
            if time.monotonic() >= end:
                raise
            yield Pause(seconds=_PAUSE)
        except TaskboundError:  # nobody can be asked any more: what it may have permitted is unknown in time
            debt.over()
    match debt.due:
        case Came(action=action, outcome=outcome, note=note):
            try:
                yield from transport.tell(action, outcome, note, seconds=end - time.monotonic())
            except ResultWithheldError:  # it is recorded: nobody waits for the result
                pass
            except OutcomeUntoldError as error:
                if not error.over:
                    raise
                if not debt.heard:
                    untold[action] = error  # 5: before it is over
        case Left(action=action):
            yield from transport.leave(action)
        case _:
            pass
    debt.over()


class _Run:
    """A call that is under way: for as long as it is, also where its end is interrupted, and says nothing."""

    __slots__ = ("__weakref__",)


class _Owed:
    """What both kinds of client remember."""

    def __init__(
        self,
        spoken: Callable[[], tuple[Transport, Callable[[Step], Any]]],
        turn: AbstractContextManager[object],
    ) -> None:
        """Owe nothing; `spoken` says how the daemon is spoken to, and no connection ends within `turn`."""
        self._spoken = spoken
        self._turn = turn
        self._left: dict[int, Debt] = {}
        self._running: WeakSet[_Run] = WeakSet()
        self._untold: dict[str, OutcomeUntoldError] = {}
        self._process = 0

    def _own(self) -> bool:
        """Whether this is the process whose calls these are (rule 6)."""
        here = os.getpid()
        if self._process not in {0, here}:
            self._left, self._untold, self._running = {}, {}, WeakSet()
        self._process = here
        return bool(self._left)

    @property
    def is_running(self) -> bool:
        """Whether a call is under way, whose outcome is told by the connection that its permit came on."""
        self._own()
        return bool(self._running)

    @property
    def is_idle(self) -> bool:
        """Whether no call is under way, and nothing is owed or to be said."""
        return not (self._own() or self._running or self._untold)

    def _leave(self, debt: Debt) -> bool:
        """Whether a call that is over leaves something; it is remembered."""
        due = debt.due
        if due is None or (isinstance(due, Asked) and not debt.sent):
            return False
        self._left[id(debt)] = debt
        if len(self._left) > _MOST:
            self._give_up(next(iter(self._left.values())), f"more than {_MOST} outcomes are owed")
        return True

    def _forget(self, debt: Debt) -> None:
        if debt.due is None:
            self._left.pop(id(debt), None)

    def _give_up(self, debt: Debt, why: str) -> None:
        """It is told no more; it is said (rule 5)."""
        due = debt.due
        if isinstance(due, Came) and not debt.heard:
            self._untold[due.action] = OutcomeUntoldError(
                f"what came of `{due.action}` ({due.outcome}) could not be told: {why}",
                action=due.action,
                outcome=due.outcome,
            )
        self._left.pop(id(debt), None)

    def _say(self, error: BaseException | None, *, final: bool) -> None:
        """Say what could not be told: beside this error, and raised without one (rule 5)."""
        if final:
            for debt in tuple(self._left.values()):
                self._give_up(debt, "the client was closed before")
        untold, self._untold = tuple(self._untold.values()), {}
        if not untold:
            return
        first, *more = untold
        if error is not None:
            for one in untold:
                error.add_note(one.beside())
            return
        for one in more:
            first.add_note(one.beside())
        raise first


class BlockingOwed(_Owed):
    """For programs that block."""

    def run(self, flow: Callable[[Debt], Flow[T]], perform: Callable[[Step], object]) -> T:
        """What comes of a call, whose debt is told should it be interrupted."""
        self.tell()
        debt, run = Debt(), _Run()
        try:
            with self._turn:
                self._running.add(run)
            return drive(flow(debt), perform)
        except BaseException as error:
            if self._leave(debt) and not isinstance(error, Exception):
                self.tell(seconds=_AT_ONCE)
            raise
        finally:
            self._running.discard(run)
            self._leave(debt)  # also where it is interrupted a second time

    def tell(self, *, seconds: float = 0.0) -> None:
        """Tell what is owed, for so many seconds at most; once without any."""
        if not self._own():
            return
        transport, perform = self._spoken()
        end = time.monotonic() + seconds
        for debt in tuple(self._left.values()):
            left = 0.0 if debt.heard else max(0.0, end - time.monotonic())
            try:
                drive(_paid(transport, debt, self._untold, seconds=left), perform)
            except TaskboundError:  # the next one would wait as long as this one did
                break
            finally:
                self._forget(debt)

    @contextmanager
    def settled(self, error: BaseException | None, *, final: bool = False) -> Iterator[None]:
        """Tell what is owed, then do what is done here, then say what could not be told (rule 5).

        Args:
            error: What is being raised; None where nothing is.
            final: Whether the client is closed here.

        Raises:
            OutcomeUntoldError: What came of some action could not be told, and no error is being raised.
        """
        try:
            self._settle()
        except BaseException as stopped:
            error = stopped
            raise
        finally:
            try:
                yield
            except BaseException as other:
                self._say(other, final=final)
                raise
            self._say(error, final=final)

    def _settle(self) -> None:
        if self._own():
            self.tell(seconds=self._spoken()[0].patience)


class AsyncOwed(_Owed):
    """For asyncio programs: it is told behind whoever was cancelled, in the loop of the first call."""

    def __init__(
        self,
        spoken: Callable[[], tuple[Transport, Callable[[Step], Any]]],
        turn: AbstractContextManager[object],
    ) -> None:
        """Owe nothing, as `BlockingOwed`."""
        super().__init__(spoken, turn)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._telling: dict[int, asyncio.Task[None]] = {}
        self._closing: asyncio.Task[None] | None = None

    async def run(self, flow: Callable[[Debt], Flow[T]], perform: Callable[[Step], Any]) -> T:
        """What comes of a call, whose debt is told should it be interrupted."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self.tell()
        debt, run = Debt(), _Run()
        try:
            self._running.add(run)
            return await steer(flow(debt), perform)
        finally:
            self._running.discard(run)
            if self._leave(debt) and not debt.heard:
                self._begin_soon(debt)

    def tell(self) -> None:
        """Have told what is owed, and is not being told; once."""
        if self._own() and asyncio.get_running_loop() is self._loop:
            for debt in tuple(self._left.values()):
                self._begin(debt, seconds=0.0)

    def _begin_soon(self, debt: Debt) -> None:
        """Have it told, from wherever a call ends: also a coroutine that is closed where no loop runs."""
        loop = self._loop
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is loop:
            self._begin(debt)
        elif loop is not None:
            with suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(self._begin, debt)

    def _begin(self, debt: Debt, seconds: float | None = None) -> None:
        if id(debt) not in self._telling:
            telling = asyncio.get_running_loop().create_task(self._tell(debt, seconds))
            self._telling[id(debt)] = telling
            telling.add_done_callback(lambda _: self._telling.pop(id(debt), None))

    async def _tell(self, debt: Debt, seconds: float | None) -> None:
        transport, perform = self._spoken()
        left = transport.patience if seconds is None else seconds
        try:
            await steer(_paid(transport, debt, self._untold, seconds=left), perform)
        except TaskboundError:
            return  # 2: it is owed until it is told, or said to be untold
        finally:
            self._forget(debt)

    @asynccontextmanager
    async def settled(self, error: BaseException | None) -> AsyncIterator[None]:
        """As `BlockingOwed.settled`."""
        try:
            await self._settle()
        except BaseException as stopped:
            error = stopped
            raise
        finally:
            try:
                yield
            except BaseException as other:
                self._say(other, final=False)
                raise
            self._say(error, final=False)

    async def _settle(self) -> None:
        if not (self._own() and asyncio.get_running_loop() is self._loop):
            return
        end = time.monotonic() + self._spoken()[0].patience
        while True:
            left = max(0.0, end - time.monotonic())
            for debt in tuple(self._left.values()):
                self._begin(debt, seconds=0.0 if debt.heard else left)
            await asyncio.wait(tuple(self._telling.values()), timeout=left + _SLACK)  # one for each at least
            if not left or all(debt.heard for debt in self._left.values()):
                return

    async def closed(self, error: BaseException | None, close: Callable[[], Awaitable[None]]) -> None:
        """Close it, once what is owed was told; whoever is cancelled meanwhile leaves that to the loop.

        Args:
            error: What is being raised; None where nothing is.
            close: Ends the connections.

        Raises:
            OutcomeUntoldError: As `BlockingOwed.settled`.
        """

        async def last() -> None:
            try:
                await self._settle()
            finally:
                for one in tuple(self._telling.values()):
                    one.cancel()
                await close()

        if not (self._own() or self._telling):
            await close()
        else:
            self._closing = asyncio.get_running_loop().create_task(last())
            await asyncio.shield(self._closing)
        self._say(error, final=True)
