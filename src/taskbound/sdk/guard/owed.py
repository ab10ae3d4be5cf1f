"""Debts of a client's calls to the daemon: written down first, and settled whatever interrupts the call.

1. A debt is written before its step: the question before it is sent, *not sent* with the permit, *unknown*
   before the function begins, the outcome before it is reported. So any interruption finds it.
2. A remaining debt is settled when the call ends, and otherwise with the next call, heartbeat, end of a
   block or close. The daemon accepts it for five seconds after a connection's loss, and over HTTP while
   tokens are issued. Repeats change nothing, so two threads may both report.
3. A lost question is repeated as the same one; a permit becomes *not sent*, and a held question is
   withdrawn. Under the caller's own key another process may use it: then only a late answer is awaited.
4. A debt that can't be settled is raised at the end of a block or on close, unless its caller knows.
5. A forked process owes nothing of its parent, and another event loop reports nothing.
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
    """A question that may have been sent and whose answer is not known."""

    what: object
    """The transport's own."""
    own: bool
    """Whether it is under a key of the caller's, which another process may have too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOutcome:
    """The outcome of a permitted action."""

    action: str
    outcome: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonedHold:
    """A held action that no caller waits for."""

    action: str


Due: TypeAlias = Asked | KnownOutcome | AbandonedHold


class Debt:
    """The debt of one call; each change is one assignment, so an interruption sees a whole state."""

    __slots__ = ("answer", "due", "heard", "sent")

    def __init__(self) -> None:
        self.due: Due | None = None
        self.sent = 0
        """The number of the holder that sent the question, from 1; 0 if it was not sent."""
        self.answer: asyncio.Future[Any] | None = None
        """The question's answer, for which it is still waited."""
        self.heard = False
        """Whether its caller has heard that it could not be told."""

    def asks(self, what: object, *, own: bool) -> None:
        self.sent, self.answer = 0, None
        self.due = Asked(what=what, own=own)

    def permitted(self, action: str) -> None:
        self.due = KnownOutcome(action=action, outcome=UNSENT)

    def held(self, action: str) -> None:
        self.due = AbandonedHold(action=action)

    def begins(self) -> None:
        """Its function is about to begin: from now on an interruption leaves it unknown."""
        if isinstance(self.due, KnownOutcome):
            self.due = replace(self.due, outcome="unknown", note=_INTERRUPTED)

    @property
    def is_own(self) -> bool:
        return isinstance(self.due, Asked) and self.due.own

    @property
    def is_begun(self) -> bool:
        return isinstance(self.due, KnownOutcome) and self.due.outcome != UNSENT

    def came(self, action: str, outcome: str, note: str = "") -> None:
        """This outcome is about to be reported."""
        self.due = KnownOutcome(action=action, outcome=outcome, note=note)

    def over(self) -> None:
        self.due = None


def _paid(
    transport: Transport, debt: Debt, untold: dict[str, OutcomeUntoldError], *, seconds: float
) -> Flow[None]:
    end = time.monotonic() + seconds
    while isinstance(debt.due, Asked):
        try:
            yield from transport.again(debt)  # 4
        except UnavailableError:
            if time.monotonic() >= end:
                raise
            yield Pause(seconds=_PAUSE)
        except TaskboundError:  # the daemon can't be asked any more: a permit becomes unknown in time
            debt.over()
    match debt.due:
        case KnownOutcome(action=action, outcome=outcome, note=note):
            try:
                yield from transport.tell(action, outcome, note, seconds=end - time.monotonic())
            except ResultWithheldError:  # it is recorded, and no caller waits for the result
                pass
            except OutcomeUntoldError as error:
                if not error.over:
                    raise
                if not debt.heard:
                    untold[action] = error  # 5: before it is over
        case AbandonedHold(action=action):
            yield from transport.leave(action)
        case _:
            pass
    debt.over()


class _Run:
    """A running call; it counts until its end, also when that is interrupted."""

    __slots__ = ("__weakref__",)


class _Debts:
    def __init__(
        self,
        spoken: Callable[[], tuple[Transport, Callable[[Step], Any]]],
        turn: AbstractContextManager[object],
    ) -> None:
        self._spoken = spoken
        self._turn = turn
        self._left: dict[int, Debt] = {}
        self._running: WeakSet[_Run] = WeakSet()
        self._untold: dict[str, OutcomeUntoldError] = {}
        self._process = 0

    def _own(self) -> bool:
        here = os.getpid()
        if self._process not in {0, here}:
            self._left, self._untold, self._running = {}, {}, WeakSet()
        self._process = here
        return bool(self._left)

    @property
    def is_running(self) -> bool:
        """Whether a call is running: its outcome must use the connection of its permit."""
        self._own()
        return bool(self._running)

    @property
    def is_idle(self) -> bool:
        """Whether no call runs and nothing is owed or unreported."""
        return not (self._own() or self._running or self._untold)

    def _leave(self, debt: Debt) -> bool:
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
        due = debt.due
        if isinstance(due, KnownOutcome) and not debt.heard:
            self._untold[due.action] = OutcomeUntoldError(
                f"what came of `{due.action}` ({due.outcome}) could not be told: {why}",
                action=due.action,
                outcome=due.outcome,
            )
        self._left.pop(id(debt), None)

    def _say(self, error: BaseException | None, *, final: bool) -> None:
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


class BlockingDebts(_Debts):
    """The debts of blocking programs."""

    def run(self, flow: Callable[[Debt], Flow[T]], perform: Callable[[Step], object]) -> T:
        """Runs a call and settles its debt if it is interrupted."""
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
        """Settles what is owed, for `seconds` at most; 0 tries once."""
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
        """Settles, runs the block, raises the rest (rule 4); an `error` being raised gets notes."""
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


class AsyncDebts(_Debts):
    """The debts of asyncio programs, settled detached from cancelled callers in the first call's loop."""

    def __init__(
        self,
        spoken: Callable[[], tuple[Transport, Callable[[Step], Any]]],
        turn: AbstractContextManager[object],
    ) -> None:
        super().__init__(spoken, turn)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._telling: dict[int, asyncio.Task[None]] = {}
        self._closing: asyncio.Task[None] | None = None

    async def run(self, flow: Callable[[Debt], Flow[T]], perform: Callable[[Step], Any]) -> T:
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
        """Starts settling what is owed and not being settled, once."""
        if self._own() and asyncio.get_running_loop() is self._loop:
            for debt in tuple(self._left.values()):
                self._begin(debt, seconds=0.0)

    def _begin_soon(self, debt: Debt) -> None:
        """Starts settling from any end of a call, also of a coroutine closed outside a loop."""
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
            return  # 2: it is owed until it is reported, or raised as unreported
        finally:
            self._forget(debt)

    @asynccontextmanager
    async def settled(self, error: BaseException | None) -> AsyncIterator[None]:
        """As `BlockingDebts.settled`."""
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
        """Settles what is owed, then closes; if the caller is cancelled the loop goes on."""

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
