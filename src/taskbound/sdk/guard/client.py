"""The client of blocking programs; for the rules see `speaker`."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar, cast

from taskbound.core.errors import TaskboundError
from taskbound.sdk.guard.carried import Carried, carried_of, content_digest, on
from taskbound.sdk.guard.flow import Run, drive
from taskbound.sdk.guard.guarded import current
from taskbound.sdk.guard.owed import BlockingDebts
from taskbound.sdk.guard.speaker import Speaker, TaskHandle, handle_afar, handle_of, made_once, order_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.guard.flow import Call, Flow, Step, Transport
    from taskbound.sdk.guard.guarded import Guarded
    from taskbound.sdk.guard.link import BlockingLink
    from taskbound.sdk.guard.owed import Debt
    from taskbound.sdk.guard.speaker import ClientSettings, MachineAccess
    from taskbound.sdk.guard.task import Order
    from taskbound.sdk.guard.web import BlockingWeb


P = ParamSpec("P")
R = TypeVar("R")


class Client(Speaker):
    """The client of blocking programs. Threads may share it; forked processes may not."""

    def __init__(self, told: ClientSettings, outside: MachineAccess) -> None:
        super().__init__(told, outside)
        self._owed = BlockingDebts(lambda: self._spoken, self._turn)

    @made_once
    def _link(self) -> BlockingLink:
        from taskbound.sdk.guard.link import BlockingLink  # noqa: PLC0415 -- loaded when it is first used

        return BlockingLink(self._place)

    @made_once
    def _web(self) -> BlockingWeb:
        from taskbound.sdk.guard.web import BlockingWeb  # noqa: PLC0415 -- loaded when it is first used

        return BlockingWeb(self._afar.origin, trust=self._told.trust)

    @made_once
    def _spoken(self) -> tuple[Transport, Callable[[Step], object]]:
        if self._told.origin:
            return self._afar, self._web.perform
        return self._near(self._link.place), self._link.perform

    def require_fit(self, function: Guarded[P, R]) -> None:
        """Raises SignatureError for a function that does not block."""
        self._wanted(function, awaited=False)

    def run(self, function: Guarded[P, R], call: Call) -> R:
        self.require_fit(function)
        transport, outside = self._spoken

        def perform(step: Step) -> object:
            if isinstance(step, Run):
                with on(self, step):
                    step.debt.begins()
                    return function.started(step.values)
            return outside(step)

        def flow(debt: Debt) -> Flow[object]:
            return function.flow(transport, call, self._holds, self._told.wait, debt)

        return cast("R", self._owed.run(flow, perform))  # the function's own result, as it gave it

    def carry(self, run: Run) -> Carried:
        held, digest = self._carrying(), content_digest(run.arguments)
        token = drive(held.transaction(run.tool, run.action, digest), self._web.perform)
        return carried_of(held, run, token)

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
        """Holds a task for the block: the named one, or a new one that ends with the block.

        `seconds`, `heartbeat` and `grace` are seconds, 0 for the template's (without a template the deadline
        is half an hour); `evidence` holds `ticket:SYSTEM:ID` or `words:sha256:HEX`.
        """
        order = order_of(purpose, template, scope, seconds, evidence, heartbeat, grace)
        handle: TaskHandle | None = None
        self._came()
        try:
            handle = self._begin(order)
            with self._belonging(handle):
                yield handle
        finally:
            with self._turn:
                for one in self._to_rest(idle=self._owed.is_idle, joined=handle is None or handle.joined):
                    one.rest()

    @contextmanager
    def _belonging(self, handle: TaskHandle) -> Iterator[None]:
        token = current.set(self)
        over = threading.Event()
        beating = threading.Thread(target=self._beat, args=(over,), daemon=True)
        beating.start()
        left: BaseException | None = None
        try:
            yield
        except BaseException as error:
            left = error
            raise
        finally:
            over.set()
            try:
                beating.join()  # which takes its time where a daemon hangs, and a signal may come meanwhile
            except BaseException as error:
                left = left or error
                raise
            finally:
                with suppress(ValueError):  # a block that is left in another context than it was entered in
                    current.reset(token)
                with self._owed.settled(left):
                    self._finish(handle, left)

    def hand_to(self, agent: str) -> str:
        """Returns a token that the agent exchanges for a child task; its owner answers for that task."""
        return drive(self._held().hand_to(agent), self._web.perform)

    def _begin(self, order: Order) -> TaskHandle:
        if self._told.origin:
            return self._begin_afar(order)
        from taskbound.sdk.guard.task import started  # noqa: PLC0415 -- loaded when it is first used

        link = self._link
        place = link.place
        if self._claim(link.task):
            try:
                made = drive(started(order, place), link.perform)
                handle = handle_of(order.purpose, made.row.task, made.row.deadline, joined=False)
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
        return handle_of(bound.purpose, bound.task, bound.deadline, joined=True)

    def _begin_afar(self, order: Order) -> TaskHandle:
        subject = self._starts_afar()
        if subject is None:
            return handle_afar(drive(self._afar.join(), self._web.perform), "", joined=True)
        from taskbound.sdk.guard.begun import begun  # noqa: PLC0415 -- loaded when it is first used

        self._claim("")
        try:
            granted = drive(begun(order, self._afar, subject), self._web.perform)
        except BaseException:
            self._unclaim()
            raise
        return handle_afar(granted, order.purpose, joined=False)

    def _end(self, handle: TaskHandle, left: BaseException | None) -> None:
        from taskbound.sdk.guard.task import ended, how_of  # noqa: PLC0415 -- loaded when it is first used

        if not self._told.origin:
            self._link.task = ""
            drive(ended(handle.id, *how_of(left)), self._link.perform)
            return
        from taskbound.sdk.guard.begun import given_up  # noqa: PLC0415 -- loaded when it is first used

        try:
            drive(given_up(self._afar, *how_of(left)), self._web.perform)
        finally:
            self._afar.forget()

    def _finish(self, handle: TaskHandle, left: BaseException | None) -> None:
        """Ends what was started here; a failure is added as a note to an error that left the block."""
        if handle.joined:
            return
        try:
            self._end(handle, left)
        except TaskboundError as error:
            if left is None:
                raise
            left.add_note(error.beside())
        finally:
            self._unclaim()

    def _beat(self, over: threading.Event) -> None:
        """Sends heartbeats while the block runs; errors surface in the next call."""
        while not over.wait(self._every()):
            with suppress(TaskboundError):
                if self._told.origin:
                    drive(self._afar.beat(), self._web.perform)
                else:
                    self._link.beat()
                self._owed.tell()

    def close(self) -> None:
        """Reports what is owed and closes; raises OutcomeUntoldError for a debt that no caller knows."""
        with self._owed.settled(None, final=True):
            self._end_all()

    def _end_all(self) -> None:
        for one in self._spoken_over():
            one.close()

    def __enter__(self) -> Self:
        self._into()
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        if self._out():
            with self._owed.settled(error, final=not self._owed.is_running), self._turn:
                if not self._is_needed(running=self._owed.is_running):
                    self._end_all()
