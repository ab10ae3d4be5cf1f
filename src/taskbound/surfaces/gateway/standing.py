"""The task that this connection's calls belong to, from the first call until the task has ended.

The daemon names the task (design 6); the gateway asks before its first call, so that servers are started
and listed before the decision. After the task's end the gateway binds no other task until it has answered a
call with that news: an agent never changes tasks unknowingly. Binding the same task again keeps its running
servers whose pins are unchanged.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEndedError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.gateway.binding import Binding
from taskbound.surfaces.gateway.errors import UncoveredErrandError, UnknownErrandError
from taskbound.wire.connection import Bind, Bound, Fault
from taskbound.wire.tool import CoverCalls, Coverings

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.surfaces.gateway.binding import ServerHandle, Servers
    from taskbound.surfaces.gateway.link import Link


_log = logging.getLogger(__name__)
_ENDED: Final = frozenset({"task-ended", "task-expired"})


class TaskBinding:
    """The task binding of one connection."""

    def __init__(
        self, link: Link, servers: Servers, *, bound: Callable[[str], None], over: Callable[[str], None]
    ) -> None:
        """Starts unbound; `bound` is called with each task found, `over` with the reason of its end."""
        self._link = link
        self._servers = servers
        self._tell_bound = bound
        self._tell_over = over
        self._binding: Binding | None = None
        self._kept: Binding | None = None
        self._last = ""
        self._turn = asyncio.Lock()
        self._endings: set[asyncio.Task[None]] = set()
        self.untold = ""
        """How the last task ended, until a call was answered with it."""

    @property
    def task(self) -> str:
        found = self._binding or self._kept
        return found.task if found is not None else ""

    @property
    def bound(self) -> Binding | None:
        """Returns the binding if it is current and no task's end has to be reported first."""
        return None if self.untold else self._binding

    async def bind(self) -> Binding:
        """Returns the binding; raises TaskEndedError until a call was answered with the last task's end."""
        if self.untold:
            raise TaskEndedError(self.untold)
        if self._binding is not None:
            return self._binding
        async with self._turn:
            if self._binding is None:
                self._binding = await self._ask()
                self._kept = None
                self._last = self._binding.task
                self._tell_bound(self._binding.task)
            return self._binding

    async def _ask(self) -> Binding:
        try:
            bound = await self._link.ask(Bind(last=self._last), Bound)
        except RefusedByDaemonError as error:
            if error.fault.code in _ENDED:
                self.leave(self.task, error.fault.message)
                raise TaskEndedError(error.fault.message) from error
            raise
        kept = self._kept.servers if self._kept is not None and self._kept.task == bound.task else {}
        binding = await Binding.make(bound.task, self._servers, self._link, kept=kept)
        used = set(map(id, binding.servers.values()))
        old = dict(self._servers.shared) | dict(self._kept.servers if self._kept is not None else {})
        self._end({name: one for name, one in old.items() if id(one) not in used}, shared=True)
        return binding

    async def confirm(self, task: str, tool: str, arguments: bytes) -> None:
        """Asks the daemon whether an earlier call still stands; `task` is "" if unknown."""
        found = await self._link.ask(
            CoverCalls(tool=tool, calls=(msgspec.Raw(arguments),), task=task), Coverings
        )
        match found.code:
            case "":
                pass
            case "other-task":
                raise UnknownErrandError("there is no such MCP task")
            case code if code in _ENDED:
                self.leave(self.task, found.refusal)
                raise TaskEndedError(found.refusal)
            case code:
                raise RefusedByDaemonError(Fault(code=code, message=found.refusal))
        if 0 not in found.covered:
            raise UncoveredErrandError("the task does not cover this call any more")

    def refresh(self) -> None:
        """Marks the binding as stale: the next call asks the daemon again."""
        if self._binding is not None:
            self._kept, self._binding = self._binding, None

    def leave(self, task: str, words: str) -> None:
        """Handles the task's end and ends its servers."""
        if task != self.task and task:
            return
        found = self._binding or self._kept
        self._binding = self._kept = None
        self.untold = words
        self._tell_over(words)
        if found is not None:
            self._end(found.servers)

    def told(self) -> None:
        self.untold = ""

    async def recheck(self) -> str:
        """After a reconnect, returns how the task has ended meanwhile, or "" if it runs."""
        task = self.task
        if not task:
            return ""
        try:
            bound = await self._link.ask(Bind(last=self._last), Bound)
        except RefusedByDaemonError as error:
            words = error.fault.message
        except TaskboundError:
            return ""
        else:
            if bound.task == task:
                self.refresh()
                return ""
            words = "the task has ended"
        self.leave(task, words)
        return words

    def _end(self, servers: dict[str, ServerHandle], *, shared: bool = False) -> None:
        ending = asyncio.get_running_loop().create_task(self._servers.end(servers, shared=shared))
        self._endings.add(ending)
        ending.add_done_callback(self._ended)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self._endings.discard(ending)
        if not ending.cancelled() and (error := ending.exception()) is not None:
            _log.error("a server could not be ended", exc_info=error)

    async def close(self) -> None:
        if self._endings:
            await asyncio.wait(tuple(self._endings))
