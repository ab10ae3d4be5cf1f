"""A seat looks again and again whether its task goes on, and what follows from what it sees, or does not."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.wire.action import Decide
from taskbound.wire.connection import Bind, Bound, Fault, Seated, ShowProof, TaskPush
from tests.peers.commands import echo
from tests.peers.daemon import FAR
from tests.surfaces.gateway.http.fronting import TOKEN, Clock, Near, near
from tests.surfaces.gateway.http.test_giving_up import LIST, LISTEN, PATIENT, begun, old_stream, seat_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def looked(there: Near, times: int = 3) -> None:
    """Wait until it has looked so often once more."""
    before = there.daemon.count(Bind)
    await there.until(lambda: there.daemon.count(Bind) >= before + times)


async def test_a_look_that_is_refused_for_another_reason_ends_no_seat(tmp_path: Path) -> None:
    async with near(tmp_path, check=0.02) as there:
        assert (await there.send(there.modern(TOKEN, LIST))).status == 200
        there.daemon.on[Bind] = lambda _: Fault(code="store-failed", message="no", family="unavailable")
        looks = there.daemon.count(Bind)
        await there.until(lambda: there.daemon.count(Bind) > looks + 3)
        assert seat_of(there).over is None


async def test_a_look_that_finds_no_daemon_is_not_the_last_one(tmp_path: Path) -> None:
    async with near(tmp_path, check=0.02) as there:
        assert (await there.send(there.modern(TOKEN, LIST))).status == 200
        there.daemon.on[Bind] = lambda _: there.daemon.drop()
        await looked(there, 6)  # each is asked twice
        del there.daemon.on[Bind]
        await looked(there, 6)
        assert seat_of(there).over is None


async def test_a_stream_stays_as_long_as_each_look_says_that_the_task_goes_on(tmp_path: Path) -> None:
    clock = Clock()
    async with (
        near(tmp_path, check=0.02, fresh=10.0, timings=PATIENT) as there,
        AsyncExitStack() as stack,
    ):
        wire = await begun(there, stack, there.modern(TOKEN, LISTEN))
        await wire.head()
        await wire.event()
        for _ in range(3):
            await looked(there)
            clock.pass_by(6)
        there.daemon.push(TaskPush(task="tsk_1", state="running"))
        assert await wire.event() is not None


@pytest.mark.parametrize("legacy", [True, False])
async def test_a_seat_whose_stream_somebody_hears_is_in_use(tmp_path: Path, *, legacy: bool) -> None:
    clock = Clock()
    bounds: dict[str, Any] = {"check": 0.02, "seat_idle": 20.0, "fresh": 1000.0}
    async with near(tmp_path, timings=PATIENT, **bounds) as there:
        session = await there.initialize(TOKEN)
        seat = seat_of(there)
        async with await there.wire() as wire:
            wire.send(old_stream(there, session) if legacy else there.modern(TOKEN, LISTEN))
            await wire.head()
            clock.pass_by(25)
            await looked(there)
            assert seat.over is None
        await there.until(lambda: not there.front._connections)  # noqa: SLF001 -- that it left is the point
        await looked(there)
        assert seat.over is None, "it was used until then"
        clock.pass_by(25)
        await there.until(lambda: seat.over is not None)


async def test_a_seat_in_which_a_call_is_open_is_in_use_until_it_ends(tmp_path: Path) -> None:
    clock = Clock()
    bounds: dict[str, Any] = {"check": 0.02, "seat_idle": 20.0}
    async with near(tmp_path, echo(), timings=PATIENT, **bounds) as there, AsyncExitStack() as stack:
        with there.daemon.holding(Decide) as held:
            wire = await begun(there, stack, there.calling(TOKEN, "echo__echo", {"text": "a"}))
            one = await held.next()
        clock.pass_by(25)
        await looked(there)
        one.answer(there.daemon.permit(one.ask))
        assert (await wire.answer()).text == "a"
        await looked(there)
        assert seat_of(there).over is None, "it was used until then"


@pytest.mark.parametrize("legacy", [True, False])
async def test_the_tokens_of_all_that_is_open_are_asked_about(tmp_path: Path, *, legacy: bool) -> None:
    def over(ask: Bind) -> Bound:
        return Bound(task="tsk_1", purpose="", deadline=FAR, expired=ask.tokens)

    async with near(tmp_path, check=0.02) as there, await there.wire() as wire:
        session = await there.initialize(TOKEN)
        wire.send(old_stream(there, session) if legacy else there.modern(TOKEN, LISTEN))
        await wire.head()
        await looked(there)
        there.daemon.on[Bind] = over
        while await wire.event() is not None:
            pass
        asked = [one.tokens for one in there.daemon.asks if isinstance(one, Bind)]
        assert set(asked) == {(), ("tok_tsk_1",)}


async def test_the_end_of_a_token_closes_no_stream_of_a_session_that_came_with_another(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, check=0.02) as there, AsyncExitStack() as stack:
        there.daemon.on[ShowProof] = lambda ask: Seated(
            task="tsk_1", token=f"tok_{ask.shown.authorization.removeprefix('Bearer ')}", until=FAR
        )
        sessions = [await there.initialize(token) for token in ("one", "two")]
        wires = []
        for token, session in zip(("one", "two"), sessions, strict=True):
            wires.append(await begun(there, stack, old_stream(there, session, token)))
            await wires[-1].head()
        there.daemon.on[Bind] = lambda _: Bound(task="tsk_1", purpose="", deadline=FAR, expired=("tok_one",))
        assert await wires[0].event() is None
        await looked(there)
        first, second = seat_of(there).sessions.all
        assert (first.outside is None, second.outside is None) == (True, False)


async def test_a_result_that_speaks_of_an_error_is_none(there: Near) -> None:
    async with await there.wire() as wire:
        wire.send(there.modern(TOKEN, LISTEN))
        await wire.head()
        await wire.event()
        line = b'{"jsonrpc":"2.0","id":1,"result":{"error":{"code":-32601}}}\n'
        seat_of(there).answer(line, 1)  # as a server's could be
        found = await wire.event()
        assert found is not None
        assert found["result"]["error"]["code"] == -32601
