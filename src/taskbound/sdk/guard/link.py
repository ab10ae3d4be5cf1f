"""The connection to this machine's daemon, made when needed and made again when lost.

1. A connection belongs to the process and event loop that made it; use elsewhere is refused, because two
   readers would take each other's answers. A forked child may close its copy without affecting the parent.
2. Threads take turns for each question; a thread that waits for approvers lets others go on.
3. A lost connection is made again with its secret while the daemon accepts that as the same holder (design
   4.9); after that it is a new holder. Late messages of a daemon that didn't answer are ignored.
4. Without a named task the daemon is asked with the last task, which a restarted daemon doesn't know. If
   another task is bound now, one call is refused first.
5. A cancelled question may still be permitted: its answer is awaited, and the client settles it (`owed`).
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, Protocol

from taskbound import __version__
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.sdk.client import AsyncClient, Client, RefusedByDaemonError
from taskbound.sdk.credential import OtherTaskBoundError
from taskbound.sdk.guard.errors import CallUndecidedError, ForkedError, OtherLoopError, RefusedError
from taskbound.sdk.guard.flow import Pause, Say
from taskbound.sdk.guard.near import GRACE, UNAVAILABLE, Listen, Question, RepeatedQuestion
from taskbound.sdk.guard.owed import Asked
from taskbound.wire.action import Permitted
from taskbound.wire.approval import HoldPush
from taskbound.wire.connection import Bind, Bound, Open, Ping

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from taskbound.sdk.guard.flow import Step
    from taskbound.sdk.guard.owed import Debt
    from taskbound.wire.envelope import Answer, Ask, Push


_TURN: Final = 0.25
"""Seconds after which who waits for people looks whether another thread has heard their answer."""
_NOT_OPEN: Final = "not-open"
_RESUME: Final = "resume"
_MOST: Final = 1000
"""Answers of people that are kept for who has not come for them yet, the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The daemon's address and the agent."""

    socket: Path
    namespace: str
    agent: str
    task: str
    """The task that is meant; empty for the one that the daemon finds."""
    template: str = ""
    """Of what tasks are made where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsPerson:
    """Ask this as the account that the program runs under, on a connection of its own."""

    ask: Ask


class _Find(Protocol):
    def __call__(self) -> Place:
        pass


def _hello(place: Place, secret: str, task: str) -> Open:
    return Open(
        role="gateway",
        version=__version__,
        namespace=place.namespace,
        agent=place.agent,
        task=task,
        resume=secret,
    )


def _refused(error: RefusedByDaemonError) -> TaskboundError:
    fault = error.fault
    held = fault.code == _NOT_OPEN and fault.where == _RESUME  # the daemon has not seen yet that it was lost
    if held or fault.family == UNAVAILABLE:
        return CallUndecidedError(fault.message, code=fault.code, remedy=fault.advice)
    return RefusedError(
        f"there is no task to act in: {fault.message} [{fault.code}]",
        tool="",
        code=fault.code,
        remedy=fault.advice,
    )


def _require(bound: Bound, task: str) -> None:
    if task not in {"", bound.task}:
        raise OtherTaskBoundError(
            f"this process belongs to the task `{bound.task}`, and not to the one named"
        )


class _Kept:
    def __init__(self, find: _Find) -> None:
        self._find = find
        self._place: Place | None = None
        self._process = 0
        self._secret = ""
        self._lost = 0.0
        self._holder = 0
        self._heard: dict[str, HoldPush] = {}
        self.task = ""
        """The task that is named; empty for the one that the daemon finds."""
        self._last = ""
        """The task of the last permit or binding without a named task (rule 4)."""
        self.bound: Bound | None = None
        """What the connection belongs to, as it was said last."""

    @property
    def place(self) -> Place:
        if self._place is None:
            self._place = self._find()
            self.task = self.task or self._place.task
        return self._place

    @property
    def is_own(self) -> bool:
        return self._process in {0, os.getpid()}

    def require_own(self) -> None:
        """Raises ForkedError unless this process connected first (rule 1)."""
        here = os.getpid()
        if not self.is_own:
            raise ForkedError(f"this client belongs to the process {self._process}, and not to {here}")
        self._process = here

    def _resume(self) -> str:
        return self._secret if time.monotonic() - self._lost < GRACE else ""

    def _keep(self, secret: str) -> None:
        if secret != self._secret:
            self._holder += 1
        self._secret = secret

    def _to_repeat(self, debt: Debt) -> Asked | None:
        due = debt.due
        if isinstance(due, Asked) and not due.own and debt.sent == self._holder:
            return due
        return None

    def _bind(self) -> Bind:
        return Bind(last="" if self.task else self._last)

    def _entered(self, bound: Bound) -> None:
        """Binds a new connection; one call is refused with the earlier task's end first (rule 4)."""
        _require(bound, self.task)
        before = self._last
        self.bound = bound
        self._answered_in(bound)
        if not self.task and before not in {"", bound.task}:
            raise RefusedError(
                f"the task `{before}` has ended; calls from now on belong to `{bound.task}` [task-ended]",
                tool="",
                code="task-ended",
                remedy="look whether this is still to be done, in that task",
                task=before,
            )

    def _answered_in(self, answer: Answer) -> Answer:
        if not self.task and isinstance(answer, Bound | Permitted):
            self._last = answer.task
        return answer

    def _hear(self, push: Push) -> None:
        if isinstance(push, HoldPush):
            self._heard[push.action] = push
            if len(self._heard) > _MOST:
                del self._heard[next(iter(self._heard))]


