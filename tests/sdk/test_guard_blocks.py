from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from taskbound.core.identity.answered import BadRequestKeyError
from taskbound.sdk.guard.errors import NoClientError, RepeatedError
from tests.sdk.notes import async_client_at, client_at, note, note_later, noting, outcomes, within

pytestmark = pytest.mark.anyio


async def test_threads_that_have_a_block_each_of_one_client_end_nobody_elses(tmp_path: Path) -> None:
    first, left = threading.Event(), threading.Event()
    found: list[object] = []

    async with noting(tmp_path) as place:
        client = client_at(place)

        def leaves() -> None:
            with client:
                first.set()
                found.append(note("hello"))
            left.set()
            with pytest.raises(NoClientError):
                note("hello")

        def stays() -> None:
            first.wait()
            with client:
                found.append(note("less"))
                kept = client._link._client  # noqa: SLF001 -- what is spoken over, which nobody else may end
                left.wait()
                found.append(note("more"))
                assert client._link._client is kept  # noqa: SLF001 -- as above
            assert client._link._client is None  # noqa: SLF001 -- the last one closes it

        await asyncio.gather(within(leaves), within(stays))
        assert sorted(map(str, found)) == ["noted hello", "noted less", "noted more"]
        assert outcomes(place.world) == ["succeeded"] * 3


async def test_tasks_of_a_loop_may_leave_blocks_of_one_client_in_any_order(tmp_path: Path) -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    async with noting(tmp_path) as place:
        client = async_client_at(place)

        async def leaves() -> str:
            async with client:
                await entered.wait()
                found = await note_later("note 1")
            left.set()
            return found

        async def stays() -> str:
            async with client:
                entered.set()
                await left.wait()
                return await note_later("note 2")

        assert tuple(await asyncio.gather(leaves(), stays())) == ("noted note 1", "noted note 2")
        with pytest.raises(NoClientError):
            await note_later("note 3")
        assert outcomes(place.world) == ["succeeded"] * 2


async def test_within_a_block_another_client_has_its_own_and_then_the_first_one_goes_on(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            outer, inner = client_at(place), client_at(place)
            with outer:
                with inner, inner:
                    note("less")
                assert inner._link._client is None  # noqa: SLF001 -- it was closed, and once
                assert note("more") == "noted more"
                assert outer._link._client is not None  # noqa: SLF001 -- by the one that is still open
            with pytest.raises(NoClientError):
                note("hello")

        await within(work)
        assert outcomes(place.world) == ["succeeded"] * 2


@pytest.mark.parametrize("key", ["", " ", "a\nb", "a b", "k" * 129, "\u043a\u043b\u044e\u0447"])
def test_law_7_what_can_be_no_key_is_refused_where_it_is_said(key: str) -> None:
    with pytest.raises(BadRequestKeyError):
        note.using(idempotency_key=key)


async def test_law_7_a_key_stays_when_something_else_is_said_of_the_calls(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            with client_at(place):
                once = note.using(idempotency_key="monday")
                once("hello")
                with pytest.raises(RepeatedError):
                    once.using(wait=1, narrowed=True)("hello")

        await within(work)
        assert outcomes(place.world) == ["succeeded"]
