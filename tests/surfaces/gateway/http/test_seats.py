from __future__ import annotations

from pathlib import Path

import pytest

from taskbound.surfaces.gateway.http.seat import ShownToken
from taskbound.wire.action import Decide, Outcome
from taskbound.wire.connection import Bind, Bound, Fault, Open, Seated, ShowProof, TaskPush
from taskbound.wire.mcp.message import MODERN
from tests.peers.commands import echo
from tests.peers.daemon import FAR
from tests.surfaces.gateway.http.fronting import OTHER, TASKS, TOKEN, Near, near

pytestmark = pytest.mark.anyio

LIST = {"method": "tools/list"}
LISTEN = {"method": "subscriptions/listen", "params": {"notifications": {"toolsListChanged": True}}}


@pytest.mark.parametrize("code", ["unknown-token", "token-revoked", "task-ended", "task-expired"])
async def test_a_token_that_the_daemon_refuses_is_refused_by_that_name(there: Near, code: str) -> None:
    there.daemon.on[ShowProof] = lambda _: Fault(code=code, message="no", family="unproven")
    for _ in range(3):
        found = await there.send(there.modern(TOKEN, LIST))
        assert (found.status, found.code) == (401, code)
    assert [type(one) for one in there.daemon.asks] == [Open, *[ShowProof] * 3]
    assert there.front._seats == {}  # noqa: SLF001 -- that nothing is kept is the point


async def test_a_task_that_the_daemon_opens_no_connection_for_is_refused_by_that_name(there: Near) -> None:
    there.daemon.on[Open] = lambda ask: (
        Fault(code="task-ended", message="no") if ask.role == "gateway" else None
    )
    for _ in range(2):
        found = await there.send(there.modern(TOKEN, LIST))
        assert (found.status, found.code) == (401, "task-ended")
    assert there.front._seats == {}  # noqa: SLF001 -- that nothing is kept is the point


async def test_each_task_has_a_connection_of_its_own_and_keeps_it_for_all_its_tokens(there: Near) -> None:
    there.daemon.tasks = TASKS | {"renewed": "tsk_1"}
    for token in (TOKEN, OTHER, TOKEN, "renewed", OTHER):
        assert (await there.send(there.modern(token, LIST))).status == 200
    seats = [one for one in there.daemon.opened if one.role == "gateway"]
    assert [(one.agent, one.token) for one in seats] == [("coder", TOKEN), ("coder", OTHER)]


async def test_a_connection_that_broke_is_opened_with_the_token_that_holds_longest_or_the_next(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, check=0.05) as there:
        ends = {"first": 1, "second": 3, "third": 2}

        def seated(ask: ShowProof) -> Seated:
            text = ask.shown.authorization.removeprefix("Bearer ")
            return Seated(task="tsk_1", token=f"tok_{text}", until=ends[text])

        there.daemon.on[ShowProof] = seated
        for token in ends:
            assert (await there.send(there.modern(token, LIST))).status == 200
        there.daemon.on[Open] = lambda ask: (
            Fault(code="token-revoked", message="no") if ask.token == "second" else None
        )
        there.daemon.drop()

        def tried() -> list[str]:
            return [one.token for one in there.daemon.asks if isinstance(one, Open) and one.token]

        await there.until(lambda: len(tried()) > 2)
        assert tried() == ["first", "second", "third"]


async def test_a_seat_keeps_the_sixteen_tokens_that_hold_longest(there: Near) -> None:
    there.daemon.on[ShowProof] = lambda ask: Seated(
        task="tsk_1",
        token=(text := ask.shown.authorization.removeprefix("Bearer ")),
        until=FAR - int(text),
    )
    for number in range(20):
        assert (await there.send(there.modern(str(number), LIST))).status == 200
    (seat,) = there.front._seats.values()  # noqa: SLF001 -- what is kept is the point
    assert [number for number in range(20) if seat.holds(str(number))] == list(range(16))


def test_a_token_that_is_held_does_not_show_its_text() -> None:
    held = ShownToken(text="the.secret", name="tok_1", until=1)
    assert (repr(held), f"{held}") == ("Held('tok_1')", "Held('tok_1')")


