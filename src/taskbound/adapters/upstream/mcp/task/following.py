"""Follows calls that a server runs as MCP tasks.

1. A legacy server that declares tasks is asked for one for tools that say `required`. A modern server with
   the extension is informed in each call that it may make one. An unrequested task is cancelled and its call
   is *unknown*.
2. A call that became a task was sent; it is never *not sent*.
3. A task's total time is bounded, without the time for questions to the client.
4. A task name that the server used before is not this call's task and is left alone.
5. A task is cancelled by name, also if its name arrives after its call was cancelled.
6. A legacy task's question belongs to the call of the named task. A modern one is answered when its state
   comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound.adapters.upstream.mcp.errors import ServerLostError
from taskbound.adapters.upstream.mcp.task.waiting import (
    Bounds,
    ProgressReporter,
    Waiter,
    Work,
    is_task,
    made_by,
)
from taskbound.core.dataclass import dataclass
from taskbound.ports.upstream import Answered, NoAnswer
from taskbound.wire.mcp.message import is_modern, text
from taskbound.wire.mcp.task import TASKS_EXTENSION, McpTask, TaskSupport, support_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from taskbound.adapters.upstream.mcp.session import McpSession
    from taskbound.ports.upstream import Logged, QuestionRound, Told, UpstreamAnswer

    _Waiting = Callable[[], Coroutine[Any, Any, UpstreamAnswer]]


_CALL: Final = "tools/call"
_MOST_GIVEN: Final = 4_096
"""Names that are remembered of one server."""
_MOST_LATE: Final = 64
"""Calls that were left before their server said whether there is a task of them."""
_NOBODY: Final = -1
"""The number of no call."""
_EXTENSION: Final = b'{"extensions":{%b:{}}' % text(TASKS_EXTENSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Request members that permit or request a task."""

    members: bytes
    """To stand behind the other members of its parameters."""
    offers: bytes
    """The capabilities of the one who calls."""


