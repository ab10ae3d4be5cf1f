"""Calls that clients come back for, attacked: by ids used anew, answers of before, ends at a bad time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.surfaces.gateway.errands import requests
from taskbound.surfaces.gateway.outcomes import Outcomes
from taskbound.wire.action import Decide, Duplicate, Outcome, Reason, Refused, Withheld
from taskbound.wire.connection import Bind, Bound, StopPush, TaskPush
from taskbound.wire.mcp.message import IDEMPOTENCY_KEY
from taskbound.wire.tool import CoverCalls, Coverings
from tests.peers.commands import echo, faulty
from tests.surfaces.gateway.bench import bench, code_of, decision_of, reached, silence, text_of
from tests.surfaces.gateway.errands import coming_back

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.gateway.errands import Back

pytestmark = pytest.mark.anyio
CLIENTS = pytest.mark.parametrize("modern", [False, True], ids=["legacy", "modern"])
STOPS = pytest.mark.parametrize(
    ("push", "code"),
    [(TaskPush(task="tsk_1", state="paused"), "task-paused"), (StopPush(stopped=True), "stopped")],
    ids=["paused", "stopped"],
)
Message = dict[str, Any]
STORED = msgspec.Raw(b'{"content":[{"text":"of before","type":"text"}]}')


# --- one permit, used once ----------------------------------------------------------------------------------


@pytest.mark.parametrize("same", ["id", "key"])
async def test_a_call_that_runs_is_not_said_to_be_unsent_by_another_one_that_is_taken_for_it(
    same: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with coming_back(tmp_path, faulty("hangs", log=log), modern=False) as c:
        meta: Message = {"_meta": {IDEMPOTENCY_KEY: "once"}} if same == "key" else {}
        params = {"name": "odd__work", "arguments": {"text": "a"}, "task": {}} | meta
        name = (await c.b.request("tools/call", params))["result"]["task"]["taskId"]
        await c.b.until(lambda: bool(reached(log)))
        (first,) = [one for one in c.b.daemon.asks if isinstance(one, Decide)]
        with c.b.daemon.holding(Decide) as held:
            again = json.loads(first.request) if same == "id" else 77
            message = {"jsonrpc": "2.0", "id": again, "method": "tools/call", "params": params}
            del params["task"]
            await c.b.send(json.dumps(message).encode() + b"\n")
            await held.next()
            c.b.daemon.drop()
            two = await held.next()
            two.answer(Duplicate(action="act_1", task="tsk_1", state="permitted"))
            assert decision_of(await c.b.answer_to(again))["code"] == "duplicate"
        assert c.b.daemon.count(Outcome) == 0, "the first one runs"
        assert await c.status(name) == "working"


async def test_nor_is_one_whose_outcome_is_owed(c: Back) -> None:
    with c.b.daemon.holding(Outcome) as told, c.b.daemon.holding(Decide) as asked:
        name = await c.begin("echo__echo", {"text": "a"})
        one = await asked.next()
        one.answer(c.b.daemon.answer(one.ask))
        await told.next()
        again = json.loads(one.ask.request)
        params = {"name": "echo__echo", "arguments": {"text": "a"}}
        message = {"jsonrpc": "2.0", "id": again, "method": "tools/call", "params": params}
        await c.b.send(json.dumps(message).encode() + b"\n")
        await asked.next()
        c.b.daemon.drop()
        outcome, two = await told.next(), await asked.next()
        outcome.answer(Withheld(action="act_1", code="disk-full", reason="no", recorded=False))
        errand = c.b.gateway._calls.errands.find(name, modern=False)  # noqa: SLF001 -- to see the first one end
        await c.b.until(errand.over.is_set)
        two.answer(Duplicate(action="act_1", task="tsk_1", state="permitted"))
        assert decision_of(await c.b.answer_to(again))["code"] == "duplicate"
    assert {one.outcome for one in c.b.daemon.asks if isinstance(one, Outcome)} == {"succeeded"}


# --- what was released once ---------------------------------------------------------------------------------


async def test_a_stored_answer_is_confirmed_as_any_that_a_server_gave(c: Back) -> None:
    c.b.daemon.on[Decide] = lambda _: Duplicate(
        action="act_1", task="tsk_1", state="succeeded", answer=STORED
    )
    name = await c.begin("echo__echo", {"text": "a"})
    assert text_of(await c.result(name)) == "of before"
    c.b.daemon.on[CoverCalls] = lambda _: Coverings(covered=(), refusal="not now", code="task-paused")
    assert code_of(await c.result(name)) == "task-paused"
    c.b.daemon.on[CoverCalls] = lambda _: Coverings(covered=())
    assert code_of(await c.result(name)) == "mcp-task-uncovered"


@STOPS
async def test_a_stored_answer_that_is_kept_is_withheld_for_good(
    push: TaskPush | StopPush, code: str, c: Back
) -> None:
    c.b.daemon.on[Decide] = lambda _: Duplicate(
        action="act_1", task="tsk_1", state="succeeded", answer=STORED
    )
    name = await c.begin("echo__echo", {"text": "a"})
    assert text_of(await c.result(name)) == "of before"
    c.b.daemon.push(push)
    c.b.daemon.push(TaskPush(task="tsk_1", state="running"))
    await c.b.until(lambda: c.b.gateway._calls.errands.find(name, modern=False).call.cause is not None)  # noqa: SLF001 -- to see the push arrive
    assert decision_of(await c.result(name))["code"] == code


@pytest.mark.parametrize("waited", [False, True], ids=["fetched", "waited-for"])
@STOPS
async def test_what_stops_calls_while_an_outcome_is_recorded_withholds_what_is_kept(
    push: TaskPush | StopPush, code: str, c: Back, *, waited: bool
) -> None:
    with c.b.daemon.holding(Outcome) as held:
        name = await c.begin("echo__echo", {"text": "canary"})
        one = await held.next()
        request = await c.asking("tasks/result", name) if waited else 0
        await silence(c.b)
        c.b.daemon.push(push)
        call = c.b.gateway._calls.errands.find(name, modern=False).call  # noqa: SLF001 -- to see the push arrive
        await c.b.until(lambda: call.cause is not None)
        one.answer(c.b.daemon.answer(one.ask))
    c.b.daemon.push(TaskPush(task="tsk_1", state="running"))
    found = await (c.b.answer_to(request) if waited else c.result(name))
    assert decision_of(found)["code"] == code
    assert not any(b"canary" in line for line in c.b.lines)


async def test_a_task_s_end_while_an_outcome_is_recorded_gives_nothing_to_who_waits(c: Back) -> None:
    with c.b.daemon.holding(Outcome) as held:
        name = await c.begin("echo__echo", {"text": "canary"})
        one = await held.next()
        request = await c.asking("tasks/result", name)
        await silence(c.b)
        c.b.daemon.push(TaskPush(task="tsk_1", state="revoked"))
        await c.b.until(lambda: bool(c.b.gateway._standing.untold))  # noqa: SLF001 -- to see the push arrive
        one.answer(c.b.daemon.answer(one.ask))
    assert code_of(await c.b.answer_to(request)) == "task-ended"
    assert not any(b"canary" in line for line in c.b.lines)


@CLIENTS
@pytest.mark.parametrize(
    ("server", "tool", "status"),
    [(echo(), "echo", "completed"), (faulty("error-with-orders"), "work", "failed")],
    ids=["result", "error"],
)
async def test_what_is_withheld_after_its_end_has_ended_as_before(
    server: list[str],
    tool: str,
    status: str,
    modern: bool,  # noqa: FBT001 -- a parameter
    tmp_path: Path,
) -> None:
    async with coming_back(tmp_path, server, modern=modern) as c:
        with c.b.daemon.holding(Outcome) as held:
            name = await c.begin(f"odd__{tool}", {"text": "a"})
            one = await held.next()
            one.answer(c.b.daemon.answer(one.ask))
        assert (await c.until(name))["status"] == status
        c.b.daemon.push(TaskPush(task="tsk_1", state="paused"))
        call = c.b.gateway._calls.errands.find(name, modern=modern).call  # noqa: SLF001 -- to see the push arrive
        await c.b.until(lambda: call.cause is not None)
        found = await c.result(name)
        code = code_of(found) if modern and status == "failed" else decision_of(found)["code"]
        assert code == "task-paused"
        assert await c.status(name) == status, "MCP: an end is followed by no other"


# --- who waits, and is gone ---------------------------------------------------------------------------------


async def test_who_wants_a_result_no_more_before_the_daemon_has_said_so_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_WAITING", 1)
    log = tmp_path / "log"
    async with coming_back(tmp_path, faulty("hangs", log=log), modern=False) as c:
        name = await c.begin("odd__work", {"text": "a"})
        await c.b.until(lambda: bool(reached(log)))
        with c.b.daemon.holding(CoverCalls) as held:
            request = await c.asking("tasks/result", name)
            one = await held.next()
            await c.b.cancel(request)
            await silence(c.b)
            one.answer(c.b.daemon.answer(one.ask))
        waiting = c.b.gateway._requests._errands._waiting  # noqa: SLF001 -- what is kept is nobody else's to see
        await c.b.until(lambda: not waiting)
        again = await c.asking("tasks/result", name)
        await c.b.until(lambda: again in waiting)
        await c.ask("tasks/cancel", name)
        assert "result" in await c.b.answer_to(again)


# --- what counts --------------------------------------------------------------------------------------------


@CLIENTS
@pytest.mark.parametrize("settled", [False, True], ids=["works", "settled"])
async def test_what_was_cancelled_and_is_gone_leaves_no_more_room_than_there_was(
    settled: bool,  # noqa: FBT001 -- a parameter
    modern: bool,  # noqa: FBT001 -- a parameter
    tmp_path: Path,
) -> None:
    async with coming_back(tmp_path, faulty("hangs"), modern=modern) as c:
        calls = c.b.gateway._calls  # noqa: SLF001 -- what is kept is nobody else's to see
        name = await c.begin("odd__work", {"text": "a" * 100_000})
        errand = calls.errands.find(name, modern=modern)
        await c.ask("tasks/cancel", name)
        if settled:
            await c.b.until(lambda: not calls.count)
        calls.errands._expire(errand)  # noqa: SLF001 -- its time is over
        await c.b.until(lambda: not calls.count)
        assert (len(calls.errands), calls.errands._kept) == (0, 0)  # noqa: SLF001 -- as above


# --- what is gone, over or another's ------------------------------------------------------------------------


@CLIENTS
async def test_what_goes_while_the_daemon_is_asked_is_not_given_out(*, modern: bool, c: Back) -> None:
    with c.b.daemon.holding(Outcome) as told:
        name = await c.begin("echo__echo", {"text": "canary"})
        one = await told.next()
        one.answer(c.b.daemon.answer(one.ask))
    errands = c.b.gateway._calls.errands  # noqa: SLF001 -- to have its time end just then
    errand = errands.find(name, modern=modern)
    await c.b.until(errand.over.is_set)
    with c.b.daemon.holding(CoverCalls) as held:
        request = await c.asking("tasks/get" if modern else "tasks/result", name)
        ask = await held.next()
        errands._expire(errand)  # noqa: SLF001 -- as above
        ask.answer(c.b.daemon.answer(ask.ask))
    assert code_of(await c.b.answer_to(request)) == "unknown-mcp-task"
    assert not any(b"canary" in line for line in c.b.lines)


async def test_who_has_cancelled_is_not_told_to_come_back(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with coming_back(tmp_path, faulty("hangs", log=log), modern=True, patience=60.0) as c:
        request = await c.start("odd__work", {"text": "a"})
        await c.b.until(lambda: bool(reached(log)))
        calls = c.b.gateway._calls  # noqa: SLF001 -- to have its patience end just then
        call = calls.open[request]
        await c.b.cancel(request)
        await c.b.until(lambda: call.cause is not None)
        calls.errands.defer(call)
        assert len(calls.errands) == 0
        await c.b.until(lambda: not calls.count)
        await silence(c.b)
        assert not any(json.loads(line).get("id") == request for line in c.b.lines)


@CLIENTS
async def test_what_is_of_one_task_is_not_withheld_by_another_s_pause(c: Back) -> None:
    with c.b.daemon.holding(Outcome) as told:
        name = await c.begin("echo__echo", {"text": "a"})
        one = await told.next()
        one.answer(c.b.daemon.answer(one.ask))
    assert (await c.until(name))["status"] == "completed"
    c.b.daemon.push(TaskPush(task="tsk_2", state="paused"))
    c.b.daemon.push(TaskPush(task="tsk_1", state="running"))
    await silence(c.b)
    assert text_of(await c.result(name)) == "a"


async def test_a_refusal_of_the_first_call_is_of_its_task_too(c: Back) -> None:
    why = (Reason(code="outside-scope", text="canary"),)
    c.b.daemon.on[Decide] = lambda _: Refused(
        code="outside-scope", action="act_1", task="tsk_1", reasons=why, instead=""
    )
    name = await c.begin("echo__echo", {"text": "a"})
    errand = c.b.gateway._calls.errands.find(name, modern=False)  # noqa: SLF001 -- the client has not got it yet
    await c.b.until(errand.over.is_set)
    c.b.daemon.on[Bind] = lambda _: Bound(task="tsk_2", purpose="", deadline=1)
    assert code_of(await c.result(name)) == "unknown-mcp-task"
    assert not any(b"canary" in line for line in c.b.lines)


async def test_what_was_cancelled_stays_so_whatever_comes_before_its_server_has_answered(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with coming_back(tmp_path, faulty("hangs", log=log), modern=False) as c:
        name = await c.begin("odd__work", {"text": "a"})
        await c.b.until(lambda: bool(reached(log)))
        await c.ask("tasks/cancel", name)
        c.b.daemon.push(TaskPush(task="tsk_1", state="paused"))
        await c.b.notified("notifications/tools/list_changed")
        assert decision_of(await c.result(name))["code"] == "cancelled"
        assert await c.status(name) == "cancelled"


async def test_of_the_cursors_of_lists_the_oldest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PAGE", 1)
    async with coming_back(tmp_path, echo(), modern=False, name="echo") as c:
        for _ in range(2):
            await c.begin("echo__echo", {"text": "a"})
        cursors = [(await c.ask("tasks/list"))["result"]["nextCursor"] for _ in range(9)]
        assert code_of(await c.ask("tasks/list", cursor=cursors[0])) == "bad-cursor"
        assert len((await c.ask("tasks/list", cursor=cursors[1]))["result"]["tasks"]) == 1


async def test_a_status_is_told_to_nobody_who_has_not_begun(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(), handshake=False) as b:
        who = {"name": "bench", "version": "1"}
        terms = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": who}
        assert "result" in await b.request("initialize", terms)
        params = {"name": "echo__echo", "arguments": {"text": "a"}, "task": {}}
        name = (await b.request("tools/call", params))["result"]["task"]["taskId"]
        assert text_of(await b.request("tasks/result", {"taskId": name})) == "a"
        assert not any(b"notifications/tasks/status" in line for line in b.lines)


async def test_a_status_is_not_told_while_the_daemon_is_away(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with coming_back(tmp_path, faulty("hangs", log=log), modern=False) as c:
        name = await c.begin("odd__work", {"text": "a"})
        await c.b.until(lambda: bool(reached(log)))
        errand = c.b.gateway._calls.errands.find(name, modern=False)  # noqa: SLF001 -- nobody can be asked about it
        await c.b.daemon.stop()
        await c.b.until(errand.over.is_set)
        await c.b.daemon.listen()
        await silence(c.b)
        assert not any(b"notifications/tasks/status" in line for line in c.b.lines)


@CLIENTS
async def test_a_cancel_takes_effect_whatever_the_daemon_says(modern: bool, tmp_path: Path) -> None:  # noqa: FBT001 -- a parameter
    log = tmp_path / "log"
    async with coming_back(tmp_path, faulty("hangs", log=log), modern=modern) as c:
        name = await c.begin("odd__work", {"text": "a"})
        await c.b.until(lambda: bool(reached(log)))
        with c.b.daemon.holding(CoverCalls) as held:
            request = await c.asking("tasks/cancel", name)
            one = await held.next()
            await c.b.until(lambda: b'"notifications/cancelled"' in log.read_bytes())
            one.answer(Coverings(covered=(), refusal="not now", code="task-paused"))
        assert code_of(await c.b.answer_to(request)) == "task-paused"
        assert await c.status(name) == "cancelled"


@CLIENTS
async def test_what_nobody_foresaw_is_found_out_by_the_name_and_answers_no_request_twice(
    modern: bool,  # noqa: FBT001 -- a parameter
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def surprised(*_: object) -> None:
        raise RuntimeError("nobody foresaw this")

    log = tmp_path / "log"
    async with coming_back(tmp_path, faulty("hangs", log=log), modern=modern) as c:
        request = await c.start("odd__work", {"text": "a"})
        answer = await c.b.answer_to(request)
        name = answer["result"]["taskId"] if modern else answer["result"]["task"]["taskId"]
        await c.b.until(lambda: bool(reached(log)))
        monkeypatch.setattr(Outcomes, "settle", surprised)
        upstream = c.b.running("odd").upstream
        assert upstream is not None
        upstream.kill("enough")
        assert (await c.until(name))["status"] == "failed"
        assert (await c.result(name))["error"]["code"] == -32603
        await silence(c.b)
        assert (
            sum(
                json.loads(line).get("id") in {request, None} and b'"method"' not in line
                for line in c.b.lines
            )
            == 1
        )
