"""The clients that programs use: how the daemon is spoken to, and the tasks that functions run in.

1. Making one does nothing: what it needs is looked for, loaded and connected with the first call.
2. A function that blocks is guarded by a `Client`, one that is awaited by an `AsyncClient`: neither waits in
   the other's way.
3. Guarded functions that are called within a client's block, or its task's, belong to it.
4. A client has one task that a block of it started, at a time: another block within it or beside it is
   refused, since what it calls would run in the first one's task, under its purpose and scope. A task that
   was started and can't be belonged to is ended.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, Self, TypeVar, cast

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import TaskboundError
from taskbound.sdk.guard.errors import NoTaskHereError, SignatureError, TaskNotStartedError
from taskbound.sdk.guard.flow import Holds, Run, drive, steer
from taskbound.sdk.guard.guarded import Guards, current

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from contextvars import Token
    from ssl import SSLContext

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.guard.afar import Afar
    from taskbound.sdk.guard.flow import Call, Step, Transport
    from taskbound.sdk.guard.guarded import Guarded
    from taskbound.sdk.guard.link import AsyncLink, BlockingLink, Place
    from taskbound.sdk.guard.near import Near
    from taskbound.sdk.guard.proof import Proof, ProofKey
    from taskbound.sdk.guard.task import Order
    from taskbound.sdk.guard.web import AsyncWeb, BlockingWeb

__all__ = ["AsyncClient", "Client", "Outside", "TaskHandle", "Told"]

P = ParamSpec("P")
R = TypeVar("R")
_NEAR: Final = 2.0
_AFAR: Final = 20.0
"""Seconds between two signs of life of a task's block."""


