from __future__ import annotations

import asyncio
import os
import resource
import sys
import threading
from pathlib import Path
from types import FrameType

import pytest

from taskbound.core.identity.proof import BadRequestKeyError
from taskbound.sdk.guard.errors import HeldError, NoClientError, RepeatedError
from taskbound.sdk.guard.guarded import guard
from taskbound.sdk.guard.holder import ApiLostError
from tests.sdk.noted import note, note_later
from tests.sdk.notes import async_client_at, client_at, held_world, noting, outcomes, within
from tests.sdk.notes_afar import Distant, Starting, distant
from tests.surfaces.api.test_operations import Station

pytestmark = pytest.mark.anyio


def task_of(place: Station) -> str:
    """The one that was started with the world."""
    return str(place.world.events("task-started")[0]["task"])


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
            with pytest.raises(NoClientError) as caught:
                note("hello")
            assert "in this thread" in caught.value.advice

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


@pytest.mark.parametrize("left_block", ["client", "task"])
@pytest.mark.parametrize("how", ["alone", "block"])
async def test_law_7_who_leaves_a_block_ends_no_call_that_is_under_way_elsewhere(
    tmp_path: Path, how: str, left_block: str
) -> None:
    begun, left = threading.Event(), threading.Event()

    async with noting(tmp_path) as place:
        client = client_at(place, task=task_of(place))

        @client.guard(server="notes", tool="fail", effect="write")
        def last(text: str) -> str:
            """Fail, with a secret in the words."""
            begun.set()
            left.wait()
            return text

        def runs() -> str:
            if how == "alone":
                return last("x")
            with client.task("keep notes"):
                return last("x")

        def leaves() -> None:
            begun.wait()
            try:
                with client if left_block == "client" else client.task("keep notes"):
                    note("hello")
            finally:
                left.set()

        assert (await asyncio.gather(within(runs), within(leaves)))[0] == "x"
        assert outcomes(place.world) == ["succeeded"] * 2
        client.close()


async def test_law_7_who_comes_while_the_last_one_leaves_is_not_cut_off(tmp_path: Path) -> None:
    leaving, begun, left = threading.Event(), threading.Event(), threading.Event()

    async with noting(tmp_path) as place:
        client = client_at(place)

        @guard(server="notes", tool="fail", effect="write")
        def last(text: str) -> str:
            """Fail, with a secret in the words."""
            begun.set()
            left.wait()
            return text

        def waits(frame: FrameType, event: str, _: object) -> None:
            if event == "call" and frame.f_code.co_name == "_settle":
                leaving.set()
                begun.wait()

        def leaves() -> None:
            with client:
                note("hello")
                sys.settrace(waits)
            sys.settrace(None)
            left.set()

        def comes() -> str:
            leaving.wait()
            with client:
                return last("x")

        assert (await asyncio.gather(within(comes), within(leaves)))[0] == "x"
        assert outcomes(place.world) == ["succeeded"] * 2
        assert client._link._client is None  # noqa: SLF001 -- the last one closed it

        later = async_client_at(place)
        ending = asyncio.get_running_loop().create_future()
        async with later:
            await note_later("hello")
            kept = later._link._client  # noqa: SLF001 -- what is spoken over
            later._leaving.add(ending)  # noqa: SLF001 -- a task of a cancelled block is about to end
            going = asyncio.ensure_future(later.__aexit__(None, None, None))
            await asyncio.sleep(0)
            later._into()  # noqa: SLF001 -- somebody else's block
            later._leaving.clear()  # noqa: SLF001 -- it has ended
            ending.set_result(None)
            await going
            assert later._link._client is kept is not None  # noqa: SLF001 -- as above


async def test_law_7_a_function_that_has_a_block_of_its_own_is_told_as_any(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        client, later = client_at(place), async_client_at(place)

        @client.guard(server="notes", tool="fail", effect="write")
        def outer(text: str) -> str:
            """Fail, with a secret in the words."""
            with client:
                return note(text)

        @later.guard(server="notes", tool="fail", effect="write")
        async def awaited(text: str) -> str:
            """Fail, with a secret in the words."""
            async with later:
                return await note_later(text)

        assert await within(lambda: outer("hello")) == "noted hello"
        assert await awaited("hello") == "noted hello"
        assert outcomes(place.world) == ["succeeded"] * 4
        client.close()
        await later.close()


async def test_the_block_of_a_task_leaves_no_connection_open_but_one_that_is_needed(tmp_path: Path) -> None:
    world, _ = held_world()

    async with noting(tmp_path, world=world) as place:

        def work() -> None:
            with client_at(place, task=task_of(place)) as client:
                with client.task("keep notes"):
                    pass
                assert client._link._client is not None  # noqa: SLF001 -- it is the outer block's
            with client.task("keep notes"):
                kept = client._link  # noqa: SLF001 -- what is spoken over
                first = kept._client  # noqa: SLF001 -- as above
                with client:
                    pass
                assert kept._client is first is not None  # noqa: SLF001 -- as above
            assert vars(kept)["_client"] is None
            with client.task("keep notes"), pytest.raises(HeldError):
                note("hello")
            assert vars(kept)["_client"] is not None  # it is what people are asked on
            client.close()

        await within(work)
        later = async_client_at(place, task=task_of(place))
        async with later.task("keep notes"):
            assert later._link._client is not None  # noqa: SLF001 -- what is spoken over
        assert later._link._client is None  # noqa: SLF001 -- as above


async def test_a_program_that_has_many_files_open_keeps_its_connection(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files: list[int] = []
    try:
        async with noting(tmp_path) as place:
            while not files or files[-1] < 1024:
                files.append(os.open(os.devnull, os.O_RDONLY))

            def work() -> None:
                with client_at(place) as client:
                    note("hello")
                    kept = client._link._client  # noqa: SLF001 -- what is spoken over
                    assert kept is not None
                    assert kept.fileno() > 1024
                    note("less")
                    assert client._link._client is kept  # noqa: SLF001 -- as above

            await within(work)
            assert outcomes(place.world) == ["succeeded"] * 2
    finally:
        for one in files:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_over_the_network_a_client_may_have_one_block_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        client = one.client()
        for text in ("hello", "less"):
            with client:
                assert note(text) == f"noted {text}"
        with pytest.raises(ApiLostError, match="was closed"):
            client.guard(server="notes", effect="write")(note.__wrapped__)("more")

        async def story() -> None:
            later = one.async_client()
            for text in ("hello", "less"):
                async with later:
                    assert await note_later(text) == f"noted {text}"

        asyncio.run(story())
        starts = Starting(one).client()
        for text in ("hello", "more"):
            with starts.task("keep notes", template="notes"):
                assert note(text) == f"noted {text}"
            assert starts._web._client is None  # noqa: SLF001 -- it is open no longer than the block
        assert outcomes(one.world) == ["succeeded"] * 6

    distant(tmp_path, work, monkeypatch)


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
