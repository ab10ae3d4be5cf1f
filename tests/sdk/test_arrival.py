from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from taskbound.sdk.arrival import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio


class Waiter:
    """A task that waits for one arrival, and what it has done so far."""

    def __init__(self) -> None:
        self.arrival: Arrival[str] = Arrival()
        self.found = ""
        self._waits = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        self._waits.set()
        self.found = await self.arrival

    async def waits(self) -> None:
        """Return when the task has come to its wait."""
        await self._waits.wait()


async def in_the_loop(work: Callable[[], str]) -> str:
    """What `work` answers where no task runs, as where bytes arrive."""
    answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: answered.set_result(work()))
    return await answered


async def test_who_waits_has_gone_on_when_arrive_returns() -> None:
    waiter = Waiter()
    await waiter.waits()

    def work() -> str:
        waiter.arrival.arrive("answer")
        return waiter.found

    assert await in_the_loop(work) == "answer"
    await waiter.task


async def test_who_waits_goes_on_in_the_next_round_when_another_task_brings_what_it_waits_for() -> None:
    waiter = Waiter()
    await waiter.waits()
    waiter.arrival.arrive("answer")
    at_once = waiter.found
    await waiter.task
    assert (at_once, waiter.found) == ("", "answer")


async def test_what_has_arrived_before_anyone_waits_is_there_at_once() -> None:
    arrival: Arrival[str] = Arrival()
    arrival.arrive("answer")
    assert await arrival == "answer"


async def test_what_arrives_second_or_after_a_cancellation_changes_nothing() -> None:
    twice, cancelled = Arrival[str](), Arrival[str]()
    twice.arrive("first")
    twice.arrive("second")
    cancelled.cancel()
    cancelled.arrive("late")
    assert (await twice, cancelled.cancelled()) == ("first", True)


async def test_an_error_reaches_who_waits() -> None:
    waiter = Waiter()
    await waiter.waits()
    waiter.arrival.set_exception(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await waiter.task


async def test_a_result_that_is_set_as_for_any_future_reaches_who_waits() -> None:
    waiter = Waiter()
    await waiter.waits()
    waiter.arrival.set_result("answer")
    await waiter.task
    assert waiter.found == "answer"


async def test_a_task_that_waits_can_be_cancelled() -> None:
    waiter = Waiter()
    await waiter.waits()
    waiter.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter.task
    assert waiter.arrival.cancelled()


async def test_two_who_wait_both_go_on() -> None:
    arrival: Arrival[str] = Arrival()

    async def wait() -> str:
        return await arrival

    tasks = [asyncio.ensure_future(wait()), asyncio.ensure_future(wait())]
    asyncio.get_running_loop().call_soon(arrival.arrive, "answer")
    assert await asyncio.gather(*tasks) == ["answer", "answer"]


async def test_who_no_longer_waits_is_not_gone_on_with() -> None:
    arrival: Arrival[str] = Arrival()
    told: list[str] = []

    def tell(found: Arrival[str]) -> None:
        told.append(found.result())

    arrival.add_done_callback(tell)
    removed = arrival.remove_done_callback(tell)
    arrival.arrive("answer")
    await asyncio.sleep(0)
    assert (removed, told) == (1, [])
