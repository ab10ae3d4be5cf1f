"""The client of asyncio programs; for the rules see `speaker`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

from taskbound.core.errors import TaskboundError
from taskbound.sdk.guard.carried import Carried, carried_of, content_digest, on
from taskbound.sdk.guard.flow import Run, steer
from taskbound.sdk.guard.guarded import current
from taskbound.sdk.guard.owed import AsyncDebts
from taskbound.sdk.guard.speaker import Speaker, TaskHandle, handle_afar, handle_of, made_once, order_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.guard.flow import Call, Flow, Step, Transport
    from taskbound.sdk.guard.guarded import Guarded
    from taskbound.sdk.guard.holder import Granted
    from taskbound.sdk.guard.link import AsyncLink
    from taskbound.sdk.guard.owed import Debt
    from taskbound.sdk.guard.speaker import ClientSettings, MachineAccess
    from taskbound.sdk.guard.task import Order
    from taskbound.sdk.guard.web import AsyncWeb


P = ParamSpec("P")
R = TypeVar("R")


class AsyncClient(Speaker):
    """The client of asyncio programs, bound to the event loop of its first use."""

    def __init__(self, told: ClientSettings, outside: MachineAccess) -> None:
        super().__init__(told, outside)
        self._leaving: set[asyncio.Future[None]] = set()
        self._owed = AsyncDebts(lambda: self._spoken, self._turn)

    @made_once
    def _link(self) -> AsyncLink:
        from taskbound.sdk.guard.link import AsyncLink  # noqa: PLC0415 -- loaded when it is first used

        return AsyncLink(self._place)

    @made_once
    def _web(self) -> AsyncWeb:
        from taskbound.sdk.guard.web import AsyncWeb  # noqa: PLC0415 -- loaded when it is first used

        return AsyncWeb(self._afar.origin, trust=self._told.trust)

    @made_once
    def _spoken(self) -> tuple[Transport, Callable[[Step], Any]]:
        if self._told.origin:
            return self._afar, self._web.perform
        return self._near(self._link.place), self._link.perform

    def require_fit(self, function: Guarded[P, R]) -> None:
        """Raises SignatureError for a function that is not awaited."""
        self._wanted(function, awaited=True)

    def run(self, function: Guarded[P, R], call: Call) -> R:
        self.require_fit(function)
        return cast("R", self._run(function, call))  # a coroutine, as the function's own

    async def _run(self, function: Guarded[P, R], call: Call) -> object:
        transport, outside = self._spoken

        async def perform(step: Step) -> object:
            if isinstance(step, Run):
                with on(self, step):
                    step.debt.begins()
                    return await function.started(step.values)
            return await outside(step)

        def flow(debt: Debt) -> Flow[object]:
            return function.flow(transport, call, self._holds, self._told.wait, debt)

        return await self._owed.run(flow, perform)

    async def carry(self, run: Run) -> Carried:
        held, digest = self._carrying(), content_digest(run.arguments)
        token = await steer(held.transaction(run.tool, run.action, digest), self._web.perform)
        return carried_of(held, run, token)

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
        """Holds a task for the block, as `Client.task`."""
        order = order_of(purpose, template, scope, seconds, evidence, heartbeat, grace)
        handle: TaskHandle | None = None
        self._came()
        try:
            handle = await self._begin(order)
            async with self._belonging(handle):
                yield handle
        finally:
            idle = self._owed.is_idle and not self._leaving
            for one in self._to_rest(idle=idle, joined=handle is None or handle.joined):
                await one.rest()

    @asynccontextmanager
    async def _belonging(self, handle: TaskHandle) -> AsyncIterator[None]:
        token = current.set(self)
        beating = asyncio.get_running_loop().create_task(self._beat())
        left: BaseException | None = None
        try:
            yield
        except BaseException as error:
            left = error
            raise
        finally:
            beating.cancel()
            with suppress(ValueError):  # a block that is left in another context than it was entered in
                current.reset(token)
            async with self._owed.settled(left):
                await self._finish(handle, left)

    async def hand_to(self, agent: str) -> str:
        return await steer(self._held().hand_to(agent), self._web.perform)

    async def _begin(self, order: Order) -> TaskHandle:
        if self._told.origin:
            return await self._begin_afar(order)
        from taskbound.sdk.guard.task import started  # noqa: PLC0415 -- loaded when it is first used

        link = self._link
        place = link.place
        if self._claim(link.task):
            try:
                made = await steer(started(order, place), link.perform)
                handle = handle_of(order.purpose, made.row.task, made.row.deadline, joined=False)
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
        return handle_of(bound.purpose, bound.task, bound.deadline, joined=True)

    async def _begin_afar(self, order: Order) -> TaskHandle:
        subject = self._starts_afar()
        if subject is None:
            return handle_afar(await steer(self._afar.join(), self._web.perform), "", joined=True)
        from taskbound.sdk.guard.begun import begun  # noqa: PLC0415 -- loaded when it is first used

        self._claim("")
        starting = asyncio.ensure_future(steer(begun(order, self._afar, subject), self._web.perform))
        try:
            granted = await asyncio.shield(starting)
        except asyncio.CancelledError as error:
            self._behind(asyncio.ensure_future(self._leave(starting, order, error)))
            raise
        except BaseException:
            self._unclaim()
            raise
        return handle_afar(granted, order.purpose, joined=False)

    async def _leave(self, starting: asyncio.Future[Granted], order: Order, left: BaseException) -> None:
        try:
            granted = await starting
        except BaseException as error:
            self._unclaim()
            if isinstance(error, TaskboundError):
                return
            raise
        await self._finish(handle_afar(granted, order.purpose, joined=False), left)

    def _behind(self, work: asyncio.Future[None]) -> None:
        """Continues detached from its caller; errors are dropped."""

        def over(_: object) -> None:
            self._leaving.discard(work)
            if not work.cancelled():
                work.exception()  # without heartbeats the task ends by itself

        self._leaving.add(work)
        work.add_done_callback(over)

    async def _end(self, handle: TaskHandle, left: BaseException | None) -> None:
        from taskbound.sdk.guard.task import ended, how_of  # noqa: PLC0415 -- loaded when it is first used

        if not self._told.origin:
            self._link.task = ""
            await steer(ended(handle.id, *how_of(left)), self._link.perform)
            return
        from taskbound.sdk.guard.begun import given_up  # noqa: PLC0415 -- loaded when it is first used

        try:
            await steer(given_up(self._afar, *how_of(left)), self._web.perform)
        finally:
            self._afar.forget()

    async def _finish(self, handle: TaskHandle, left: BaseException | None) -> None:
        if handle.joined:
            return
        ending = asyncio.ensure_future(self._ended(handle, left))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            self._behind(ending)
            raise

    async def _ended(self, handle: TaskHandle, left: BaseException | None) -> None:
        try:
            await self._end(handle, left)
        except TaskboundError as error:
            if left is None:
                raise
            left.add_note(error.beside())
        finally:
            self._unclaim()

    async def _beat(self) -> None:
        """Sends heartbeats while the block runs; errors surface in the next call."""
        while True:
            await asyncio.sleep(self._every())
            with suppress(TaskboundError):
                if self._told.origin:
                    await steer(self._afar.beat(), self._web.perform)
                else:
                    await self._link.beat()
                self._owed.tell()

    async def close(self) -> None:
        """Reports what is owed, ends what cancelled blocks began, and closes; raises as `Client.close`."""
        await self._owed.closed(None, self._closed)

    async def _closed(self) -> None:
        while self._leaving:
            await asyncio.wait(self._leaving)
        await self._end_all()

    async def _closed_last(self) -> None:
        while self._leaving:
            await asyncio.wait(self._leaving)
        if not self._is_needed(running=self._owed.is_running):  # another block may have begun meanwhile
            await self._end_all()

    async def _end_all(self) -> None:
        for one in self._spoken_over():
            await one.close()

    async def __aenter__(self) -> Self:
        self._into()
        return self

    async def __aexit__(self, _: object, error: BaseException | None, *__: object) -> None:
        if not self._out():
            return
        if not self._owed.is_running:
            await self._owed.closed(error, self._closed_last)
            return
        async with self._owed.settled(error):  # a call is under way elsewhere, and needs its connection
            pass
