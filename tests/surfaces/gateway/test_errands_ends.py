"""Calls that clients come back for end with their task; each request about them is the daemon's to allow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.surfaces.gateway import requests as gateway_requests
from taskbound.surfaces.gateway.errands import kept, requests
from taskbound.wire.action import Decide, Outcome, Reason, Refused
from taskbound.wire.connection import Bind, Bound, StopPush, TaskPush
from taskbound.wire.tool import CoverCalls, Coverings
from tests.peers.commands import echo, faulty
from tests.surfaces.gateway.bench import code_of, decision_of, reached, silence, text_of
from tests.surfaces.gateway.errands import coming_back
from tests.surfaces.gateway.real import real

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.surfaces.gateway.errands import Back


pytestmark = pytest.mark.anyio
Message = dict[str, Any]
CLIENTS = pytest.mark.parametrize("modern", [False, True], ids=["legacy", "modern"])
STOPS = pytest.mark.parametrize(
    ("push", "code"),
    [
        (TaskPush(task="tsk_1", state="paused"), "task-paused"),
        (StopPush(stopped=True), "stopped"),
    ],
    ids=["paused", "stopped"],
)


def answering(code: str, words: str = "no") -> Callable[[CoverCalls], Coverings]:
    """A daemon that refuses what it is asked about."""
    return lambda _: Coverings(covered=(), refusal=words, code=code)


async def unasked(c: Back, text: str = "a") -> str:
    """The name of a call that is over, and that nobody has asked for."""
    with c.b.daemon.holding(Outcome) as held:
        name = await c.begin("echo__echo", {"text": text})
        one = await held.next()
        one.answer(c.b.daemon.answer(one.ask))
    errand = c.b.gateway._calls.errands.find(name, modern=c.modern)  # noqa: SLF001 -- who asks changes what is kept
    await c.b.until(errand.over.is_set)
    return name


async def done(c: Back) -> str:
    """The name of a call whose result is there."""
    name = await unasked(c)
    assert await c.status(name) == "completed"
    return name


async def every(c: Back, name: str) -> list[Message]:
    """The answers to each request that can name a call."""
    methods = ["tasks/get", "tasks/update", "tasks/cancel"] if c.modern else ["tasks/get", "tasks/result"]
    more: Message = {"tasks/update": {"inputResponses": {}}}
    return [await c.ask(method, name, **more.get(method, {})) for method in methods]


# --- each request is the daemon's to allow ------------------------------------------------------------------


@CLIENTS
async def test_each_request_has_the_daemon_say_that_the_call_still_stands(c: Back) -> None:
    name = await done(c)
    before = c.b.daemon.count(CoverCalls)
    answers = await every(c, name)
    asked = [one for one in c.b.daemon.asks if isinstance(one, CoverCalls)][before:]
    assert len(asked) == len(answers)
    assert {(one.tool, one.task, bytes(one.calls[0])) for one in asked} == {
        ("echo__echo", "tsk_1", b'{"text":"a"}')
    }


@pytest.mark.parametrize("code", ["task-paused", "stopped", "agent-inactive", "unknown-tool"])
@CLIENTS
async def test_what_the_daemon_refuses_is_answered_with_its_word_and_gives_nothing(
    code: str, c: Back
) -> None:
    name = await done(c)
    c.b.daemon.on[CoverCalls] = answering(code, "not now")
    for answer in await every(c, name):
        assert (answer["error"]["code"], code_of(answer)) == (-32603, code)
        assert answer["error"]["message"] == "not now"
    del c.b.daemon.on[CoverCalls]
    assert text_of(await c.result(name)) == "a"


@CLIENTS
async def test_what_the_scope_does_not_cover_any_more_is_not_given_out(*, modern: bool, c: Back) -> None:
    name = await done(c)
    c.b.daemon.on[CoverCalls] = lambda _: Coverings(covered=())
    for answer in await every(c, name):
        assert code_of(answer) == "mcp-task-uncovered"
    if not modern:
        assert (await c.ask("tasks/list"))["result"]["tasks"] == []


@CLIENTS
async def test_a_call_of_another_task_is_one_that_never_was(c: Back) -> None:
    name = await done(c)
    unknown = await every(c, "x" * 43)
    c.b.daemon.on[CoverCalls] = answering("other-task", "another")
    for answer, other in zip(await every(c, name), unknown, strict=True):
        assert (answer["error"]["code"], code_of(answer)) == (-32602, "unknown-mcp-task")
        assert answer["error"] == other["error"], "one and the same"


async def test_a_name_is_good_in_one_revision_alone(c: Back) -> None:
    name = await done(c)
    c.modern = True
    for answer in await every(c, name):
        assert code_of(answer) == "unknown-mcp-task"
    assert c.b.daemon.count(CoverCalls) == 1


@CLIENTS
async def test_without_the_daemon_nothing_is_given_out(c: Back) -> None:
    name = await done(c)
    await c.b.daemon.stop()
    for answer in await every(c, name):
        assert "error" in answer
        assert code_of(answer) != "unknown-mcp-task"
    await c.b.daemon.listen()


async def test_a_pause_that_comes_while_the_daemon_is_asked_withholds_the_result(c: Back) -> None:
    name = await done(c)
    with c.b.daemon.holding(CoverCalls) as held:
        request = await c.asking("tasks/result", name)
        one = await held.next()
        c.b.daemon.push(TaskPush(task="tsk_1", state="paused"))
        await c.b.notified("notifications/tools/list_changed")
        one.answer(c.b.daemon.answer(one.ask))
    assert decision_of(await c.b.answer_to(request))["code"] == "task-paused"


async def test_who_has_waited_is_confirmed_once_more(c: Back) -> None:
    with c.b.daemon.holding(Outcome) as held:
        name = await c.begin("echo__echo", {"text": "a"})
        one = await held.next()
        request = await c.asking("tasks/result", name)
        await silence(c.b)
        c.b.daemon.on[CoverCalls] = lambda _: Coverings(covered=())
        one.answer(c.b.daemon.answer(one.ask))
    assert code_of(await c.b.answer_to(request)) == "mcp-task-uncovered"


async def test_of_a_call_that_was_never_sent_the_task_alone_is_confirmed(tmp_path: Path) -> None:
    def refuse(_: Decide) -> Refused:
        why = (Reason(code="outside-scope", text="no"),)
        return Refused(code="outside-scope", action="act_9", task="tsk_1", reasons=why, instead="")

    async with coming_back(tmp_path, echo(), modern=False, name="echo") as c:
        assert text_of(await c.b.call("echo__echo", {"text": "a"})) == "a"
        c.b.daemon.on[Decide] = refuse
        name = await c.begin("echo__echo", {"text": "b"})
        assert decision_of(await c.result(name))["code"] == "outside-scope"
        assert c.b.daemon.count(CoverCalls) == 0
        c.b.daemon.on[Bind] = lambda _: Bound(task="tsk_2", purpose="", deadline=1)
        assert code_of(await c.result(name)) == "unknown-mcp-task"


# --- what ends calls ends these -----------------------------------------------------------------------------


@STOPS
@CLIENTS
async def test_a_call_that_runs_is_interrupted_and_says_why(
    modern: bool,  # noqa: FBT001 -- a parameter
    push: TaskPush | StopPush,
    code: str,
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with coming_back(tmp_path, faulty("hangs", log=log), modern=modern) as c:
        name = await c.begin("odd__work", {"text": "a"})
        await c.b.until(lambda: bool(reached(log)))
        waiting = None if modern else await c.asking("tasks/result", name)
        c.b.daemon.push(push)
        if waiting is not None:
            assert decision_of(await c.b.answer_to(waiting))["code"] == code
        assert decision_of(await c.result(name))["code"] == code
        assert await c.status(name) == ("completed" if modern else "failed")
        assert (await c.b.daemon.asked(Outcome)).outcome == "unknown"


@STOPS
@CLIENTS
async def test_a_result_that_is_kept_is_withheld_for_good(
    *, modern: bool, push: TaskPush | StopPush, code: str, c: Back
) -> None:
    name = await done(c)
    c.b.daemon.push(push)
    await c.b.until(lambda: c.b.gateway._calls.errands.find(name, modern=modern).call.cause is not None)  # noqa: SLF001 -- to see the push arrive
    c.b.daemon.push(TaskPush(task="tsk_1", state="running"))
    found = await c.result(name)
    assert decision_of(found)["code"] == code
    assert decision_of(found)["action"] == "act_1"


@pytest.mark.parametrize("state", ["completed", "revoked", "expired"])
@CLIENTS
async def test_the_end_of_the_task_is_told_once_and_then_there_was_no_such_call(state: str, c: Back) -> None:
    name, running = await done(c), ""
    with c.b.daemon.holding(Outcome) as held:
        running = await c.begin("echo__echo", {"text": "b"})
        one = await held.next()
        c.b.daemon.push(TaskPush(task="tsk_1", state=state, reason="enough"))
        await c.b.until(lambda: bool(c.b.gateway._standing.untold))  # noqa: SLF001 -- to see the push arrive
        one.answer(c.b.daemon.answer(one.ask))
    await c.b.until(lambda: len(c.b.gateway._calls.errands) == 0)  # noqa: SLF001 -- and what comes of it
    c.b.daemon.task = "tsk_2"
    told = await c.ask("tasks/get", name)
    assert (told["error"]["code"], code_of(told)) == (-32603, "task-ended")
    assert "enough" in told["error"]["message"]
    for one_name in (name, running):
        for answer in await every(c, one_name):
            assert code_of(answer) == "unknown-mcp-task"


async def test_who_waits_when_the_task_ends_is_told_so(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with coming_back(tmp_path, faulty("hangs", log=log), modern=False) as c:
        name = await c.begin("odd__work", {"text": "a"})
        await c.b.until(lambda: bool(reached(log)))
        waiting = await c.asking("tasks/result", name)
        await silence(c.b)
        c.b.daemon.push(TaskPush(task="tsk_1", state="revoked", reason="enough"))
        assert decision_of(await c.b.answer_to(waiting))["code"] == "task-ended"


@CLIENTS
async def test_a_daemon_that_is_lost_ends_them(modern: bool, tmp_path: Path) -> None:  # noqa: FBT001 -- a parameter
    async with coming_back(tmp_path, faulty("hangs"), modern=modern) as c:
        name = await c.begin("odd__work", {"text": "a"})
        await c.b.daemon.stop()
        errand = c.b.gateway._calls.errands.find(name, modern=modern)  # noqa: SLF001 -- nobody can be asked about it
        await c.b.until(errand.over.is_set)
        await c.b.daemon.listen()
        await c.b.until(lambda: c.b.gateway._link.connected)  # noqa: SLF001 -- to see it come back
        assert decision_of(await c.result(name))["code"] == "daemon-lost"


# --- bounds -------------------------------------------------------------------------------------------------


async def test_of_one_connection_there_are_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_ERRANDS", 2)
    async with coming_back(tmp_path, echo(), modern=False, name="echo") as c:
        first, second = [await done(c) for _ in range(2)]
        params = {"name": "echo__echo", "arguments": {"text": "c"}, "task": {}}
        refused = await c.b.request("tools/call", params)
        assert (refused["error"]["code"], code_of(refused)) == (-32603, "busy")
        assert [text_of(await c.result(second)), await c.status(first)] == ["a", "completed"]
        third = await c.begin("echo__echo", {"text": "c"})
        assert text_of(await c.result(third)) == "c"
        assert code_of(await c.ask("tasks/get", second)) == "unknown-mcp-task", "it was given out before"
        assert await c.status(first) == "completed"


async def test_a_call_for_which_there_is_no_room_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MAX_ERRANDS", 0)
    async with coming_back(tmp_path, echo(), modern=True, name="echo") as c:
        with c.b.daemon.holding(Outcome) as held:
            request = await c.start("echo__echo", {"text": "a"})
            one = await held.next()
            await silence(c.b)
            one.answer(c.b.daemon.answer(one.ask))
        assert text_of(await c.b.answer_to(request)) == "a"


@CLIENTS
async def test_a_result_for_which_there_is_no_room_is_recorded_and_withheld(
    modern: bool,  # noqa: FBT001 -- a parameter
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept, "MAX_BYTES", 1_500)
    async with coming_back(tmp_path, echo(), modern=modern, name="echo") as c:
        first = await unasked(c, "a" * 400)
        second = await unasked(c, "b" * 400)
        assert decision_of(await c.result(second))["code"] == "no-room-for-result"
        assert text_of(await c.result(first)) == "a" * 400
        third = await unasked(c, "c" * 400)
        assert text_of(await c.result(third)) == "c" * 400, "what was given out makes room"
        assert code_of(await c.ask("tasks/get", first)) == "unknown-mcp-task"
        outcomes = [one.outcome for one in c.b.daemon.asks if isinstance(one, Outcome)]
        assert outcomes == ["succeeded"] * 3


@CLIENTS
async def test_what_nobody_comes_back_for_is_over_after_its_time(
    modern: bool,  # noqa: FBT001 -- a parameter
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = tmp_path / "log"
    async with coming_back(tmp_path, faulty("hangs", log=log), modern=modern) as c:
        await c.begin("odd__work", {"text": "a"})
        await c.b.until(lambda: bool(reached(log)))
        monkeypatch.setattr(kept, "SHORTEST", 100)
        monkeypatch.setattr(kept, "LONGEST", 100)
        monkeypatch.setattr(gateway_requests, "LONGEST", 100)
        name = await c.begin("odd__work", {"text": "b"})
        await c.b.until(lambda: c.b.daemon.count(Outcome) > 0)
        assert code_of(await c.ask("tasks/get", name)) == "unknown-mcp-task"
        (told,) = [one for one in c.b.daemon.asks if isinstance(one, Outcome)]
        assert told.outcome == "unknown"
        assert told.note.startswith("its client did not come back for it in time")
        assert b'"notifications/cancelled"' in log.read_bytes()


async def test_a_client_may_want_it_for_less_and_not_for_more(c: Back) -> None:
    spans = {}
    for ttl in (0, 5_000, 10**12):
        params = {"name": "echo__echo", "arguments": {"text": "a"}, "task": {"ttl": ttl}}
        spans[ttl] = (await c.b.request("tools/call", params))["result"]["task"]["ttl"]
    assert spans == {0: kept.SHORTEST, 5_000: 5_000, 10**12: kept.LONGEST}


async def test_the_arguments_of_a_call_count_too_as_long_as_the_daemon_is_asked_about_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MAX_BYTES", 1_300)
    async with coming_back(tmp_path, echo(), modern=False, name="echo") as c:
        first = await unasked(c, "a" * 700)
        assert decision_of(await c.result(first))["code"] == "no-room-for-result"
        errands = c.b.gateway._calls.errands  # noqa: SLF001 -- what is kept is nobody else's to see
        assert errands.find(first, modern=False).call.arguments == b"{}"
        assert text_of(await c.result(await unasked(c, "b" * 100))) == "b" * 100
        assert errands._kept == sum(one.size for one in errands.of_legacy())  # noqa: SLF001 -- the same


async def test_so_many_requests_wait_for_the_daemon_and_one_more_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_ASKED", 1)
    async with coming_back(tmp_path, echo(), modern=False, name="echo") as c:
        name = await done(c)
        with c.b.daemon.holding(CoverCalls) as held:
            first = await c.asking("tasks/get", name)
            one = await held.next()
            assert code_of(await c.ask("tasks/get", name)) == "busy"
            one.answer(c.b.daemon.answer(one.ask))
            assert (await c.b.answer_to(first))["result"]["status"] == "completed"


async def test_so_many_wait_for_results_and_one_more_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_WAITING", 1)
    async with coming_back(tmp_path, faulty("hangs"), modern=False) as c:
        name = await c.begin("odd__work", {"text": "a"})
        await c.asking("tasks/result", name)
        await silence(c.b)
        assert code_of(await c.ask("tasks/result", name)) == "busy"


async def test_calls_that_are_come_back_for_count_as_open_ones(tmp_path: Path) -> None:
    async with coming_back(tmp_path, faulty("hangs"), modern=False) as c:
        for one in range(64):
            await c.begin("odd__work", {"text": f"{one}"})
        assert code_of(await c.b.call("odd__work", {"text": "more"})) == "busy"


# --- the real daemon ----------------------------------------------------------------------------------------


async def test_the_real_daemon_says_each_time_whether_a_call_still_stands(tmp_path: Path) -> None:
    async with real(tmp_path, echo(), name="echo") as place, place.gateway() as client:

        async def ask(method: str, params: Message) -> Message:
            return await client.request(method, json.dumps(params).encode())

        call = {"name": "echo__echo", "arguments": {"text": "a"}, "task": {}}
        name = {"taskId": (await ask("tools/call", call))["result"]["task"]["taskId"]}
        assert text_of(await ask("tasks/result", name)) == "a"
        place.pause_task()
        paused = await ask("tasks/result", name)
        assert code_of(paused) == "task-paused"
        place.resume_task()
        assert decision_of(await ask("tasks/result", name))["code"] == "task-paused", "it stays withheld"
        again = {"taskId": (await ask("tools/call", call))["result"]["task"]["taskId"]}
        assert text_of(await ask("tasks/result", again)) == "a"
        place.end_task()
        assert code_of(await ask("tasks/result", again)) in {"task-ended", "unknown-mcp-task"}
        place.start_task()
        later = [code_of(await ask("tasks/result", again)) for _ in range(2)]
        assert later[-1] == "unknown-mcp-task"
        assert [one.state for one in place.actions()] == ["succeeded", "succeeded"]