async def test_a_daemon_that_is_lost_has_refused_no_token(there: Near) -> None:
    ends = {"first": 1, "second": 3, "third": 2}

    def seated(ask: ShowProof) -> Seated:
        text = ask.shown.authorization.removeprefix("Bearer ")
        return Seated(task="tsk_1", token=f"tok_{text}", until=ends[text])

    there.daemon.on[ShowProof] = seated
    for token in ends:
        assert (await there.send(there.modern(token, LIST))).status == 200
    tried: list[str] = []

    def lost(ask: Open) -> None:
        tried.append(ask.token)
        there.daemon.drop()

    there.daemon.on[Open] = lost
    there.daemon.drop()
    await there.until(lambda: len(tried) > 2)
    assert set(tried) == {"second"}


async def test_a_call_names_the_token_that_it_came_with(tmp_path: Path) -> None:
    async with near(tmp_path, echo()) as there:
        there.daemon.on[ShowProof] = lambda ask: Seated(
            task="tsk_1", token=f"tok_{ask.shown.authorization.removeprefix('Bearer ')}", until=FAR
        )
        for token in ("one", "two", "one"):
            assert (await there.call(token, "echo__echo", {"text": "a"})).text == "a"
        named = [one.token for one in there.daemon.asks if isinstance(one, Decide)]
        assert named == ["tok_one", "tok_two", "tok_one"]


@pytest.mark.parametrize("how", ["expired", "ended"])
async def test_a_stream_is_closed_once_its_token_is_over_and_those_of_others_stay(
    tmp_path: Path, how: str
) -> None:
    async with near(tmp_path, check=0.05) as there:
        there.daemon.on[ShowProof] = lambda ask: Seated(
            task="tsk_1", token=f"tok_{ask.shown.authorization.removeprefix('Bearer ')}", until=FAR
        )
        session = await there.initialize("one")
        async with await there.wire() as first, await there.wire() as second, await there.wire() as old:
            first.send(there.modern("one", LISTEN))
            second.send(there.modern("two", LISTEN))
            old.send(there.raw("one", b"", verb="GET", Accept="text/event-stream", Mcp_Session_Id=session))
            for wire in (first, second, old):
                assert (await wire.head()).status == 200
            await first.event()
            await second.event()
            over: dict[str, tuple[str, ...]] = {how: ("tok_one",)}
            there.daemon.on[Bind] = lambda _: Bound(task="tsk_1", purpose="", deadline=FAR, **over)
            assert await first.event() is None
            assert await old.event() is None
            there.daemon.push(TaskPush(task="tsk_1", state="running"))
            assert (await second.event()) is not None
        again = await there.send(there.legacy("two", {"id": 1, "method": "ping"}, session))
        assert again.status == 200, "a session outlives the token that began it"


@pytest.mark.parametrize(("how", "outcome"), [("expired", "succeeded"), ("ended", "not-sent")])
async def test_a_call_is_cancelled_when_its_token_is_taken_away_and_not_when_it_runs_out(
    tmp_path: Path, how: str, outcome: str
) -> None:
    async with near(tmp_path, echo(), check=0.05) as there, await there.wire() as wire:
        with there.daemon.holding(Decide) as held:
            wire.send(there.calling(TOKEN, "echo__echo", {"text": "a"}))
            one = await held.next()
            over: dict[str, tuple[str, ...]] = {how: ("tok_tsk_1",)}
            told: list[tuple[str, ...]] = []

            def bound(ask: Bind) -> Bound:
                told.append(ask.tokens)
                return Bound(task="tsk_1", purpose="", deadline=FAR, **over)

            there.daemon.on[Bind] = bound
            await there.until(
                lambda: told.count(("tok_tsk_1",)) > 1 or (("tok_tsk_1",) in told and () in told)
            )
            one.answer(there.daemon.permit(one.ask))
            assert (await there.daemon.asked(Outcome)).outcome == outcome


async def test_without_a_daemon_nobody_is_served_and_with_one_they_are(there: Near) -> None:
    await there.daemon.stop()
    found = await there.send(there.modern(TOKEN, LIST))
    assert (found.status, found.code) == (503, "daemon-lost")
    await there.daemon.listen()
    assert (await there.send(there.modern(TOKEN, LIST))).status == 200