class BlockingLink(_Kept):
    """The connection of blocking programs."""

    def __init__(self, find: _Find) -> None:
        super().__init__(find)
        self._turn = threading.RLock()
        self._client: Client | None = None
        self._person: Client | None = None

    def perform(self, step: Step) -> object:
        match step:
            case Pause(seconds=seconds):
                time.sleep(seconds)
                return None
            case Say(what=Listen(action=action, seconds=seconds)):
                return self._listen(action, seconds)
            case Say(what=AsPerson(ask=ask)):
                return self._as_person(ask)
            case Say(what=Question(ask=ask, debt=debt)):
                return self._say(ask, debt)
            case Say(what=RepeatedQuestion(debt=debt)):
                return self._again(debt)
            case Say(what=ask):
                return self._say(ask)  # type: ignore[arg-type]  # what `Near` says are messages
            case _:
                raise TypeError(step)

    def beat(self) -> None:
        self._say(Ping())

    def belong(self) -> Bound:
        self.require_own()
        with self._turn:
            self._connected()
            bound = self._say(self._bind())
            if not isinstance(bound, Bound):
                raise RefusedError("there is no task to act in", tool="")
            _require(bound, self.task)
            self.bound = bound
            return bound

    def _say(self, ask: Ask, debt: Debt | None = None) -> Answer:
        self.require_own()
        with self._turn:  # 2
            client = self._connected()
            if debt is not None:
                debt.sent = self._holder
            try:
                return self._answered_in(client.ask_any(ask))
            except BaseException:
                self._drop()  # 4: also when a signal came in the middle of an answer
                raise

    def _again(self, debt: Debt) -> Answer | None:
        self.require_own()
        with self._turn:
            self._connected()
            asked = self._to_repeat(debt)
            return None if asked is None else self._say(asked.what)  # type: ignore[arg-type]  # `Near`'s own

    def _as_person(self, ask: Ask) -> Answer:
        self.require_own()
        with self._turn:
            place = self.place
            if self._person is None:
                self._person = Client(
                    place.socket, Open(role="run", version=__version__, namespace=place.namespace)
                )
            try:
                return self._person.ask_any(ask)
            except BaseException:
                self._person.close()
                self._person = None
                raise

    def _listen(self, action: str, seconds: float) -> HoldPush | None:
        end = time.monotonic() + seconds
        while True:
            self.require_own()
            with self._turn:
                client = self._connected()
                if (found := self._heard.pop(action, None)) is not None:
                    return found
            left = end - time.monotonic()
            if left <= 0:
                return None
            try:
                client.is_readable(min(left, _TURN))  # 2: outside of the turn
            except (OSError, ValueError):  # another thread has closed it meanwhile
                continue

    def _connected(self) -> Client:
        if self._client is not None and self._still():
            return self._client
        place = self.place
        try:
            self._client = client = Client(place.socket, _hello(place, self._resume(), self.task))
            self._keep(client.opened.connection)
            self._entered(client.ask(self._bind(), Bound))
        except BaseException as error:
            self._drop()  # also when a signal came: one that is kept by an error would be another's for ever
            if isinstance(error, RefusedByDaemonError):
                raise _refused(error) from error
            raise
        return client

    def _still(self) -> bool:
        client = self._client
        if client is None:
            return False
        try:
            for reply in client.kept():
                if reply.push is not None:
                    self._hear(reply.push)
            while client.is_readable(0):
                for push in client.pushes():
                    self._hear(push)
        except (TaskboundError, OSError, ValueError):
            self._drop()
            return False
        return True

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client, self._lost = None, time.monotonic()

    def rest(self) -> None:
        """Closes the connections until the next question, in the process that made them."""
        if self.is_own:
            self.close()

    def close(self) -> None:
        with self._turn if self.is_own else nullcontext():  # 1: a thread had it, which a child has not
            for one in (self._client, self._person):
                if one is not None:
                    one.close()
            self._client, self._person, self._secret = None, None, ""


