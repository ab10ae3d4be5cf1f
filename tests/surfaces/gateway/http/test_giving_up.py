"""Seats that end while something is waited for, clients that leave before anything began, and what stays."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.surfaces.gateway.link import Timings
from taskbound.wire.action import Decide, Malformed
from taskbound.wire.connection import Bind, Done, Fault, Open, Seated, ShowProof
from taskbound.wire.tool import ReachTools, ToolRows
from tests.peers.commands import echo
from tests.peers.daemon import FAR
from tests.surfaces.gateway.http.fronting import OTHER, TOKEN, Near, near

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.surfaces.gateway.http.seat import Seat
    from tests.peers.daemon import Held
    from tests.surfaces.gateway.http.fronting import Wire

LIST = {"method": "tools/list"}
LISTEN = {"method": "subscriptions/listen", "params": {"notifications": {"toolsListChanged": True}}}
PATIENT = Timings(grace=100.0, ping=0.2, cancel=0.15, leave=5.0)


class Clock:
    """The loop's own, which goes on at once when a test says so."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._steady, self._passed = loop.time, 0.0
        loop.time = self  # type: ignore[method-assign]  # nothing that is waited for takes its time

    def __call__(self) -> float:
        return self._steady() + self._passed

    def pass_by(self, seconds: float) -> None:
        self._passed += seconds


def seat_of(there: Near, task: str = "tsk_1") -> Seat:
    return there.front._seats[task]  # noqa: SLF001 -- what is kept is the point


def idle(there: Near) -> bool:
    """Whether no request is waited with."""
    return not there.front._work  # noqa: SLF001 -- that nobody waits is the point


async def begun(there: Near, stack: AsyncExitStack, raw: bytes) -> Wire:
    wire = await stack.enter_async_context(await there.wire())
    wire.send(raw)
    return wire


def old_stream(there: Near, session: str, token: str = TOKEN) -> bytes:
    return there.raw(token, b"", verb="GET", Accept="text/event-stream", Mcp_Session_Id=session)


def ended(_: object) -> Fault:
    return Fault(code="task-ended", message="it is over", family="denied")


def test_who_waits_while_a_task_s_requests_are_held_back_goes_on_after_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path, timings=PATIENT) as there, AsyncExitStack() as stack:
            assert (await there.send(there.modern(TOKEN, LIST))).status == 200
            with there.daemon.holding(Malformed) as held:
                bad = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":1,"a":2}}'
                for _ in range(32):
                    assert (await there.send(there.raw(TOKEN, bad))).code == "duplicate-key"
                waits = await begun(there, stack, there.modern(TOKEN, LIST))
                await there.until(lambda: there.daemon.count(ShowProof) == 34)
                asked = there.daemon.count(ShowProof)
                assert (await there.send(there.modern(OTHER, LIST))).status == 200
                assert not idle(there)
                assert there.daemon.count(ShowProof) == asked + 1
                for _ in range(32):
                    (await held.next()).answer(Done())
            assert (await waits.answer()).status == 200

    asyncio.run(story())


def test_law_10_who_waited_while_a_seat_was_given_up_gets_no_stream_of_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path, timings=PATIENT, check=0.02) as there, AsyncExitStack() as stack:
            session = await there.initialize(TOKEN)
            seat = seat_of(there)
            with there.daemon.holding(Malformed) as held:
                bad = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":1,"a":2}}'
                for _ in range(32):
                    assert (await there.send(there.raw(TOKEN, bad))).code == "duplicate-key"
                waits = [
                    await begun(there, stack, raw)
                    for raw in (old_stream(there, session), there.modern(TOKEN, LISTEN))
                ]
                await there.until(lambda: len(there.front._work) == 2)  # noqa: SLF001 -- that both wait is the point
                there.daemon.on[Bind] = ended
                await there.until(lambda: seat.over is not None)
                for _ in range(32):
                    (await held.next()).answer(Done())
            for wire in waits:
                found = await wire.answer()
                assert (found.status, found.code) == (401, "task-ended")

    asyncio.run(story())