async def test_a_stream_tells_of_changes_and_ends_with_its_task(there: Near) -> None:
    async with await there.wire() as wire:
        wire.send(there.modern(TOKEN, LISTEN | {"id": "s"}))
        head = await wire.head()
        assert (head.status, head.headers["x-accel-buffering"]) == (200, "no")
        first = await wire.event()
        assert first is not None
        assert first["method"] == "notifications/subscriptions/acknowledged"
        await there.until(lambda: Bind in map(type, there.daemon.asks))
        there.daemon.push(TaskPush(task="tsk_1", state="running"))
        changed = await wire.event()
        assert changed is not None
        assert changed["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "s"}
        call = await there.call(TOKEN, "echo__none", {})  # binds the gateway to its task
        assert call.status == 200
        there.daemon.on[ShowProof] = lambda _: Fault(code="task-ended", message="it has ended")
        there.daemon.push(TaskPush(task="tsk_1", state="ended", reason="enough"))
        while await wire.event() is not None:
            pass
        after = await there.send(there.modern(TOKEN, LIST))
        assert (after.status, after.code) == (401, "task-ended")


@pytest.mark.parametrize("code", ["task-expired", "task-ended"])
async def test_an_open_stream_is_closed_once_its_task_is_over_though_nobody_says_so(
    tmp_path: Path, code: str
) -> None:
    async with near(tmp_path, check=0.05) as there, await there.wire() as wire:
        wire.send(there.modern(TOKEN, LISTEN))
        await wire.head()
        await wire.event()
        there.daemon.on[Bind] = lambda _: Fault(code=code, message="no")
        there.daemon.on[ShowProof] = lambda _: Fault(code=code, message="no", family="unproven")
        assert await wire.event() is None
        after = await there.send(there.modern(TOKEN, LIST))
        assert (after.status, after.code) == (401, code)


async def test_an_open_stream_is_closed_when_nobody_says_any_more_whether_it_may_be_open(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, check=0.05, fresh=0.2) as there, await there.wire() as wire:
        wire.send(there.modern(TOKEN, LISTEN))
        await wire.head()
        await wire.event()
        there.daemon.silent = True
        while await wire.event() is not None:
            pass


async def test_what_is_listened_for_needs_a_stream(there: Near) -> None:
    found = await there.send(there.modern(TOKEN, LISTEN, Accept="application/json"))
    assert (found.status, found.code) == (406, "not-acceptable")


async def test_a_modern_client_that_goes_away_has_cancelled_and_a_legacy_one_has_not(tmp_path: Path) -> None:
    async with near(tmp_path, echo()) as there:
        with there.daemon.holding(Decide) as held:
            async with await there.wire() as wire:
                wire.send(there.calling(TOKEN, "echo__echo", {"text": "a"}))
                one = await held.next()
            one.answer(there.daemon.permit(one.ask))
            told = await there.daemon.asked(Outcome)
            assert (told.outcome, told.note) == ("not-sent", "cancelled by the client")
            session = await there.initialize(TOKEN)
            params = {"name": "echo__echo", "arguments": {"text": "b"}}
            async with await there.wire() as wire:
                message = {"id": 1, "method": "tools/call", "params": params}
                wire.send(there.legacy(TOKEN, message, session))
                one = await held.next()
            one.answer(there.daemon.permit(one.ask))
            told = await there.daemon.asked(Outcome)
            assert told.outcome == "succeeded"


async def test_a_legacy_client_cancels_what_is_open_in_its_session_and_nothing_else(tmp_path: Path) -> None:
    async with near(tmp_path, echo()) as there:
        first, second = await there.initialize(TOKEN), await there.initialize(TOKEN)
        params = {"name": "echo__echo", "arguments": {"text": "a"}}
        message = {"id": 1, "method": "tools/call", "params": params}
        cancel = {"method": "notifications/cancelled", "params": {"requestId": 1}}
        with there.daemon.holding(Decide) as held:
            async with await there.wire() as one, await there.wire() as other:
                one.send(there.legacy(TOKEN, message, first))
                first_held = await held.next()
                other.send(there.legacy(TOKEN, message, second))
                second_held = await held.next()
                again = await there.send(there.legacy(TOKEN, message, first))
                assert (again.status, again.code) == (400, "id-reused")
                assert (await there.send(there.legacy(TOKEN, cancel, second))).status == 202
                first_held.answer(there.daemon.permit(first_held.ask))
                second_held.answer(there.daemon.permit(second_held.ask))
                assert (await one.answer()).text == "a"
                ended = await other.answer()
                assert (ended.status, ended.events) == (200, [])


async def test_the_session_of_another_task_is_none(there: Near) -> None:
    session = await there.initialize(TOKEN)
    for raw in (
        there.legacy(OTHER, {"id": 1, "method": "tools/list"}, session),
        there.raw(OTHER, b"", verb="DELETE", Mcp_Session_Id=session),
        there.legacy(TOKEN, {"id": 1, "method": "tools/list"}, f"{session}x"),
    ):
        found = await there.send(raw)
        assert (found.status, found.code) == (404, "unknown-session")
    none = await there.send(there.legacy(TOKEN, {"id": 1, "method": "tools/list"}))
    assert (none.status, none.code) == (400, "no-session")
    assert (await there.send(there.legacy(TOKEN, {"id": 1, "method": "tools/list"}, session))).status == 200
    modern = there.raw(TOKEN, b"", verb="DELETE", Mcp_Session_Id=session, MCP_Protocol_Version=MODERN)
    assert (await there.send(modern)).status == 405


async def test_sessions_have_a_bound_and_the_one_that_was_used_least_lately_makes_room(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, sessions=2) as there:
        first, second = await there.initialize(TOKEN), await there.initialize(TOKEN)
        assert (await there.send(there.legacy(TOKEN, {"id": 1, "method": "ping"}, first))).status == 200
        third = await there.initialize(TOKEN)
        found = [
            (await there.send(there.legacy(TOKEN, {"id": 1, "method": "ping"}, one))).status
            for one in (first, second, third)
        ]
        assert found == [200, 404, 200]


async def test_what_is_malformed_is_refused_as_on_a_pipe_and_recorded(there: Near) -> None:
    call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a__b","name":"c__d"}}'
    cases = [
        (call, "duplicate-key"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}]', "batch"),
        (b'{"jsonrpc":"2.0","id":1.0,"method":"tools/call","params":{}}', "bad-id"),
        (b'{"jsonrpc":"2.0","method":"tools/call","params":{}}', "no-session"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":NaN}}', "not-finite"),
        (b'{"jsonrpc":"2.0","id":1,\n"method":"tools/call",\n"params":{}}trailing', "trailing-data"),
        (b"\xff", "not-utf8"),
        (b"", "empty-document"),
    ]
    for body, code in cases:
        found = await there.send(there.raw(TOKEN, body))
        assert (found.status, found.code) == (400, code), body
    assert there.refused == [code for _, code in cases]
    body = b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a__b"}}'
    raw = there.raw(TOKEN, body, MCP_Protocol_Version=MODERN, Mcp_Method="tools/call", Mcp_Name="a__b")
    lost = await there.send(raw)  # a request that lost its id would run without an answer
    assert (lost.status, lost.code) == (400, "bad-id")
    assert there.refused[-1] == "bad-id"


async def test_a_seat_that_nobody_uses_is_given_up_and_taken_again(tmp_path: Path) -> None:
    async with near(tmp_path, check=0.02, seat_idle=0.1) as there:
        assert (await there.send(there.modern(TOKEN, LIST))).status == 200
        await there.until(lambda: not there.front._seats)  # noqa: SLF001 -- that nothing is kept is the point
        assert (await there.send(there.modern(TOKEN, LIST))).status == 200


async def test_so_many_tasks_are_served_at_once_and_no_more(tmp_path: Path) -> None:
    async with near(tmp_path, seats=1) as there:
        assert (await there.send(there.modern(TOKEN, LIST))).status == 200
        found = await there.send(there.modern(OTHER, LIST))
        assert (found.status, found.code) == (503, "front-full")
        assert (await there.send(there.modern(TOKEN, LIST))).status == 200