class AsyncLink(_Kept):
    """The connection of asyncio programs, bound to the loop of its first use."""

    def __init__(self, find: _Find) -> None:
        super().__init__(find)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn: asyncio.Lock | None = None
        self._client: AsyncClient | None = None
        self._person: AsyncClient | None = None
        self._waiting: dict[str, asyncio.Future[HoldPush]] = {}

    async def perform(self, step: Step) -> object:
        match step:
            case Pause(seconds=seconds):
                await asyncio.sleep(seconds)
                return None
            case Say(what=Listen(action=action, seconds=seconds)):
                return await self._listen(action, seconds)
            case Say(what=AsPerson(ask=ask)):
                return await self._as_person(ask)
            case Say(what=Question(ask=ask, debt=debt)):
                return await self._question(ask, debt)
            case Say(what=RepeatedQuestion(debt=debt)):
                return await self._again(debt)
            case Say(what=ask):
                return await self._say(ask)  # type: ignore[arg-type]  # what `Near` says are messages
            case _:
                raise TypeError(step)

    async def beat(self) -> None:
        await self._say(Ping())

    async def belong(self) -> Bound:
        await self._connected()
        bound = await self._say(self._bind())
        if not isinstance(bound, Bound):
            raise RefusedError("there is no task to act in", tool="")
        _require(bound, self.task)
        self.bound = bound
        return bound

    async def _say(self, ask: Ask) -> Answer:
        client = await self._connected()
        return await self._answered(client, client.ask_any(ask))

    async def _question(self, ask: Ask, debt: Debt) -> Answer:
        client = await self._connected()
        debt.sent = self._holder
        debt.answer = asyncio.ensure_future(self._answered(client, client.ask_any(ask)))
        return await _waited(debt.answer)

    async def _again(self, debt: Debt) -> Answer | None:
        if debt.answer is not None:
            try:
                return await _waited(debt.answer)
            except TaskboundError:
                debt.answer = None
        await self._connected()
        asked = self._to_repeat(debt)
        return None if asked is None else await self._say(asked.what)  # type: ignore[arg-type]  # `Near`'s own

    async def _answered(self, client: AsyncClient, answer: Awaitable[Answer]) -> Answer:
        try:
            return self._answered_in(await answer)
        except TaskboundError:
            self._drop(client)  # 4
            raise

    async def _as_person(self, ask: Ask) -> Answer:
        self._require_loop()
        place = self.place
        if self._person is None:
            hello = Open(role="run", version=__version__, namespace=place.namespace)
            self._person, _ = await AsyncClient.connect(
                place.socket, hello, pushed=lambda _: None, lost=lambda: None
            )
        try:
            return await self._person.ask_any(ask)
        except BaseException:
            self._person.close()
            self._person = None
            raise

    async def _listen(self, action: str, seconds: float) -> HoldPush | None:
        await self._connected()
        if (found := self._heard.pop(action, None)) is not None:
            return found
        waiting = self._waiting.setdefault(action, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(waiting)
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(action, None)

    def _pushed(self, push: Push) -> None:
        if isinstance(push, HoldPush):
            waiting = self._waiting.get(push.action)
            if waiting is not None and not waiting.done():
                waiting.set_result(push)
            else:
                self._hear(push)

    def _require_loop(self) -> asyncio.Lock:
        self.require_own()
        loop = asyncio.get_running_loop()
        if self._turn is None:
            self._loop, self._turn = loop, asyncio.Lock()
        elif loop is not self._loop:
            raise OtherLoopError("this client belongs to another event loop")
        return self._turn

    async def _connected(self) -> AsyncClient:
        turn = self._require_loop()
        client = self._open()
        if client is None:
            async with turn:
                client = self._open()  # another call may have connected meanwhile
                if client is None:
                    client = await self._connect()
        return client

    def _open(self) -> AsyncClient | None:
        return self._client

    async def _connect(self) -> AsyncClient:
        place = self.place
        opened: list[AsyncClient] = []
        hello = _hello(place, self._resume(), self.task)

        def lost() -> None:
            if opened:
                self._drop(opened[0])

        try:
            client, said = await AsyncClient.connect(place.socket, hello, pushed=self._pushed, lost=lost)
            opened.append(client)
            try:
                self._entered(await client.ask(self._bind(), Bound))
            except BaseException:
                client.close()
                raise
        except RefusedByDaemonError as error:
            raise _refused(error) from error
        self._client = client
        self._keep(said.connection)
        return client

    def _drop(self, client: AsyncClient) -> None:
        client.close()
        if client is self._client:
            self._client, self._lost = None, time.monotonic()

    async def rest(self) -> None:
        """As `BlockingLink.rest`."""
        if self.is_own:
            await self.close()

    async def close(self) -> None:
        for one in (self._client, self._person):
            if one is not None and self.is_own:  # 1: a child's closing would take it out of its parent's loop
                one.close()
        self._client, self._person, self._secret = None, None, ""


async def _waited(answer: asyncio.Future[Answer]) -> Answer:
    """Returns an answer; cancelling the waiter leaves the answer pending."""
    await asyncio.wait((answer,))
    return answer.result()
