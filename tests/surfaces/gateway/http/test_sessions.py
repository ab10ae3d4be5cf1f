"""How long sessions are kept, and which one makes room."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.wire.action import Decide, Outcome
from tests.peers.commands import echo
from tests.surfaces.gateway.http.fronting import TOKEN, Clock, near
from tests.surfaces.gateway.http.test_giving_up import PATIENT, begun, old_stream, seat_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.gateway.http.fronting import Near

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("how", ["a stream that its client leaves", "a stream that is closed", "a call"])
async def test_a_session_was_used_until_what_was_open_in_it_ended(tmp_path: Path, how: str) -> None:
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
                    await there.initialize(TOKEN)  # what is open is not forgotten
                    one.answer(there.daemon.permit(one.ask))
                    assert (await wire.answer()).text == "a"
                else:
                    wire.send(old_stream(there, session))
                    await wire.head()
                    clock.pass_by(25)
                    await there.initialize(TOKEN)
                    if "closed" in how:
                        assert await wire.event() is None
        await there.until(lambda: kept.outside is None)
        assert (await there.send(ping)).status == 200
        clock.pass_by(25)
        assert (await there.send(ping)).status == 404


async def test_a_new_session_takes_the_place_of_one_that_is_forgotten_and_of_none_that_is_open(
    tmp_path: Path,
) -> None:
    clock = Clock()
    bounds: dict[str, Any] = {"sessions": 2, "session_idle": 20.0, "fresh": 1000.0}
    async with near(tmp_path, timings=PATIENT, **bounds) as there, AsyncExitStack() as stack:
        first = await there.initialize(TOKEN)
        wire = await begun(there, stack, old_stream(there, first))
        await wire.head()
        clock.pass_by(1)
        await there.initialize(TOKEN)
        clock.pass_by(25)
        await there.initialize(TOKEN)
        ping = there.legacy(TOKEN, {"id": 1, "method": "ping"}, first)
        assert (await there.send(ping)).status == 200


async def test_a_session_in_which_something_was_said_was_used_last(tmp_path: Path) -> None:
    async with near(tmp_path, sessions=2) as there:
        first, second = await there.initialize(TOKEN), await there.initialize(TOKEN)
        said = {"method": "notifications/initialized"}
        assert (await there.send(there.legacy(TOKEN, said, first))).status == 202
        await there.initialize(TOKEN)
        found = [await there.send(there.legacy(TOKEN, said, one)) for one in (first, second)]
        assert [one.status for one in found] == [202, 404]


async def test_the_end_of_a_session_cancels_what_is_open_in_it(tmp_path: Path) -> None:
    async with near(tmp_path, echo()) as there, AsyncExitStack() as stack:
        session = await there.initialize(TOKEN)
        params = {"name": "echo__echo", "arguments": {"text": "a"}}
        message = {"id": 1, "method": "tools/call", "params": params}
        with there.daemon.holding(Decide) as held:
            await begun(there, stack, there.legacy(TOKEN, message, session))
            one = await held.next()
            over = there.raw(TOKEN, b"", verb="DELETE", Mcp_Session_Id=session)
            assert (await there.send(over)).status == 200
            one.answer(there.daemon.permit(one.ask))
        assert (await there.daemon.asked(Outcome)).outcome == "not-sent"


async def test_a_refusal_within_a_session_is_no_status_and_a_stream_is_not_come_back_to(there: Near) -> None:
    session = await there.initialize(TOKEN)
    found = await there.send(there.legacy(TOKEN, {"id": 1, "method": "unknown/method"}, session))
    assert (found.status, found.json["error"]["code"]) == (200, -32601)
    listen = {"id": 1, "method": "subscriptions/listen", "params": {"notifications": {}}}
    found = await there.send(there.legacy(TOKEN, listen, session, Accept="application/json"))
    assert (found.status, found.json["error"]["code"]) == (200, -32601)
    back = there.raw(TOKEN, b"", verb="GET", Mcp_Session_Id=session, Last_Event_ID="1")
    assert (await there.send(back)).status == 405


async def test_a_call_that_is_refused_before_it_is_one_is_answered_by_its_id_and_recorded(
    there: Near,
) -> None:
    call = {"id": 7, "method": "tools/call", "params": {"name": "echo__echo", "arguments": {}}}
    found = await there.send(there.legacy(TOKEN, call, "nobody-s"))
    assert (found.status, found.code, found.json["id"]) == (404, "unknown-session", 7)
    twice = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"a":1,"a":2}}'
    found = await there.send(there.raw(TOKEN, twice))
    assert (found.status, found.code, found.json["id"]) == (400, "duplicate-key", 7)
    await there.until(lambda: there.refused == ["unknown-session", "duplicate-key"])


@pytest.mark.parametrize("request_id", [True, [1], {"id": 1}, None])
async def test_a_cancel_of_what_is_no_id_cancels_nothing(tmp_path: Path, request_id: object) -> None:
    async with near(tmp_path, echo()) as there, AsyncExitStack() as stack:
        session = await there.initialize(TOKEN)
        params = {"name": "echo__echo", "arguments": {"text": "a"}}
        message = {"id": 1, "method": "tools/call", "params": params}
        with there.daemon.holding(Decide) as held:
            wire = await begun(there, stack, there.legacy(TOKEN, message, session))
            one = await held.next()
            cancel = {"method": "notifications/cancelled", "params": {"requestId": request_id}}
            assert (await there.send(there.legacy(TOKEN, cancel, session))).status == 202
            one.answer(there.daemon.permit(one.ask))
        assert (await wire.answer()).text == "a"
