from __future__ import annotations

import asyncio
import gc
import warnings
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.surfaces.gateway.crowd.clients import web
from tests.surfaces.gateway.http.fronting import TOKEN, Near, Wire, near

STEPS = 60
"""Turns of the loop, of which a client that opens three connections and leaves takes fewer."""


async def come_and_go(there: Near) -> None:
    """A client with three calls at once, which waits for none of them."""
    async with web(there, TOKEN, "http-modern") as client:
        for number in range(3):
            await client.send("echo__echo", {"text": "a"}, number)


async def cancelled_after(turns: int, there: Near) -> bool:
    """Whether it was cancelled before its end."""
    going = asyncio.create_task(come_and_go(there))
    for _ in range(turns):
        await asyncio.sleep(0)
    going.cancel()
    (ended,) = await asyncio.gather(going, return_exceptions=True)
    return isinstance(ended, asyncio.CancelledError)


def told_by_garbage() -> list[str]:
    """What is told of whatever nobody has any more, and nobody closed."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        gc.collect()
    told = [str(one.message) for one in found if one.category is ResourceWarning]
    return [one for one in told if not one.startswith("subprocess")]  # a process is no connection


def test_a_client_that_is_cancelled_at_any_point_leaves_no_connection_open(tmp_path: Path) -> None:
    opened: list[int] = []

    async def story() -> None:
        async with near(tmp_path) as there:
            kept: list[Wire] = []
            was_cancelled = True
            for turns in range(STEPS):
                before = set(kept)
                was_cancelled = await cancelled_after(turns, there)
                kept = [*there.wires]
                assert all(one.writer.is_closing() for one in kept)
                if was_cancelled:
                    opened.append(len(set(kept) - before))
            assert not was_cancelled

    asyncio.run(story())
    assert {0, 3} <= set(opened)
    assert told_by_garbage() == []


def test_connections_that_a_failed_test_left_open_end_with_their_front(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there, AsyncExitStack():
            left = [await there.wire() for _ in range(2)]
            assert not left

    with pytest.raises(AssertionError) as found:
        asyncio.run(story())
    del found
    assert told_by_garbage() == []
