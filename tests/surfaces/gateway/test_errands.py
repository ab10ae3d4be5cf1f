"""Calls that clients come back for, in both revisions: what they are told, and what they get."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.surfaces.gateway.errands.kept import LONGEST
from taskbound.wire.action import Decide, Duplicate, Outcome, Reason, Refused
from taskbound.wire.approval import HoldPush
from taskbound.wire.mcp.task import RELATED_KEY, TASKS_EXTENSION, parse_task
from tests.peers.commands import echo, faulty, tasking, telling
from tests.peers.rawclient import Tap
from tests.surfaces.gateway.bench import bench, code_of, decision_of, reached, silence, text_of
from tests.surfaces.gateway.errands import coming_back

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.gateway.errands import Back

pytestmark = pytest.mark.anyio
CLIENTS = pytest.mark.parametrize("modern", [False, True], ids=["legacy", "modern"])
CHANCE = re.compile(r"[\w-]{43}")
Message = dict[str, Any]


# --- what is declared ---------------------------------------------------------------------------------------


async def test_a_client_of_2025_11_25_is_told_that_each_call_can_be_one(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(), handshake=False) as b:
        declared = (await b.handshake())["result"]["capabilities"]
        assert declared["tasks"] == {"cancel": {}, "list": {}, "requests": {"tools": {"call": {}}}}
        tools = (await b.request("tools/list"))["result"]["tools"]
        assert {one["execution"]["taskSupport"] for one in tools} == {"optional"}


async def test_a_client_of_before_is_told_nothing_of_it_and_there_is_no_such_method(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(), handshake=False) as b:
        assert "tasks" not in (await b.handshake("2025-06-18"))["result"]["capabilities"]
        assert not any("execution" in one for one in (await b.request("tools/list"))["result"]["tools"])
        params = {"name": "echo__echo", "arguments": {"text": "a"}, "task": {}}
        assert code_of(await b.request("tools/call", params)) == "bad-params"
        for method in ("tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update"):
            assert (await b.request(method, {"taskId": "x"}))["error"]["code"] == -32601


async def test_a_client_of_2026_07_28_is_told_of_the_extension_and_of_nothing_else(tmp_path: Path) -> None:
    async with bench(tmp_path, handshake=False) as b:
        declared = (await b.request("server/discover", modern=True))["result"]["capabilities"]
        assert declared["extensions"] == {TASKS_EXTENSION: {}}
        assert "tasks" not in declared


async def test_what_a_pinned_tool_says_of_tasks_is_not_what_a_client_is_told(tmp_path: Path) -> None:
    tools = tmp_path / "tools.json"
    execution = {"taskSupport": "required", "x": 1}
    tools.write_text(
        json.dumps([{"name": "echo", "inputSchema": {"type": "object"}, "execution": execution}]),
        encoding="utf-8",
    )
    async with bench(tmp_path, echo(tools=tools)) as b:
        (tool,) = (await b.request("tools/list"))["result"]["tools"]
        assert tool["execution"] == {"taskSupport": "optional", "x": 1}


# --- a call and its name ------------------------------------------------------------------------------------


async def test_a_client_that_asks_for_it_has_a_name_at_once_and_the_result_by_it(c: Back) -> None:
    with c.b.daemon.holding(Decide) as held:
        params = {"name": "echo__echo", "arguments": {"text": "a"}, "task": {"ttl": 60_000}}
        answer = await c.b.request("tools/call", params)
        task = answer["result"]["task"]
        assert CHANCE.fullmatch(task["taskId"])
        assert (task["status"], task["ttl"], task["pollInterval"]) == ("working", 60_000, 1_000)
        assert parse_task(task, modern=False).name == task["taskId"]
        assert (await c.get(task["taskId"])) == task
        one = await held.next()
        one.answer(c.b.daemon.answer(one.ask))
    found = await c.result(task["taskId"])
    assert text_of(found) == "a"
    assert found["result"]["_meta"][RELATED_KEY] == {"taskId": task["taskId"]}
    assert await c.status(task["taskId"]) == "completed"
    assert "result" not in await c.get(task["taskId"])
    assert text_of(await c.result(task["taskId"])) == "a", "as often as it is asked for"


async def test_a_call_that_takes_its_time_is_one_for_a_client_that_knows_them(tmp_path: Path) -> None:
    async with (
        Tap(tmp_path / "tap") as tap,
        coming_back(tmp_path, faulty("answers-after-cancel", log=tap.path), modern=True) as c,
    ):
        answer = await c.b.answer_to(await c.start("odd__work", {"text": "a"}))
        task = answer["result"]
        assert CHANCE.fullmatch(task["taskId"])
        assert (task["resultType"], task["status"], task["ttlMs"]) == ("task", "working", LONGEST)
        assert not {"task", "result", "error", "inputRequests", "requestState", "ttl"} & task.keys()
        told = await c.get(task["taskId"])
        assert told == task | {"resultType": "complete"}


async def test_a_call_that_its_server_goes_on_with_is_one_at_once_and_no_name_of_the_server_s_is_told(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with coming_back(tmp_path, tasking(log=log), modern=True, era="2026-07-28", patience=20.0) as c:
        name = await c.begin("odd__work", {"name": "the-server-s-own", "polls": [{"pollIntervalMs": 1}]})
        assert name != "the-server-s-own"
        await c.ask("tasks/cancel", name)
        await c.b.until(lambda: b'"tasks/cancel"' in log.read_bytes())
        assert not any(b"the-server-s-own" in line for line in c.b.lines)
        assert name.encode() not in log.read_bytes()


async def test_a_call_that_is_quick_is_answered_as_ever(tmp_path: Path) -> None:
    async with coming_back(tmp_path, echo(), modern=True, name="echo", patience=20.0) as c:
        answer = await c.b.answer_to(await c.start("echo__echo", {"text": "a"}))
        assert text_of(answer) == "a"
        assert answer["result"]["resultType"] == "complete"
        assert len(c.b.gateway._calls.errands) == 0  # noqa: SLF001 -- nothing is kept of it


async def test_a_client_that_did_not_declare_it_waits_however_long_it_takes(tmp_path: Path) -> None:
    async with coming_back(tmp_path, echo(), modern=True, name="echo", patience=0.0) as c:
        with c.b.daemon.holding(Outcome) as held:
            request = await c.b.start_call("echo__echo", {"text": "a"}, modern=True)
            one = await held.next()
            await silence(c.b)
            one.answer(c.b.daemon.answer(one.ask))
        assert text_of(await c.b.answer_to(request)) == "a"


async def test_what_2025_11_25_has_in_a_call_means_nothing_in_2026_07_28(tmp_path: Path) -> None:
    async with coming_back(tmp_path, echo(), modern=True, name="echo", patience=20.0) as c:
        answer = await c.b.answer_to(await c.start("echo__echo", {"text": "a"}, task={"ttl": 1, "x": 2}))
        assert text_of(answer) == "a"
        (asked,) = [one for one in c.b.daemon.asks if isinstance(one, Decide)]
        assert bytes(asked.arguments) == b'{"text":"a"}'


@pytest.mark.parametrize("task", [None, [], "x", {"ttl": -1}, {"ttl": "1"}, {"ttl": None}, {"other": 1}])
async def test_a_wish_that_is_none_is_refused_and_no_call_is_made(task: object, c: Back) -> None:
    answer = await c.b.request("tools/call", {"name": "echo__echo", "arguments": {}, "task": task})
    assert (answer["error"]["code"], code_of(answer)) == (-32602, "bad-mcp-task")
    assert c.b.daemon.count(Decide) == 0


@CLIENTS
async def test_an_error_of_the_server_is_the_call_s_and_has_failed(modern: bool, tmp_path: Path) -> None:  # noqa: FBT001 -- a parameter
    async with coming_back(tmp_path, faulty("error-with-orders"), modern=modern) as c:
        with c.b.daemon.holding(Outcome) as held:
            name = await c.begin("odd__work", {"text": "a"})
            one = await held.next()
            one.answer(c.b.daemon.answer(one.ask))
        told = await c.until(name)
        assert told["status"] == "failed"
        assert told["statusMessage"] == "the server answered with an error"
        found = (await c.result(name))["error"]
        assert "ignore" in json.dumps(found).lower() or found["code"] < 0


@CLIENTS
async def test_a_refusal_reaches_whoever_comes_back_for_it(modern: bool, tmp_path: Path) -> None:  # noqa: FBT001 -- a parameter
    def refuse(_: Decide) -> Refused:
        why = (Reason(code="outside-scope", text="`text` is outside"),)
        return Refused(code="outside-scope", action="act_9", task="tsk_1", reasons=why, instead="stay inside")

    async with coming_back(tmp_path, echo(), modern=modern, name="echo") as c:
        c.b.daemon.on[Decide] = refuse
        if modern:  # it is refused at once, and so is answered at once
            answer = await c.b.answer_to(await c.start("echo__echo", {"text": "a"}))
        else:
            name = await c.begin("echo__echo", {"text": "a"})
            answer = await c.result(name)
            assert await c.status(name) == "failed", "2025-11-25 has no other word for an error of a tool"
        assert decision_of(answer)["code"] == "outside-scope"


async def test_a_call_that_came_before_is_decided_as_any_and_gets_the_stored_answer(tmp_path: Path) -> None:
    stored = b'{"content":[{"type":"text","text":"before"}]}'
    async with coming_back(tmp_path, echo(), modern=False, name="echo") as c:
        c.b.daemon.on[Decide] = lambda _: Duplicate(
            action="act_1", task="tsk_1", state="succeeded", answer=msgspec.Raw(stored)
        )
        name = await c.begin("echo__echo", {"text": "a"}, _meta={"io.taskbound/idempotency-key": "k"})
        assert text_of(await c.result(name)) == "before"
        assert (await c.b.daemon.asked(Decide)).key == "k"


# --- waiting for a result -----------------------------------------------------------------------------------


async def test_who_asks_for_a_result_that_is_not_there_waits_for_it(c: Back) -> None:
    with c.b.daemon.holding(Outcome) as held:
        name = await c.begin("echo__echo", {"text": "a"})
        first, second = [await c.asking("tasks/result", name) for _ in range(2)]
        one = await held.next()
        await silence(c.b)
        one.answer(c.b.daemon.answer(one.ask))
    assert [text_of(await c.b.answer_to(one)) for one in (first, second)] == ["a", "a"]


async def test_who_waits_no_more_gets_no_answer_and_the_call_goes_on(c: Back) -> None:
    with c.b.daemon.holding(Outcome) as held:
        name = await c.begin("echo__echo", {"text": "a"})
        waiting = await c.asking("tasks/result", name)
        one = await held.next()
        await c.b.cancel(waiting)
        await silence(c.b)
        assert await c.status(name) == "working"
        one.answer(c.b.daemon.answer(one.ask))
    assert text_of(await c.result(name)) == "a"
    assert [one.outcome for one in c.b.daemon.asks if isinstance(one, Outcome)] == ["succeeded"]


async def test_the_id_of_a_call_that_has_its_name_is_free_and_cancels_nothing(c: Back) -> None:
    with c.b.daemon.holding(Outcome) as held:
        request = await c.start("echo__echo", {"text": "a"})
        name = (await c.b.answer_to(request))["result"]["task"]["taskId"]
        one = await held.next()
        await c.b.cancel(request)
        line = json.dumps({"jsonrpc": "2.0", "id": request, "method": "ping"})
        await c.b.send(line.encode() + b"\n")
        assert (await c.b.answer_to(request))["result"] == {}
        one.answer(c.b.daemon.answer(one.ask))
    assert text_of(await c.result(name)) == "a"


async def test_a_status_is_told_when_it_changes(c: Back) -> None:
    name = await c.begin("echo__echo", {"text": "a"})
    told = (await c.b.notified("notifications/tasks/status"))["params"]
    assert (told["taskId"], told["status"]) == (name, "completed")
    assert told == await c.get(name)


# --- what is told meanwhile ---------------------------------------------------------------------------------


async def test_progress_is_told_on_and_names_the_call(tmp_path: Path) -> None:
    async with coming_back(tmp_path, telling(), modern=False) as c:
        name = await c.begin("odd__work", {}, _meta={"progressToken": "mine"})
        told = [(await c.b.notified("notifications/progress"))["params"] for _ in range(2)]
        assert [(one["progress"], one["progressToken"]) for one in told] == [(1, "mine"), (5, "mine")]
        assert [one["_meta"] for one in told] == [{RELATED_KEY: {"taskId": name}}] * 2
        assert text_of(await c.result(name)) == "done"


async def test_a_client_of_2026_07_28_is_told_nothing_beside_what_it_asks(tmp_path: Path) -> None:
    async with coming_back(tmp_path, telling(), modern=True, patience=0.0) as c:
        with c.b.daemon.holding(Decide) as held:
            request = await c.start("odd__work", {}, _meta=c.meta()["_meta"] | {"progressToken": "mine"})
            one = await held.next()
            (call,) = c.b.gateway._calls.open.values()  # noqa: SLF001 -- so that it is come back for before it is sent
            c.b.gateway._calls.errands.defer(call)  # noqa: SLF001 -- the same
            name = (await c.b.answer_to(request))["result"]["taskId"]
            one.answer(c.b.daemon.answer(one.ask))
        assert text_of(await c.result(name)) == "done"
        assert not any(b"notifications/progress" in line for line in c.b.lines)


@CLIENTS
async def test_a_call_that_waits_for_people_waits_as_long_as_it_is_come_back_for(
    modern: bool,  # noqa: FBT001 -- a parameter
    tmp_path: Path,
) -> None:
    def hold(ask: Decide) -> Refused | None:
        why = (Reason(code="held", text="people are asked"),)
        return (
            None
            if ask.resume and lifted
            else Refused(code="held", action="act_h", task="tsk_1", reasons=why, instead="")
        )

    lifted: list[bool] = []
    async with coming_back(tmp_path, echo(), modern=modern, name="echo", hold=0.05) as c:
        c.b.daemon.on[Decide] = hold
        meta = (c.meta()["_meta"] if modern else {}) | {"progressToken": 7}
        name = await c.begin("echo__echo", {"text": "a"}, _meta=meta)
        await c.b.until(lambda: c.b.daemon.count(Decide) > 3)
        told = await c.get(name)
        assert (told["status"], told["statusMessage"]) == ("working", "waiting for a person")
        lifted.append(True)
        c.b.daemon.push(HoldPush(action="act_h", state="approved"))
        assert text_of(await c.result(name)) == "a"
        lines = [json.loads(line) for line in c.b.lines]
        waits = [one["params"] for one in lines if one.get("method") == "notifications/progress"]
        named = [one for one in waits if "_meta" in one]
        assert all(one["_meta"] == {RELATED_KEY: {"taskId": name}} for one in named)
        assert bool(named) is not modern, "one of 2026-07-28 is told of it until it has the name"
        assert len(waits) - len(named) <= 1


# --- cancelling ---------------------------------------------------------------------------------------------


@CLIENTS
async def test_a_cancel_reaches_the_server_and_is_recorded_as_calls_are(
    modern: bool,  # noqa: FBT001 -- a parameter
    tmp_path: Path,
) -> None:
    async with (
        Tap(tmp_path / "tap") as tap,
        coming_back(tmp_path, faulty("answers-after-cancel", log=tap.path), modern=modern) as c,
    ):
        name = await c.begin("odd__work", {"text": "a"})
        await tap.wait_for(b'"tools/call"')
        answer = (await c.ask("tasks/cancel", name))["result"]
        assert answer == {"resultType": "complete"} if modern else answer["status"] == "cancelled"
        await tap.wait_for(b'"notifications/cancelled"')
        assert (await c.get(name))["status"] == "cancelled"
        assert (await c.get(name))["statusMessage"] == "cancelled by the client"
        await c.b.until(lambda: c.b.daemon.count(Outcome) > 0)
        assert (await c.b.daemon.asked(Outcome)).outcome == "succeeded"
        assert not any(b"too late" in line for line in c.b.lines)
        again = await c.ask("tasks/cancel", name)
        if modern:
            assert again["result"] == {"resultType": "complete"}
        else:
            assert (again["error"]["code"], code_of(again)) == (-32602, "mcp-task-has-ended")
            assert decision_of(await c.result(name))["code"] == "cancelled"


async def test_a_cancel_ends_the_wait_for_the_result(tmp_path: Path) -> None:
    async with coming_back(tmp_path, faulty("hangs"), modern=False) as c:
        name = await c.begin("odd__work", {"text": "a"})
        waiting = await c.asking("tasks/result", name)
        await c.ask("tasks/cancel", name)
        assert decision_of(await c.b.answer_to(waiting))["code"] == "cancelled"


# --- lists --------------------------------------------------------------------------------------------------


async def test_a_list_goes_on_by_a_cursor_that_is_good_once(c: Back) -> None:
    names = [await c.begin("echo__echo", {"text": f"{one}"}) for one in range(52)]
    first = (await c.ask("tasks/list"))["result"]
    assert [one["taskId"] for one in first["tasks"]] == names[:50]
    assert "result" not in first["tasks"][0]
    second = (await c.ask("tasks/list", cursor=first["nextCursor"]))["result"]
    assert [one["taskId"] for one in second["tasks"]] == names[50:]
    assert "nextCursor" not in second
    for cursor in (first["nextCursor"], "made-up", 7, None):
        again = await c.ask("tasks/list", cursor=cursor)
        assert (again["error"]["code"], code_of(again)) == (-32602, "bad-cursor")


# --- which methods there are --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modern", "method"), [(False, "tasks/update"), (True, "tasks/list"), (True, "tasks/result")]
)
async def test_each_revision_has_its_own_methods(method: str, c: Back) -> None:
    answer = await c.ask(method, "x")
    assert (answer["error"]["code"], code_of(answer)) == (-32601, "unknown-method")


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel", "subscriptions/listen"])
async def test_who_has_not_declared_it_with_the_request_is_told_that_before_anything_else(
    method: str, tmp_path: Path
) -> None:
    async with (
        Tap(tmp_path / "tap") as tap,
        coming_back(tmp_path, faulty("answers-after-cancel", log=tap.path), modern=True) as c,
    ):
        name = await c.begin("odd__work", {"text": "a"})
        params: Message = {"taskId": name, "notifications": {"taskIds": [name]}}
        error = (await c.b.request(method, params, modern=True))["error"]
        assert error["code"] == -32021
        assert error["data"]["requiredCapabilities"] == {"extensions": {TASKS_EXTENSION: {}}}
        assert await c.status(name) == "working", "nothing was cancelled"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tasks/get", {}),
        ("tasks/get", {"taskId": 7}),
        ("tasks/get", {"taskId": ""}),
        ("tasks/get", {"taskId": "a b"}),
        ("tasks/get", {"taskId": "x", "more": 1}),
        ("tasks/cancel", {"taskId": None}),
        ("tasks/update", {"taskId": "x", "inputResponses": {}, "requestState": "y"}),
    ],
)
async def test_parameters_that_are_none_are_refused(method: str, params: Message, tmp_path: Path) -> None:
    async with coming_back(tmp_path, echo(), modern=True, name="echo") as c:
        error = (await c.ask(method, **params))["error"]
        assert error["code"] == -32602


async def test_a_request_without_an_id_is_none(tmp_path: Path) -> None:
    async with coming_back(tmp_path, faulty("hangs"), modern=False) as c:
        name = await c.begin("odd__work", {"text": "a"})
        await c.b.notify("tasks/cancel", {"taskId": name})
        await silence(c.b)
        assert await c.status(name) == "working"


async def test_a_client_that_leaves_ends_what_it_would_have_come_back_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with coming_back(tmp_path, faulty("hangs", log=log), modern=False) as c:
        await c.begin("odd__work", {"text": "a"})
        await c.b.until(lambda: c.b.daemon.count(Decide) > 0 and bool(reached(log)))
        await c.b.finish()
        assert [one.outcome for one in c.b.daemon.asks if isinstance(one, Outcome)] == ["unknown"]