class Tasks:
    """The tasks of one server; used in the loop. `able` says whether it declares tasks."""

    def __init__(self, session: McpSession, era: str, *, able: bool, bounds: Bounds | None = None) -> None:
        self._session = session
        self._modern = is_modern(era)
        self._able = able
        self._bounds = bounds or Bounds()
        self._waiter = Waiter(session, era, self._bounds)
        self._required: frozenset[str] = frozenset()
        self._works: dict[int, Work] = {}
        self._names: dict[str, Work] = {}
        self._states: dict[bytes, Work] = {}
        self._given: OrderedDict[str, None] = OrderedDict()
        self._late: deque[Work] = deque()
        self._leaving: set[asyncio.Task[None]] = set()
        session.relate(self._whose)

    def learn(self, tools: Iterable[bytes]) -> None:
        found: set[str] = set()
        if self._able and not self._modern:
            for raw in tools:
                tool: dict[str, Any] = msgspec.json.decode(raw)
                name = tool.get("name")
                if isinstance(name, str) and support_of(tool) is TaskSupport.REQUIRED:
                    found.add(name)
        self._required = frozenset(found)

    # --- calls -----------------------------------------------------------------------------------

    def call(  # noqa: PLR0913 -- a call, and what is wanted of it beside its answer
        self,
        method: str,
        tool: str,
        answer: Callable[[UpstreamAnswer], None],
        send: Callable[[Wanted, Callable[[UpstreamAnswer], None], Told | None], int],
        *,
        turn: QuestionRound | None,
        progress: Told | None,
        logged: Logged | None,
    ) -> int:
        """Makes a call, or continues the one of this turn's state (rule 6); returns its number.

        `send` sends the request; it is not used when a call continues.
        """
        work = self._states.pop(turn.state, None) if turn is not None and turn.state else None
        if work is not None and turn is not None:
            work.answer, work.logged, work.told.told = answer, logged, progress
            return self._go_on(work, turn.answers)
        offers = turn.offers if turn is not None else b"{}"
        if not (self._able and method == _CALL and (self._modern or tool in self._required)):
            return send(Wanted(members=b"", offers=offers), partial(self._unasked, answer), progress)
        work = Work(
            answer=answer,
            offers=_with_tasks(offers) if self._modern else offers,
            told=ProgressReporter(progress),
            logged=logged,
            can_ask=turn is not None,
            goes_on=turn.goes_on if turn is not None else None,
            left=self._bounds.whole,
        )
        ttl = b"" if self._modern else b',"task":{"ttl":%d}' % int(self._bounds.whole * 1000)
        told = work.told.heard if progress is not None else None
        work.number = send(Wanted(members=ttl, offers=work.offers), partial(self._first, work), told)
        self._works[work.number] = work
        return work.number

    def _unasked(self, answer: Callable[[UpstreamAnswer], None], found: UpstreamAnswer) -> None:
        if not isinstance(found, Answered) or not is_task(found.value, modern=self._modern):
            answer(found)
            return
        task = made_by(found.value, modern=self._modern)
        if isinstance(task, McpTask) and not self._was_given(task.name):
            self._remember(task.name)
            self._let_go(task.name)
        answer(NoAnswer("unasked-task", "the server made a task of it, and was not asked to"))

    def _was_given(self, name: str) -> bool:
        return name in self._given or name in self._names

    def _remember(self, name: str) -> None:
        self._given[name] = None
        if len(self._given) > _MOST_GIVEN:
            self._given.popitem(last=False)

    def _first(self, work: Work, found: UpstreamAnswer) -> None:
        if not isinstance(found, Answered) or not is_task(found.value, modern=self._modern):
            self._settle(work, found)
            return
        task = made_by(found.value, modern=self._modern)
        if not isinstance(task, McpTask):
            self._settle(work, task)
        elif self._was_given(task.name):  # 4
            self._settle(work, NoAnswer("reused-task", "the server names a task that it named before"))
        else:
            self._remember(task.name)
            work.name = task.name
            self._begin(work, task)

    def _begin(self, work: Work, task: McpTask) -> None:
        if work.is_left:  # 5
            self._let_go(work.name, work)
            self._end(work)
            return
        self._names[work.name] = work
        if work.goes_on is not None and not work.is_cancelled:
            work.goes_on()
        self._follow(work, partial(self._waiter.begun, work, task))
        if work.is_cancelled:
            self._cancel(work)

    def _go_on(self, work: Work, answers: bytes) -> int:
        work.state = b""
        if work.lost is not None:
            asyncio.get_running_loop().call_soon(self._settle, work, work.lost)
        else:
            self._follow(work, partial(self._waiter.told, work, answers))
        return work.number

    def _follow(self, work: Work, waiting: _Waiting) -> None:
        heard = work.told.heard if work.told.told is not None else None
        self._session.keep(work.number, partial(self._lost, work), progress=heard, logged=work.logged)
        work.following = asyncio.get_running_loop().create_task(self._followed(work, waiting))

    async def _followed(self, work: Work, waiting: _Waiting) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        found: UpstreamAnswer
        try:
            async with asyncio.timeout(work.left):
                found = await waiting()
        except TimeoutError:
            found = NoAnswer("endless-task", f"the server's task did not end in {self._bounds.whole:g} s")
        work.left -= loop.time() - began
        if work.is_over:
            return
        if isinstance(found, Answered) and found.is_working:
            self._states[work.state] = work
            work.answer(found)
            return
        if isinstance(found, NoAnswer) and not work.last.is_terminal:
            self._let_go(work.name, work)
        self._settle(work, found)

    def _settle(self, work: Work, found: UpstreamAnswer) -> None:
        if work.is_over:
            return
        self._end(work)
        if not work.is_left:
            work.answer(found)

    def _end(self, work: Work) -> None:
        work.is_over = True
        self._works.pop(work.number, None)
        self._states.pop(work.state, None)
        if self._names.pop(work.name, None) is not None:
            self._session.drop(work.number)
        if work.following is not None and work.following is not asyncio.current_task():
            work.following.cancel()

    # --- what ends one ---------------------------------------------------------------------------

    def cancel(self, number: int) -> bool:
        """Cancels a call's task; returns whether it has or had one."""
        work = self._works.get(number)
        if work is None:
            return False
        was, work.is_cancelled = work.is_cancelled, True
        if not work.name:
            return False
        if work.state or work.lost is not None:  # nobody waits for it
            self._let_go(work.name, work)
            self._end(work)
        elif not was:
            self._cancel(work)
        return True

    def forget(self, number: int) -> bool:
        """Discards any later answer; returns whether no request is left to forget."""
        work = self._works.get(number)
        if work is None:
            return False
        work.is_left, work.told.told = True, None
        if work.name:
            if not work.is_cancelled:
                self._let_go(work.name, work)
            self._end(work)
            return True
        self._late.append(work)  # 5
        while len(self._late) > _MOST_LATE:
            one = self._late.popleft()
            if not one.is_over:
                self._end(one)
                self._session.forget(one.number)
        return True

    def _cancel(self, work: Work) -> None:
        self._let_go(work.name, work).add_done_callback(lambda _: work.nudge.set())

    def _let_go(self, name: str, work: Work | None = None) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._cancelled(name, work))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return task

    async def _cancelled(self, name: str, work: Work | None) -> None:
        offers, number = (work.offers, work.number) if work is not None else (_with_tasks(b"{}"), 0)
        with contextlib.suppress(ServerLostError):
            await self._waiter.ask(
                "tasks/cancel", name, offers=offers, of=number, patience=self._bounds.leave
            )

    def pause(self) -> None:
        self._waiter.flowing.clear()

    def resume(self) -> None:
        self._waiter.flowing.set()

    async def finish(self, grace: float) -> None:
        """Waits up to `grace` seconds until running cancellations are sent."""
        if self._leaving:
            await asyncio.wait(tuple(self._leaving), timeout=grace)

    def _lost(self, work: Work, found: UpstreamAnswer) -> None:
        if work.state:
            work.lost = found
        else:
            self._settle(work, found)

    def _whose(self, name: str, number: int) -> int:
        work = self._names.get(name)
        return work.number if work is not None and number in {0, work.number} else _NOBODY


def _with_tasks(offers: bytes) -> bytes:
    return _EXTENSION + (b"}" if offers == b"{}" else b"," + offers[1:])
