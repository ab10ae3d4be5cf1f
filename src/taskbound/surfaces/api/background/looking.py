"""Runs look-ups of operands beside the loop and the worker, with bounds.

1. A hanging look-up occupies one of a few threads for as long as the port allows (`ports.approval.operands`).
   Calls that need no look-up never wait for it.
2. Each holder has a limit of running look-ups, so that others get threads, and a limit of queued ones; beyond
   it its calls are answered with a request to retry.
3. A call's look-up is repeated a limited number of times if its result is stale by the time of the decision.
4. A caller with a deadline is asked to retry by then, whatever delays the look-up: a gateway treats a later
   daemon as lost and gives up all its calls. A look-up without a waiting caller is not started, and its
   result is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.flows.approval.look import NeedsProbe, probe_remote
from taskbound.surfaces.api.server.worker import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from taskbound.flows.approval.look import Looks, OperandFindings
    from taskbound.flows.means import Adapters


THREADS: Final = 8
MOST_OF_ONE: Final = 2
"""Looks of one holder that are under way at most (rule 2)."""
MOST_WAITING: Final = 24
"""Looks of one holder that wait at most: more than the questions that a task may have open."""
MOST: Final = 256
"""Holders that have something looked at, at most."""
MOST_ROUNDS: Final = 3
"""How often one call is looked at (rule 3)."""

T = TypeVar("T")
Holder = tuple[str, str]
"""A namespace, and who asks in it."""


class OperandLookups:
    """The look-up threads and their queues; used in the loop."""

    def __init__(self, adapters: Adapters, loop: asyncio.AbstractEventLoop) -> None:
        self._adapters = adapters
        self._loop = loop
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="look")
        self._under_way: dict[Holder, int] = {}
        self._waiting: dict[Holder, deque[_Job]] = {}

    def hand(
        self,
        holder: Holder,
        looks: Looks,
        see: Callable[[OperandFindings], None],
        fail: Callable[[Exception], None],
        until: float | None = None,
    ) -> None:
        """Queues a look-up; calls exactly one of the two callbacks in the loop later.

        `until` is an instant of the loop's clock (rule 4). Raises OverloadedError at a limit (rule 2).
        """
        waiting = self._waiting.get(holder, deque())
        if len(waiting) >= MOST_WAITING or (holder not in self._under_way and len(self._under_way) >= MOST):
            raise OverloadedError("more than can be looked at for one agent in time is to be looked at")
        job = _Job(looks, see, fail)
        if until is not None:
            job.timer = self._loop.call_at(until, job.come_again)
        if self._under_way.get(holder, 0) < MOST_OF_ONE:
            self._begin(holder, job)
        else:
            self._waiting[holder] = waiting
            waiting.append(job)

    def _begin(self, holder: Holder, job: _Job) -> None:
        done = partial(self._done, holder, job)

        def tell(found: Future[OperandFindings]) -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile, and no caller waits
                self._loop.call_soon_threadsafe(done, found)

        self._under_way[holder] = self._under_way.get(holder, 0) + 1
        future = self._threads.submit(probe_remote, self._adapters, job.looks)
        job.begun = future
        future.add_done_callback(tell)

    async def until_seen(
        self, holder: Holder, work: Callable[[OperandFindings | None], Awaitable[T | NeedsProbe]]
    ) -> T:
        """Repeats the work until everything it needs was looked up, and returns its result.

        Raises OverloadedError at a limit (rule 2), or if each result was stale (rule 3).
        """
        sight: OperandFindings | None = None
        for _ in range(MOST_ROUNDS + 1):
            done = await work(sight)
            if not isinstance(done, NeedsProbe):
                return done
            future: asyncio.Future[OperandFindings] = self._loop.create_future()
            self.hand(holder, done.looks, future.set_result, future.set_exception)
            sight = await asyncio.shield(future)
        raise OverloadedError("what it names was looked at again and again, and was old each time")

    def close(self) -> None:
        """Starts nothing more; running look-ups end by themselves."""
        self._waiting.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _done(self, holder: Holder, job: _Job, found: Future[OperandFindings]) -> None:
        self._under_way[holder] -= 1
        waiting = self._waiting.get(holder, deque())
        while waiting and self._under_way[holder] < MOST_OF_ONE:
            following = waiting.popleft()
            if not following.over:  # 4
                self._begin(holder, following)
        if not waiting:
            self._waiting.pop(holder, None)
        if not self._under_way[holder]:
            del self._under_way[holder]
        job.end(found)


class _Job:
    """A look-up, for a caller who may stop waiting (rule 4)."""

    __slots__ = ("_fail", "_see", "begun", "looks", "over", "timer")

    def __init__(
        self, looks: Looks, see: Callable[[OperandFindings], None], fail: Callable[[Exception], None]
    ) -> None:
        self.looks = looks
        self._see = see
        self._fail = fail
        self.over = False
        self.timer: asyncio.TimerHandle | None = None
        self.begun: Future[OperandFindings] | None = None

    def come_again(self) -> None:
        self.over = True
        if self.begun is not None:
            self.begun.cancel()  # one that waits for a thread
        self._fail(OverloadedError("what it names could not be looked at in time"))

    def end(self, found: Future[OperandFindings]) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.over or found.cancelled():
            return
        self.over = True
        error = found.exception()
        if isinstance(error, Exception):
            self._fail(error)
        else:
            self._see(found.result())