def test_a_call_whose_seat_is_given_up_before_it_began_is_begun_nowhere(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path, echo(), check=60.0) as there, AsyncExitStack() as stack:
            assert (await there.send(there.modern(TOKEN, LIST))).status == 200
            await there.until(lambda: there.daemon.count(Bind) == 1)
            seat = seat_of(there)
            there.daemon.on[Open] = lambda ask: ended(ask) if ask.token else None
            with there.daemon.holding(Bind) as held:
                wire = await begun(there, stack, there.calling(TOKEN, "echo__echo", {"text": "a"}))
                await held.next()
                there.daemon.drop()
                found = await wire.answer()
            assert (found.status, found.code) == (401, "task-ended")
            assert seat._open == {}  # noqa: SLF001 -- that nothing is kept is the point

    asyncio.run(story())


def test_a_seat_of_which_a_token_was_shown_just_now_is_in_use(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Clock()
        async with (
            near(tmp_path, check=0.02, seat_idle=20.0, timings=PATIENT) as there,
            AsyncExitStack() as stack,
        ):
            assert (await there.send(there.modern(TOKEN, LIST))).status == 200
            seat = seat_of(there)
            clock.pass_by(15)
            with there.daemon.holding(ReachTools) as held:
                params = {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {},
                    "clientInfo": {"name": "raw", "version": "1"},
                }
                message = {"id": 0, "method": "initialize", "params": params}
                wire = await begun(there, stack, there.legacy(TOKEN, message))
                asked = await held.next()
                clock.pass_by(10)
                looks = there.daemon.count(Bind)
                await there.until(lambda: there.daemon.count(Bind) > looks + 2)
                asked.answer(ToolRows(rows=(), task="tsk_1"))
                session = (await wire.answer()).headers["mcp-session-id"]
            assert seat.over is None
            assert (await there.send(there.legacy(TOKEN, {"id": 1, "method": "ping"}, session))).status == 200

    asyncio.run(story())


@pytest.mark.parametrize("how", ["a stream that its client leaves", "a stream that is closed", "a call"])
def test_a_session_was_used_until_what_was_open_in_it_ended(tmp_path: Path, how: str) -> None:
    async def story() -> None:
        clock = Clock()
        fresh = 1000.0 if "leaves" in how else 5.0
        async with near(tmp_path, echo(), session_idle=20.0, fresh=fresh, timings=PATIENT) as there:
            session = await there.initialize(TOKEN)
            ping = there.legacy(TOKEN, {"id": 2, "method": "ping"}, session)
            (kept,) = seat_of(there).sessions.all
            with there.daemon.holding(Decide) as held:
                async with await there.wire() as wire:
                    if how == "a call":
                        params = {"name": "echo__echo", "arguments": {"text": "a"}}
                        message = {"id": 1, "method": "tools/call", "params": params}
                        wire.send(there.legacy(TOKEN, message, session))
                        one = await held.next()
                        clock.pass_by(25)
                        one.answer(there.daemon.permit(one.ask))
                        assert (await wire.answer()).text == "a"
                    else:
                        wire.send(old_stream(there, session))
                        await wire.head()
                        clock.pass_by(25)
                        if "closed" in how:
                            assert await wire.event() is None
            await there.until(lambda: kept.outside is None)
            assert (await there.send(ping)).status == 200
            clock.pass_by(25)
            assert (await there.send(ping)).status == 404

    asyncio.run(story())


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


def test_a_token_that_is_refused_as_a_seat_opens_spoils_it_for_no_other_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there, AsyncExitStack() as stack:
            await there.front._door.reached()  # noqa: SLF001 -- only the seat's opening is to be held
            with there.daemon.holding(Open) as held:
                wires, first = await opening(there, stack, held)
            first.answer(Fault(code="token-revoked", message="no", family="denied"))
            assert [(await one.answer()).status for one in wires] == [200, 200]
            assert [one.token for one in there.daemon.asks if isinstance(one, Open)] == ["", "one", "two"]

    asyncio.run(story())


def test_a_token_with_which_a_connection_was_refused_is_not_tried_again_once_there_is_another(
    tmp_path: Path,
) -> None:
    async def story() -> None:
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
            await there.until(
                lambda: there.daemon.count(Open) > before + 1
            )  # again and again: there is no other
            assert (await there.send(there.modern("short", LIST))).status == 200
            tried = [one.token for one in there.daemon.asks if isinstance(one, Open) and one.token]
            assert tried[tried.index("short") :] == ["short"]
            assert tried.count("long") == len(tried) - 1

    asyncio.run(story())


def test_a_task_that_is_over_as_its_seat_opens_is_asked_about_with_no_other_token(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there, AsyncExitStack() as stack:
            await there.front._door.reached()  # noqa: SLF001 -- only the seat's opening is to be held
            with there.daemon.holding(Open) as held:
                wires, first = await opening(there, stack, held)
            first.answer(ended(first.ask))
            found = [await one.answer() for one in wires]
            assert [(one.status, one.code) for one in found] == [(401, "task-ended")] * 2
            assert [one.token for one in there.daemon.asks if isinstance(one, Open)] == ["", "one"]

    asyncio.run(story())


def test_who_leaves_while_a_seat_opens_takes_nobody_along(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there, AsyncExitStack() as stack:
            await there.front._door.reached()  # noqa: SLF001 -- only the seat's opening is to be held
            with there.daemon.holding(Open) as held:
                wires, first = await opening(there, stack, held)
                wires[0].writer.close()
                await there.until(lambda: len(there.front._work) == 1)  # noqa: SLF001 -- that one waits on is the point
            first.answer(there.daemon.answer(first.ask))
            assert (await wires[1].answer()).status == 200

    asyncio.run(story())


def test_who_left_before_the_daemon_said_whose_it_is_takes_nobody_s_stream(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there, AsyncExitStack() as stack:
            session = await there.initialize(TOKEN)
            mine = await begun(there, stack, old_stream(there, session))
            await mine.head()
            with there.daemon.holding(ShowProof) as held:
                async with await there.wire() as other:
                    other.send(old_stream(there, session))
                    one = await held.next()
                await there.until(lambda: len(there.front._connections) == 1)  # noqa: SLF001 -- that it left is the point
                one.answer(there.daemon.answer(one.ask))
            await there.until(lambda: idle(there))
            (kept,) = seat_of(there).sessions.all
            assert kept.outside is not None
            assert not kept.outside.is_over

    asyncio.run(story())


def test_a_modern_client_that_leaves_before_its_call_began_has_called_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path, echo(), check=60.0) as there:
            assert (await there.send(there.modern(TOKEN, LIST))).status == 200
            await there.until(lambda: there.daemon.count(Bind) == 1)
            with there.daemon.holding(Bind) as held:
                async with await there.wire() as wire:
                    wire.send(there.calling(TOKEN, "echo__echo", {"text": "a"}))
                    one = await held.next()
                await there.until(lambda: not there.front._connections)  # noqa: SLF001 -- that it left is the point
                one.answer(there.daemon.answer(one.ask))
            await there.until(lambda: idle(there))
            assert (await there.call(TOKEN, "echo__echo", {"text": "b"})).text == "b"
            assert [bytes(one.arguments) for one in there.daemon.asks if isinstance(one, Decide)] == [
                b'{"text":"b"}'
            ]

    asyncio.run(story())


def test_who_leaves_before_its_session_began_takes_nobody_s_place(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path, sessions=1) as there:
            session = await there.initialize(TOKEN)
            with there.daemon.holding(ReachTools) as held:
                async with await there.wire() as wire:
                    params = {
                        "protocolVersion": "2025-11-25",
                        "capabilities": {},
                        "clientInfo": {"name": "raw", "version": "1"},
                    }
                    wire.send(there.legacy(TOKEN, {"id": 0, "method": "initialize", "params": params}))
                    one = await held.next()
                await there.until(lambda: not there.front._connections)  # noqa: SLF001 -- that it left is the point
                one.answer(there.daemon.answer(one.ask))
            await there.until(lambda: idle(there))
            assert (await there.send(there.legacy(TOKEN, {"id": 1, "method": "ping"}, session))).status == 200

    asyncio.run(story())


@pytest.mark.parametrize("legacy", [True, False])
def test_law_10_a_stream_is_closed_in_its_time_whatever_is_waited_for(
    tmp_path: Path, *, legacy: bool
) -> None:
    async def story() -> None:
        async with (
            near(tmp_path, timings=PATIENT, check=0.05, fresh=0.2) as there,
            await there.wire() as wire,
        ):
            session = await there.initialize(TOKEN)
            wire.send(old_stream(there, session) if legacy else there.modern(TOKEN, LISTEN))
            await wire.head()
            there.daemon.silent = True
            wire.patience = 5.0
            while await wire.event() is not None:
                pass
            there.daemon.drop()  # nobody has to wait for what was asked

    asyncio.run(story())


def test_a_seat_that_was_given_up_leaves_nothing_that_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path, check=0.02, fresh=0.1, seat_idle=0.1) as there:
            await there.front._door.reached()  # noqa: SLF001 -- only what the seat leaves is the point
            before = len(asyncio.all_tasks())
            async with await there.wire() as wire:
                wire.send(there.modern(TOKEN, LISTEN))
                await wire.head()
            await there.until(lambda: not there.front._seats)  # noqa: SLF001 -- as above
            await there.until(lambda: not there.front._leaving)  # noqa: SLF001 -- as above
            await there.until(lambda: len(asyncio.all_tasks()) == before)

    asyncio.run(story())


@pytest.mark.parametrize("legacy", [True, False])
def test_while_a_client_does_not_read_its_stream_no_server_is_read(tmp_path: Path, *, legacy: bool) -> None:
    async def story() -> None:
        async with near(tmp_path, check=60.0, fresh=100.0) as there, AsyncExitStack() as stack:
            session, other = await there.initialize(TOKEN), await there.initialize(TOKEN)
            servers = seat_of(there).gateway._servers  # noqa: SLF001 -- that they wait is the point

            def paused() -> bool:
                return servers._paused  # noqa: SLF001 -- as above

            for one in (session, other):
                wire = await begun(
                    there, stack, old_stream(there, one) if legacy else there.modern(TOKEN, LISTEN)
                )
                await wire.head()
            first, second = there.front._connections  # noqa: SLF001 -- what is called here their transports call
            first.pause_writing()
            assert paused()
            second.pause_writing()
            first.resume_writing()
            assert paused()
            second.abort()
            await there.until(lambda: len(there.front._connections) == 1)  # noqa: SLF001 -- that it is gone is the point
            assert not paused()

    asyncio.run(story())


def test_a_front_that_is_closed_opens_no_seat_for_what_it_was_asked_before(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path, echo()) as there, AsyncExitStack() as stack:
            assert (await there.call(TOKEN, "echo__echo", {"text": "a"})).text == "a"
            with there.daemon.holding(ShowProof) as held:
                await begun(there, stack, there.modern(OTHER, LIST))
                one = await held.next()
                closing = asyncio.create_task(there.front.close())
                await there.until(lambda: not there.front._connections)  # noqa: SLF001 -- that it is closing is the point
                one.answer(there.daemon.answer(one.ask))
                await closing
            assert not there.front.runs_servers
            assert [one.token for one in there.daemon.opened] == ["", TOKEN]

    asyncio.run(story())
