"""The one thread that decides and writes, fed by many connections.

1. What ends or stops something goes first, then outcomes, then calls (I-61).
2. Calls that wait together are decided together: one transaction, one sync.
3. Answers go back to the loop in one hop for each group.
4. What waits is bounded: beyond the bound a call is refused at once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from taskbound.core.errors import UnavailableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

__all__ = ["Lane", "OverloadedError", "Worker"]

_log = logging.getLogger(__name__)

WAITING: Final = 4096
"""Jobs of one kind that may wait: about a quarter of a second of work."""
GROUP: Final = 64
"""Jobs that are done together at most."""

A = TypeVar("A")
J = TypeVar("J")
Given: TypeAlias = "Callable[[], None]"


class OverloadedError(UnavailableError):
    """More is waiting to be decided than can be answered in time."""

    code = "overloaded"
    remedy = "try again in a moment"


class Lane(Generic[J, A]):
    """Jobs of one kind that are done in groups, in order."""

    def __init__(self, worker: Worker, work: Callable[[Sequence[J]], Sequence[A]]) -> None:
        """Do the jobs with this work, in this worker's thread; see `Worker` for the order of lanes."""
        self._worker = worker
        self._work = work
        self._jobs: deque[tuple[J, asyncio.Future[A]]] = deque()
        worker.add(self)

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._jobs)

    def put(self, job: J) -> asyncio.Future[A]:
        """The job's answer, later; called in the loop.

        Raises:
            OverloadedError: Too many wait (rule 4).
        """
        if len(self._jobs) >= WAITING:
            raise OverloadedError(f"{WAITING} requests wait already")
        future: asyncio.Future[A] = self._worker.loop.create_future()
        with self._worker.wake:
            self._jobs.append((job, future))
            self._worker.wake.notify()
        return future

    def run(self) -> list[Given]:
        """Do the jobs that wait, up to a group; what gives their answers to those who asked."""
        taken = [self._jobs.popleft() for _ in range(min(GROUP, len(self._jobs)))]
        if not taken:
            return []
        try:
            answers = self._work([job for job, _ in taken])
        except Exception as error:  # noqa: BLE001 - the thread's outermost edge, and the rest goes on
            _log.exception("a group of %d jobs failed", len(taken))
            return [_giving_up(future, error) for _, future in taken]
        return [_giving(future, answer) for (_, future), answer in zip(taken, answers, strict=True)]


class Worker:
    """Runs lanes in one thread, the lane that was made first before the others."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare; `start` begins."""
        self.loop = loop
        self.wake = threading.Condition()
        self._lanes: list[Lane[object, object]] = []
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def add(self, lane: Lane[J, A]) -> None:
        """Take a lane, behind those that there are."""
        self._lanes.append(lane)  # type: ignore[arg-type]  # a lane gives its own jobs to its own work only

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, and end."""
        with self.wake:
            self._ending = True
            self.wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self.wake:
                while not any(len(lane) for lane in self._lanes):
                    if self._ending:
                        return
                    self.wake.wait()
            for lane in self._lanes:  # 1
                given = lane.run()  # 2
                if given:
                    self.loop.call_soon_threadsafe(_give, given)  # 3


def _give(given: Sequence[Given]) -> None:
    for one in given:
        one()


def _giving(future: asyncio.Future[A], answer: A) -> Given:
    def give() -> None:
        if not future.done():
            future.set_result(answer)

    return give


def _giving_up(future: asyncio.Future[A], error: Exception) -> Given:
    def give() -> None:
        if not future.done():
            future.set_exception(error)

    return give
