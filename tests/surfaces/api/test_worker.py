from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from taskbound.surfaces.api.server.worker import SLOW, Lane, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


@asynccontextmanager
async def at_work(*, slow: float = SLOW) -> AsyncIterator[Worker]:
    """A worker whose thread has nothing to do, for the length of the context."""
    worker = Worker(asyncio.get_running_loop(), slow=slow)
    warm: Lane[int, int] = Lane(worker, threads)
    worker.start()
    try:
        await warm.put(0)
        while worker.busy:
            await asyncio.get_running_loop().run_in_executor(None, int)
        yield worker
    finally:
        await asyncio.to_thread(worker.stop)


def threads(jobs: Sequence[int]) -> list[int]:
    """For each job the thread that does it."""
    return [threading.get_ident()] * len(jobs)


def is_small(job: int) -> bool:
    return job < 10


def test_a_small_job_is_done_in_the_loop_and_a_large_one_is_not() -> None:
    async def story() -> None:
        async with at_work() as worker:
            lane: Lane[int, int] = Lane(worker, threads, small=is_small)
            assert await lane.put(1) == threading.get_ident()
            assert await lane.put(10) != threading.get_ident()

    asyncio.run(story())


def test_small_jobs_that_arrive_together_are_one_group() -> None:
    groups: list[list[int]] = []

    def work(jobs: Sequence[int]) -> Sequence[int]:
        groups.append(list(jobs))
        return jobs

    async def story() -> None:
        async with at_work() as worker:
            lane: Lane[int, int] = Lane(worker, work, small=is_small)
            assert await asyncio.gather(*map(lane.put, range(5))) == list(range(5))

    asyncio.run(story())
    assert groups == [[0, 1, 2, 3, 4]]


def test_what_one_connection_asks_is_done_at_once_as_one_group_where_it_is_alone() -> None:
    groups: list[list[int]] = []

    def work(jobs: Sequence[int]) -> Sequence[int]:
        groups.append(list(jobs))
        return jobs

    async def story() -> None:
        async with at_work() as worker:
            lane: Lane[int, int] = Lane(worker, work, small=is_small)
            with worker.reading(alone=True):
                found = [lane.put(number) for number in range(3)]
                assert not any(one.done() for one in found)
            assert [one.result() for one in found] == [0, 1, 2]
            with worker.reading(alone=False):
                first = lane.put(3)
            with worker.reading(alone=True):  # the turn that the first one waits for is not had without it
                second = lane.put(4)
            assert not second.done()
            assert [await first, await second] == [3, 4]

    asyncio.run(story())
    assert groups == [[0, 1, 2], [3, 4]]


def test_what_can_not_be_read_keeps_nothing_that_was_read_before_it_from_its_turn() -> None:
    async def story() -> None:
        async with at_work() as worker:
            lane: Lane[int, int] = Lane(worker, threads, small=is_small)
            found: list[asyncio.Future[int]] = []

            def read() -> None:
                with worker.reading(alone=True):
                    found.append(lane.put(1))
                    raise ValueError("bad frame")

            with pytest.raises(ValueError, match="bad frame"):
                read()
            assert found[0].result() == threading.get_ident()

    asyncio.run(story())


def test_the_loop_goes_on_while_a_large_job_is_done_and_has_no_turn_beside_it() -> None:
    done: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(jobs: Sequence[int]) -> Sequence[int]:
        if jobs[0] >= 10:
            begun.set()
            assert go_on.wait(30)
        done.extend(jobs)
        return jobs

    async def story() -> None:
        async with at_work() as worker:
            lane: Lane[int, int] = Lane(worker, work, small=is_small)
            large = lane.put(10)
            assert await asyncio.to_thread(begun.wait, 5)
            small = lane.put(1)
            for _ in range(5):  # the loop goes round, and would have had its turn by now
                await asyncio.get_running_loop().run_in_executor(None, int)
            assert not small.done()
            assert done == []
            go_on.set()
            assert await small == 1
            assert await large == 10

    asyncio.run(story())
    assert done == [10, 1]


def test_after_a_slow_turn_the_next_one_is_the_threads() -> None:
    async def story() -> None:
        async with at_work(slow=-1) as worker:
            lane: Lane[int, int] = Lane(worker, threads, small=is_small)
            assert await lane.put(1) != threading.get_ident()

    asyncio.run(story())


def test_what_ends_goes_before_calls_that_arrived_earlier() -> None:
    order: list[str] = []

    def note(jobs: Sequence[str]) -> Sequence[str]:
        order.extend(jobs)
        return jobs

    async def story() -> None:
        async with at_work() as worker:
            first: Lane[str, str] = Lane(worker, note)
            calls: Lane[str, str] = Lane(worker, note, small=lambda _: True)
            await asyncio.gather(calls.put("call"), first.put("end"))

    asyncio.run(story())
    assert order == ["end", "call"]


@pytest.mark.parametrize("job", [1, 10])
def test_a_group_that_fails_fails_for_whoever_asked_and_the_next_one_is_done(job: int) -> None:
    def work(jobs: Sequence[int]) -> Sequence[int]:
        if job in jobs:
            raise ZeroDivisionError
        return jobs

    async def story() -> None:
        async with at_work() as worker:
            lane: Lane[int, int] = Lane(worker, work, small=is_small)
            with pytest.raises(ZeroDivisionError):
                await lane.put(job)
            assert await lane.put(2) == 2

    asyncio.run(story())


@pytest.mark.parametrize("job", [1, 10])
def test_what_waits_when_a_worker_stops_is_done_and_what_comes_later_is_not(job: int) -> None:
    async def story() -> None:
        async with at_work() as worker:
            lane: Lane[int, int] = Lane(worker, threads, small=is_small)
            waiting = lane.put(job)
            worker.stop()
            late = lane.put(job)
            await waiting
            for _ in range(5):
                await asyncio.get_running_loop().run_in_executor(None, int)
            assert not late.done()

    asyncio.run(story())
