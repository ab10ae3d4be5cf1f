"""Seats that end while something is waited for, clients that leave before anything began, and what stays."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NoReturn

import pytest

from taskbound.surfaces.gateway.link import Timings
from taskbound.wire.action import Decide, Malformed, Outcome
from taskbound.wire.connection import Bind, Done, Fault, Open, ShowProof
from taskbound.wire.tool import ReachTools, ToolRows
from tests.peers.commands import echo
from tests.surfaces.gateway.http.fronting import OTHER, TOKEN, Clock, Near, near

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.surfaces.gateway.http.seat import TaskSession
    from tests.surfaces.gateway.http.fronting import Wire

pytestmark = pytest.mark.anyio

LIST = {"method": "tools/list"}
LISTEN = {"method": "subscriptions/listen", "params": {"notifications": {"toolsListChanged": True}}}
PATIENT = Timings(grace=100.0, ping=0.2, cancel=0.15, leave=5.0)


def seat_of(there: Near, task: str = "tsk_1") -> TaskSession:
    return there.front._seats[task]  # noqa: SLF001 -- what is kept is the point


def running(there: Near) -> bool:
    """Whether a server of any seat runs."""
    return there.front.runs_servers


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


async def test_who_waits_while_a_task_s_requests_are_held_back_goes_on_after_it(tmp_path: Path) -> None:
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


async def test_law_10_who_waited_while_a_seat_was_given_up_gets_no_stream_of_it(tmp_path: Path) -> None:
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


async def test_a_call_whose_seat_is_given_up_before_it_began_is_begun_nowhere(tmp_path: Path) -> None:
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


async def test_a_seat_of_which_a_token_was_shown_just_now_is_in_use(tmp_path: Path) -> None:
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


async def test_a_failure_of_the_front_itself_is_answered_and_is_one_request_s_alone(tmp_path: Path) -> None:
    def broken() -> NoReturn:
        raise ZeroDivisionError

    async with near(tmp_path) as there:
        there.front._door._certified = broken  # noqa: SLF001 -- what wiring gives
        path = "/.well-known/oauth-protected-resource/mcp/coder"
        found = await there.send(there.raw("", b"", verb="GET", path=path, without=("Authorization",)))
        assert (found.status, found.json["error"]["code"]) == (503, -32603)
        assert (await there.send(there.modern(TOKEN, LIST))).status == 200


async def test_a_daemon_that_answers_with_something_else_or_too_late_is_lost_and_another_connection_is_made(
    tmp_path: Path,
) -> None:
    clock = Clock()
    async with near(tmp_path) as there, AsyncExitStack() as stack:
        there.daemon.on[ShowProof] = lambda _: Done()
        found = await there.send(there.modern(TOKEN, LIST))
        assert (found.status, found.code) == (503, "daemon-lost")
        with there.daemon.holding(ShowProof) as held:
            wire = await begun(there, stack, there.modern(TOKEN, LIST))
            await held.next()
            clock.pass_by(5.1)
            found = await wire.answer()
            assert (found.status, found.code) == (503, "daemon-lost")
        del there.daemon.on[ShowProof]
        assert (await there.send(there.modern(TOKEN, LIST))).status == 200
        assert [one.role for one in there.daemon.opened] == ["front", "front", "gateway"]
        await there.until(lambda: len(there.daemon._links) == 2)  # noqa: SLF001 -- that the first is closed


async def test_who_left_before_the_daemon_said_whose_it_is_takes_nobody_s_stream(there: Near) -> None:
    async with AsyncExitStack() as stack:
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


async def test_a_modern_client_that_leaves_before_its_call_began_has_called_nothing(tmp_path: Path) -> None:
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
        assert there.daemon.count(Bind) == 2, "what is found out for all goes on"
        assert [bytes(one.arguments) for one in there.daemon.asks if isinstance(one, Decide)] == [
            b'{"text":"b"}'
        ]


async def test_who_leaves_before_its_session_began_takes_nobody_s_place(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("legacy", [True, False])
async def test_law_10_a_stream_is_closed_in_its_time_whatever_is_waited_for(
    tmp_path: Path, *, legacy: bool
) -> None:
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
        seat = seat_of(there)
        kept = (seat._open, seat.gateway._requests._listening)  # noqa: SLF001 -- that nothing is kept is the point
        assert kept == ({}, {})
        there.daemon.drop()  # the calls that wait for its answer end


async def test_a_seat_that_was_given_up_leaves_nothing_that_runs(tmp_path: Path) -> None:
    async with near(tmp_path, check=0.02, fresh=0.1, seat_idle=0.1) as there:
        await there.front._door.reached()  # noqa: SLF001 -- only what the seat leaves is the point
        before = len(asyncio.all_tasks())
        async with await there.wire() as wire:
            wire.send(there.modern(TOKEN, LISTEN))
            await wire.head()
        await there.until(lambda: not there.front._seats)  # noqa: SLF001 -- as above
        await there.until(lambda: not there.front._leaving)  # noqa: SLF001 -- as above
        await there.until(lambda: len(asyncio.all_tasks()) == before)


@pytest.mark.parametrize("legacy", [True, False])
async def test_while_a_client_does_not_read_its_stream_no_server_is_read(
    tmp_path: Path, *, legacy: bool
) -> None:
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


async def test_a_front_that_is_closed_opens_no_seat_for_what_it_was_asked_before(tmp_path: Path) -> None:
    async with near(tmp_path, echo()) as there, AsyncExitStack() as stack:
        assert (await there.call(TOKEN, "echo__echo", {"text": "a"})).text == "a"
        assert running(there)
        with there.daemon.holding(ShowProof) as held:
            await begun(there, stack, there.modern(OTHER, LIST))
            one = await held.next()
            closing = asyncio.create_task(there.front.close())
            await there.until(lambda: not there.front._connections)  # noqa: SLF001 -- that it is closing is the point
            one.answer(there.daemon.answer(one.ask))
            await closing
        assert not running(there)
        assert [one.token for one in there.daemon.opened] == ["", TOKEN]
        await there.until(lambda: not there.daemon._links)  # noqa: SLF001 -- that no connection is left


async def test_what_was_called_before_a_seat_was_given_up_is_answered(tmp_path: Path) -> None:
    async with near(tmp_path, echo(), check=0.02) as there, AsyncExitStack() as stack:
        with there.daemon.holding(Outcome) as held:
            wire = await begun(there, stack, there.calling(TOKEN, "echo__echo", {"text": "a"}))
            one = await held.next()
            seat = seat_of(there)
            there.daemon.on[Bind] = ended
            await there.until(lambda: seat.over is not None)
            await there.until(lambda: wire.reader.at_eof() or there.front._leaving == {seat})  # noqa: SLF001 -- as it ends
            one.answer(there.daemon.answer(one.ask))
        assert (await wire.answer()).text == "a"


async def test_a_front_that_is_closed_waits_for_seats_that_were_given_up_before(tmp_path: Path) -> None:
    async with near(tmp_path, echo(), check=0.02, fresh=100.0) as there, AsyncExitStack() as stack:
        with there.daemon.holding(Outcome) as held:
            await begun(there, stack, there.calling(TOKEN, "echo__echo", {"text": "a"}))
            await held.next()
            seat = seat_of(there)
            there.daemon.on[Bind] = ended
            await there.until(lambda: seat.over is not None)
        assert running(there)
        await there.front.close()
        assert not seat.gateway.runs_servers
