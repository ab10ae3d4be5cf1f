"""Where what may wait is looked at: beside the loop and beside the worker, a bounded number at a time.

1. What hangs takes one of a few threads, for as long as the port lets it
   (`ports.approval.operands`). No call that needs no look waits for it.
2. One holder has so many looks under way, so that some others have their threads. So many more of its wait,
   in order; beyond that its calls are told to come again.
3. A call is looked at for so often: what is old by the time it can be decided, each time, is given up.
4. Whoever waits only until an instant is told by then to come again, whatever holds the look up: the threads
   of others, the queue, or what is looked at. A gateway takes a daemon that is later for lost, and gives up
   all its calls. What nobody waits for any more is not begun, and what it finds is not heard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.flows.approval.look import Unseen, look_far
from taskbound.surfaces.api.worker import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from taskbound.flows.approval.look import Looks, Sight
    from taskbound.flows.means import Means


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


class Looking:
    """Has things looked at; used in the loop."""

    def __init__(self, means: Means, loop: asyncio.AbstractEventLoop) -> None:
        """Look with these means; a thread is started when it is needed."""
        self._means = means
        self._loop = loop
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="look")
        self._under_way: dict[Holder, int] = {}
        self._waiting: dict[Holder, deque[_Job]] = {}

    def hand(
        self,
        holder: Holder,
        looks: Looks,
        see: Callable[[Sight], None],
        fail: Callable[[Exception], None],
        until: float | None = None,
    ) -> None:
        """Have this looked at; one of the two is called in the loop later.

        Args:
            holder: For whom.
            looks: What to look at.
            see: Takes what was seen.
            fail: Takes why nothing was.
            until: The instant of the loop's clock until which somebody waits for it (rule 4).

        Raises:
            OverloadedError: This holder has too much looked at already, or all of them have (rule 2).
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

        def tell(found: Future[Sight]) -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits
                self._loop.call_soon_threadsafe(done, found)

        self._under_way[holder] = self._under_way.get(holder, 0) + 1
        future = self._threads.submit(look_far, self._means, job.looks)
        job.begun = future
        future.add_done_callback(tell)

    async def until_seen(self, holder: Holder, work: Callable[[Sight | None], Awaitable[T | Unseen]]) -> T:
        """What this work gives once all that it wants to be seen was.

        Raises:
            OverloadedError: As `hand`, or what was seen was old each time (rule 3).
        """
        sight: Sight | None = None
        for _ in range(MOST_ROUNDS + 1):
            done = await work(sight)
            if not isinstance(done, Unseen):
                return done
            future: asyncio.Future[Sight] = self._loop.create_future()
            self.hand(holder, done.looks, future.set_result, future.set_exception)
            sight = await asyncio.shield(future)
        raise OverloadedError("what it names was looked at again and again, and was old each time")

    def close(self) -> None:
        """Begin nothing any more; what is under way ends by itself."""
        self._waiting.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _done(self, holder: Holder, job: _Job, found: Future[Sight]) -> None:
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
    """Something that is to be looked at, for somebody who may stop waiting for it (rule 4)."""

    __slots__ = ("_fail", "_see", "begun", "looks", "over", "timer")

    def __init__(self, looks: Looks, see: Callable[[Sight], None], fail: Callable[[Exception], None]) -> None:
        self.looks = looks
        self._see = see
        self._fail = fail
        self.over = False
        self.timer: asyncio.TimerHandle | None = None
        self.begun: Future[Sight] | None = None

    def come_again(self) -> None:
        """Nobody waits for it any more."""
        self.over = True
        if self.begun is not None:
            self.begun.cancel()  # one that waits for a thread
        self._fail(OverloadedError("what it names could not be looked at in time"))

    def end(self, found: Future[Sight]) -> None:
        """It was looked at."""
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
