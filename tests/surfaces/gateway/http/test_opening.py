"""The connection of a seat: with which token it is opened, who waits for it, and what its refusal says."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import AsyncExitStack
from errno import EMFILE
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from taskbound.wire.connection import Bind, Fault, Open, Seated, ShowProof, TaskPush
from taskbound.wire.mcp.message import DECISION_KEY
from tests.peers.daemon import FAR
from tests.surfaces.gateway.http.fronting import TOKEN, Clock, Near, near
from tests.surfaces.gateway.http.test_giving_up import LIST, LISTEN, PATIENT, begun, ended, idle, seat_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.peers.daemon import Held
    from tests.surfaces.gateway.http.fronting import Wire

pytestmark = pytest.mark.anyio


def named(ask: ShowProof) -> Seated:
    text = ask.shown.authorization.removeprefix("Bearer ")
    return Seated(task="tsk_1", token=f"tok_{text}", until=FAR)


async def opening(there: Near, stack: AsyncExitStack, held: Any) -> tuple[list[Wire], Held]:
    """Two requests of one task with different tokens, which wait for its connection."""
    there.daemon.on[ShowProof] = named
    wires = [await begun(there, stack, there.modern("one", LIST))]
    first: Held = await held.next()
    wires.append(await begun(there, stack, there.modern("two", LIST)))
    await there.until(lambda: seat_of(there).holds("two"))
    return wires, first


async def test_a_token_that_is_refused_as_a_seat_opens_spoils_it_for_no_other_one(there: Near) -> None:
    async with AsyncExitStack() as stack:
        await there.front._door.reached()  # noqa: SLF001 -- only the seat's opening is to be held
        with there.daemon.holding(Open) as held:
            wires, first = await opening(there, stack, held)
        first.answer(Fault(code="token-revoked", message="no", family="denied"))
        assert [(await one.answer()).status for one in wires] == [200, 200]
        assert [one.token for one in there.daemon.asks if isinstance(one, Open)] == ["", "one", "two"]


async def test_a_token_with_which_a_connection_was_refused_is_not_tried_again_once_there_is_another(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, check=60.0) as there:
        ends = {"long": 3, "short": 2}

        def seated(ask: ShowProof) -> Seated:
            text = ask.shown.authorization.removeprefix("Bearer ")
            return Seated(task="tsk_1", token=f"tok_{text}", until=ends[text])

        there.daemon.on[ShowProof] = seated
        assert (await there.send(there.modern("long", LIST))).status == 200
        there.daemon.on[Open] = lambda ask: (
            Fault(code="token-revoked", message="no", family="denied") if ask.token == "long" else None
        )
        before = there.daemon.count(Open)
        there.daemon.drop()
        await there.until(lambda: there.daemon.count(Open) > before + 1)  # again and again: there is no other
        found = await there.send(there.modern("short", LIST))
        assert DECISION_KEY not in str(found.json), "it is connected again"
        tried = [one.token for one in there.daemon.asks if isinstance(one, Open) and one.token]
        assert tried[tried.index("short") :] == ["short"]
        assert tried.count("long") == len(tried) - 1


async def test_a_task_that_is_over_as_its_seat_opens_is_asked_about_with_no_other_token(there: Near) -> None:
    async with AsyncExitStack() as stack:
        await there.front._door.reached()  # noqa: SLF001 -- only the seat's opening is to be held
        with there.daemon.holding(Open) as held:
            wires, first = await opening(there, stack, held)
        first.answer(ended(first.ask))
        found = [await one.answer() for one in wires]
        assert [(one.status, one.code) for one in found] == [(401, "task-ended")] * 2
        assert [one.token for one in there.daemon.asks if isinstance(one, Open)] == ["", "one"]


async def test_who_waits_for_a_seat_whose_connection_cannot_even_be_tried_is_told_so(tmp_path: Path) -> None:
    async def full(**_: object) -> NoReturn:
        raise OSError(EMFILE, "too many open files")

    async with near(tmp_path) as there:
        there.front._door.seat = lambda agent, token: full  # noqa: ARG005, SLF001 -- what wiring gives
        found = await there.send(there.modern(TOKEN, LIST))
        assert (found.status, found.code) == (503, "daemon-lost")


async def test_a_seat_that_was_never_opened_is_none_and_the_next_request_opens_one(there: Near) -> None:
    there.daemon.on[Open] = lambda ask: (
        Fault(code="token-revoked", message="no", family="unproven") if ask.token else None
    )
    found = await there.send(there.modern(TOKEN, LIST))
    assert (found.status, found.code) == (401, "token-revoked")
    del there.daemon.on[Open]
    assert (await there.send(there.modern(TOKEN, LIST))).status == 200


def test_a_seat_for_which_nobody_waits_is_refused_without_a_word_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with near(tmp_path) as there:
            there.daemon.on[Open] = lambda ask: ended(ask) if ask.token else None
            with there.daemon.holding(ShowProof) as held:
                async with await there.wire() as wire:
                    wire.send(there.modern(TOKEN, LIST))
                    one = await held.next()
                await there.until(lambda: not there.front._connections)  # noqa: SLF001 -- that it left is the point
                one.answer(there.daemon.answer(one.ask))
            await there.until(lambda: there.daemon.count(Open) == 2 and not there.front._seats)  # noqa: SLF001 -- as above
            await there.until(lambda: idle(there) and not there.front._leaving)  # noqa: SLF001 -- as above

    asyncio.run(story())
    gc.collect()
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


async def test_who_leaves_while_a_seat_opens_takes_nobody_along(there: Near) -> None:
    async with AsyncExitStack() as stack:
        await there.front._door.reached()  # noqa: SLF001 -- only the seat's opening is to be held
        with there.daemon.holding(Open) as held:
            wires, first = await opening(there, stack, held)
            wires[0].writer.close()
            await there.until(lambda: len(there.front._work) == 1)  # noqa: SLF001 -- that one waits on is the point
        first.answer(there.daemon.answer(first.ask))
        assert (await wires[1].answer()).status == 200


async def test_a_stream_of_a_task_whose_connection_took_long_is_not_closed_for_that(tmp_path: Path) -> None:
    clock = Clock()
    async with near(tmp_path, timings=PATIENT, fresh=3.0, check=1.0) as there, AsyncExitStack() as stack:
        await there.front._door.reached()  # noqa: SLF001 -- only the seat's opening is to be held
        with there.daemon.holding(Bind) as looks, there.daemon.holding(Open) as held:
            wire = await begun(there, stack, there.modern(TOKEN, LISTEN))
            one = await held.next()
            clock.pass_by(4)
            one.answer(there.daemon.answer(one.ask))
            await wire.head()
            await wire.event()
            look = await looks.next()
            clock.pass_by(1.5)
            assert (await there.send(there.modern(TOKEN, LIST))).status == 200
            look.answer(there.daemon.answer(look.ask))
        there.daemon.push(TaskPush(task="tsk_1", state="running"))
        assert await wire.event() is not None
