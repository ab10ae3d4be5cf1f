"""Where what may wait is looked at: beside the loop and beside the worker, a bounded number at a time.

1. What hangs takes one of a few threads, for as long as the port lets it
   (`ports.approval.operands`). No call that needs no look waits for it.
2. One holder has so many looks under way, so that those of the others have their threads. So many more of its
   wait, in order; beyond that its calls are told to come again.
3. A call is looked at for so often: what is old by the time it can be decided, each time, is given up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.flows.approval.looking import Unseen, look_far
from taskbound.surfaces.api.worker import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from taskbound.flows.approval.looking import Looks, Sight
    from taskbound.flows.means import Means

__all__ = ["MOST", "MOST_OF_ONE", "MOST_ROUNDS", "MOST_WAITING", "THREADS", "Looking"]

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
        self._waiting: dict[Holder, deque[Callable[[], None]]] = {}

    def hand(
        self,
        holder: Holder,
        looks: Looks,
        see: Callable[[Sight], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Have this looked at; one of the two is called in the loop later.

        Raises:
            OverloadedError: This holder has too much looked at already, or all of them have (rule 2).
        """
        waiting = self._waiting.get(holder, deque())
        if len(waiting) >= MOST_WAITING or (holder not in self._under_way and len(self._under_way) >= MOST):
            raise OverloadedError("more than can be looked at for one agent in time is to be looked at")
        done = partial(self._done, holder, see, fail)

        def tell(found: Future[Sight]) -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits
                self._loop.call_soon_threadsafe(done, found)

        def begin() -> None:
            self._under_way[holder] = self._under_way.get(holder, 0) + 1
            self._threads.submit(look_far, self._means, looks).add_done_callback(tell)

        if self._under_way.get(holder, 0) < MOST_OF_ONE:
            begin()
        else:
            self._waiting[holder] = waiting
            waiting.append(begin)

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

    def _done(
        self,
        holder: Holder,
        see: Callable[[Sight], None],
        fail: Callable[[Exception], None],
        found: Future[Sight],
    ) -> None:
        self._under_way[holder] -= 1
        if found.cancelled():
            return
        waiting = self._waiting.get(holder)
        if waiting:
            waiting.popleft()()
        elif not self._under_way[holder]:
            del self._under_way[holder]
            self._waiting.pop(holder, None)
        error = found.exception()
        if isinstance(error, Exception):
            fail(error)
        else:
            see(found.result())