class Outside(Protocol):
    """What a client is given of the machine around it."""

    def place(self, told: Told) -> Place:
        """Where the daemon is, and for whom it is spoken to; a `TaskboundError` where there is none."""

    def task(self) -> str:
        """The task that the program's environment names; empty without one."""

    def key(self) -> ProofKey:
        """A new key."""

    def now(self) -> float:
        """Seconds since 1970, as the proofs of a request say them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What whoever makes a client says."""

    origin: str = ""
    """`https://HOST[:PORT]` of the API; empty for the daemon of this machine."""
    agent: str = ""
    task: str = ""
    namespace: str = ""
    home: str = ""
    proof: Proof | None = None
    trust: SSLContext | None = None
    """Whom to believe instead of the system's authorities."""
    wait: float = 0.0
    """Seconds that people may take, should they have to be asked; 0 raises `HeldError` at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHandle:
    """The task that a block runs in."""

    id: str
    purpose: str
    deadline: int
    """Instant, µs since 1970; 0 where it is not known (over the network)."""
    joined: bool
    """Whether it was there before; whoever started it ends it."""


class _Common(Guards):
    """What both clients know."""

    def __init__(self, told: Told, outside: Outside) -> None:
        """Do nothing yet (rule 1)."""
        self._told = told
        self._outside = outside
        self._holds = Holds()
        self._tokens: list[Token[Guards | None]] = []
        self._turn = threading.Lock()
        self._begun = False
        """Whether a block of this client has started a task that it still runs in."""

    def _place(self) -> Place:
        return self._outside.place(self._told)

    @cached_property
    def _afar(self) -> Afar:
        from taskbound.sdk.guard.afar import Afar  # noqa: PLC0415 -- rule 1

        task = self._told.task or self._outside.task()
        if not task:
            raise NoTaskHereError("no task is named, and over the network none is looked for")
        if self._told.proof is None:
            raise NoTaskHereError(
                "nothing proves the agent", remedy="give the client a `proof=` (`taskbound.Proof`)"
            )
        return Afar(
            origin=self._told.origin,
            task=task,
            namespace=self._told.namespace or "default",
            proof=self._told.proof,
            key=self._outside.key(),
            now=self._outside.now,
        )

    def _near(self, place: Place) -> Near:
        from taskbound.sdk.guard.near import Near  # noqa: PLC0415 -- rule 1

        return Near(namespace=place.namespace, agent=place.agent)

    def _handle(self) -> TaskHandle:
        return TaskHandle(id=self._afar.task, purpose="", deadline=0, joined=True)

    def _claim(self, named: str) -> bool:
        """Whether a block is to start a task: where none is named, and no block of this client did (rule 4).

        Raises:
            TaskNotStartedError: One did: what is called within it is of its task, and of no other.
        """
        with self._turn:
            if self._begun:
                raise TaskNotStartedError(
                    "a block of this client has started a task, and is not over",
                    remedy="call what belongs to that task within its block, and leave it before the next",
                )
            self._begun = not named
            return self._begun

    def _unclaim(self) -> None:
        """No block of this client runs in a task that it started any more."""
        with self._turn:
            self._begun = False

    def _wanted(self, function: Guarded[P, R], *, awaited: bool) -> None:
        if function.is_awaited is not awaited:
            kind = "an `AsyncClient`" if function.is_awaited else "a `Client`"
            raise SignatureError(
                f"`{function.tool}` is for {kind}",
                remedy="guard what is awaited by an AsyncClient, and what blocks by a Client",
            )  # 2


class Client(_Common):
    """For programs that block. Threads may share one; a process that was forked may not."""

    @cached_property
    def _link(self) -> BlockingLink:
        from taskbound.sdk.guard.link import BlockingLink  # noqa: PLC0415 -- rule 1

        return BlockingLink(self._place)

    @cached_property
    def _web(self) -> BlockingWeb:
        from taskbound.sdk.guard.web import BlockingWeb  # noqa: PLC0415 -- rule 1

        return BlockingWeb(self._afar.origin, trust=self._told.trust)

    @cached_property
    def _spoken(self) -> tuple[Transport, Callable[[Step], object]]:
        """How the daemon is spoken to, and what does the steps."""
        if self._told.origin:
            return self._afar, self._web.perform
        return self._near(self._link.place), self._link.perform

    def require_fit(self, function: Guarded[P, R]) -> None:
        """Go on only with a function that blocks (rule 2)."""
        self._wanted(function, awaited=False)

    def run(self, function: Guarded[P, R], call: Call) -> R:
        """What a call of a guarded function comes to."""
        self.require_fit(function)
        transport, outside = self._spoken

        def perform(step: Step) -> object:
            if isinstance(step, Run):
                return function.started(step.values)
            return outside(step)

        found = drive(function.flow(transport, call, self._holds, self._told.wait), perform)
        return cast("R", found)  # the function's own result, as it gave it

    @contextmanager
    def task(  # noqa: PLR0913 -- what a task is made of, each by its name
        self,
        purpose: str,
        *,
        template: str = "",
        scope: Mapping[str, JsonValue] | None = None,
        seconds: int = 0,
        evidence: Sequence[str] = (),
        heartbeat: int = 0,
        grace: int = 0,
    ) -> Iterator[TaskHandle]:
        """A task for the length of the block: the one that is named, or a new one that ends with the block.

        Args:
            purpose: Why, 1 to 500 characters.
            template: What its scope is made of; that of the settings where neither is said.
            scope: Its scope written out.
            seconds: Time to its deadline; 0 for its template's, and half an hour without.
            evidence: `ticket:SYSTEM:ID`, `words:sha256:HEX`.
            heartbeat: Seconds within which this program must be there, or it is paused; 0 for its template's.
            grace: Seconds that it may stay paused so before it ends.

        Raises:
            TaskNotStartedError: None can be started from here.
            TaskNotEndedError: It could not be ended.
            TaskboundError: There is no daemon, or no such task.
        """
        order = _order(purpose, template, scope, seconds, evidence, heartbeat, grace)
        handle = self._begin(order)
        token = current.set(self)
        over = threading.Event()
        beating = threading.Thread(target=self._beat, args=(over,), daemon=True)
        beating.start()
        left: BaseException | None = None
        try:
            yield handle
        except BaseException as error:
            left = error
            raise
        finally:
            over.set()
            beating.join()
            with suppress(ValueError):  # a block that is left in another context than it was entered in
                current.reset(token)
            self._finish(handle, left)

    def _begin(self, order: Order) -> TaskHandle:
        if self._told.origin:
            return self._handle()
        from taskbound.sdk.guard.task import started  # noqa: PLC0415 -- rule 1

        link = self._link
        place = link.place
        if self._claim(link.task):
            try:
                made = drive(started(order, place), link.perform)
                handle = _bound(order.purpose, made.row.task, made.row.deadline, joined=False)
            except BaseException:
                self._unclaim()
                raise
            try:
                link.task = handle.id
                link.belong()
            except BaseException as error:
                self._finish(handle, error)
                raise
            return handle
        bound = link.belong()
        return _bound(bound.purpose, bound.task, bound.deadline, joined=True)

    def _finish(self, handle: TaskHandle, left: BaseException | None) -> None:
        """End what was started here; beside an error that left the block, that it could not be is a note."""
        if handle.joined:
            return
        from taskbound.sdk.guard.task import ended, how_of  # noqa: PLC0415 -- rule 1

        self._link.task = ""
        try:
            drive(ended(handle.id, *how_of(left)), self._link.perform)
        except TaskboundError as error:
            if left is None:
                raise
            left.add_note(f"and {error.message} [{error.code}]")
        finally:
            self._unclaim()

    def _beat(self, over: threading.Event) -> None:
        """Be there while the block runs; what is wrong the next call says, to who can act on it."""
        while not over.wait(_AFAR if self._told.origin else _NEAR):
            with suppress(TaskboundError):
                if self._told.origin:
                    drive(self._afar.beat(), self._web.perform)
                else:
                    self._link.beat()

    def close(self) -> None:
        """End its connections."""
        for name in ("_link", "_web"):
            if (one := vars(self).get(name)) is not None:
                one.close()

    def __enter__(self) -> Self:
        """Guarded functions that are called within belong to it (rule 3)."""
        self._tokens.append(current.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        current.reset(self._tokens.pop())
        self.close()


class AsyncClient(_Common):
    """For asyncio programs; of the event loop that it is first used in."""

    @cached_property
    def _link(self) -> AsyncLink:
        from taskbound.sdk.guard.link import AsyncLink  # noqa: PLC0415 -- rule 1

        return AsyncLink(self._place)

    @cached_property
    def _web(self) -> AsyncWeb:
        from taskbound.sdk.guard.web import AsyncWeb  # noqa: PLC0415 -- rule 1

        async def left(answer: Any) -> None:  # noqa: ANN401 -- an `HttpAnswer`, which is not loaded here
            with suppress(TaskboundError):  # it is unknown once its time is over
                await steer(self._afar.left(answer), self._web.perform)

        return AsyncWeb(self._afar.origin, trust=self._told.trust, left=left)

    @cached_property
    def _spoken(self) -> tuple[Transport, Callable[[Step], Any]]:
        """How the daemon is spoken to, and what does the steps."""
        if self._told.origin:
            return self._afar, self._web.perform
        return self._near(self._link.place), self._link.perform

    def require_fit(self, function: Guarded[P, R]) -> None:
        """Go on only with a function that is awaited (rule 2)."""
        self._wanted(function, awaited=True)

    def run(self, function: Guarded[P, R], call: Call) -> R:
        """What is awaited for a call of a guarded function."""
        self.require_fit(function)
        return cast("R", self._run(function, call))  # a coroutine, as the function's own

    async def _run(self, function: Guarded[P, R], call: Call) -> object:
        transport, outside = self._spoken

        async def perform(step: Step) -> object:
            if isinstance(step, Run):
                return await function.started(step.values)
            return await outside(step)

        return await steer(function.flow(transport, call, self._holds, self._told.wait), perform)

    @asynccontextmanager
    async def task(  # noqa: PLR0913 -- what a task is made of, each by its name
        self,
        purpose: str,
        *,
        template: str = "",
        scope: Mapping[str, JsonValue] | None = None,
        seconds: int = 0,
        evidence: Sequence[str] = (),
        heartbeat: int = 0,
        grace: int = 0,
    ) -> AsyncIterator[TaskHandle]:
        """A task for the length of the block, as `Client.task`."""
        order = _order(purpose, template, scope, seconds, evidence, heartbeat, grace)
        handle = await self._begin(order)
        token = current.set(self)
        beating = asyncio.get_running_loop().create_task(self._beat())
        left: BaseException | None = None
        try:
            yield handle
        except BaseException as error:
            left = error
            raise
        finally:
            beating.cancel()
            with suppress(ValueError):  # a block that is left in another context than it was entered in
                current.reset(token)
            await self._finish(handle, left)

    async def _begin(self, order: Order) -> TaskHandle:
        if self._told.origin:
            return self._handle()
        from taskbound.sdk.guard.task import started  # noqa: PLC0415 -- rule 1

        link = self._link
        place = link.place
        if self._claim(link.task):
            try:
                made = await steer(started(order, place), link.perform)
                handle = _bound(order.purpose, made.row.task, made.row.deadline, joined=False)
            except BaseException:
                self._unclaim()
                raise
            try:
                link.task = handle.id
                await link.belong()
            except BaseException as error:
                await self._finish(handle, error)
                raise
            return handle
        bound = await link.belong()
        return _bound(bound.purpose, bound.task, bound.deadline, joined=True)

    async def _finish(self, handle: TaskHandle, left: BaseException | None) -> None:
        """End what was started here, as `Client` does."""
        if handle.joined:
            return
        from taskbound.sdk.guard.task import ended, how_of  # noqa: PLC0415 -- rule 1

        self._link.task = ""
        try:
            await steer(ended(handle.id, *how_of(left)), self._link.perform)
        except TaskboundError as error:
            if left is None:
                raise
            left.add_note(f"and {error.message} [{error.code}]")
        finally:
            self._unclaim()

    async def _beat(self) -> None:
        """Be there while the block runs; what is wrong the next call says, to who can act on it."""
        while True:
            await asyncio.sleep(_AFAR if self._told.origin else _NEAR)
            with suppress(TaskboundError):
                if self._told.origin:
                    await steer(self._afar.beat(), self._web.perform)
                else:
                    await self._link.beat()

    async def close(self) -> None:
        """End its connections."""
        for name in ("_link", "_web"):
            if (one := vars(self).get(name)) is not None:
                await one.close()

    async def __aenter__(self) -> Self:
        """Guarded functions that are called within belong to it (rule 3)."""
        self._tokens.append(current.set(self))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        current.reset(self._tokens.pop())
        await self.close()


def _bound(purpose: str, task: str, deadline: int, *, joined: bool) -> TaskHandle:
    return TaskHandle(id=task, purpose=purpose, deadline=deadline, joined=joined)


def _order(  # noqa: PLR0913, PLR0917 -- what a task is made of
    purpose: str,
    template: str,
    scope: Mapping[str, JsonValue] | None,
    seconds: int,
    evidence: Sequence[str],
    heartbeat: int,
    grace: int,
) -> Order:
    from taskbound.sdk.guard.task import Order  # noqa: PLC0415 -- rule 1

    if scope is not None:
        canonical(dict(scope))  # what can't be written is refused here
    return Order(
        purpose=purpose,
        template=template,
        scope=scope,
        seconds=seconds,
        evidence=tuple(evidence),
        heartbeat=heartbeat,
        grace=grace,
    )
