"""What every way to a server owes its gateway when a server makes a task of a call: one answer, no name."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from taskbound.adapters.upstream.mcp.http.probe import pin_url
from taskbound.adapters.upstream.mcp.http.server import HttpStarter
from taskbound.adapters.upstream.mcp.server import StdioStarter, StepTimeouts
from taskbound.adapters.upstream.mcp.task import Bounds
from taskbound.ports.upstream import Answered, Errored, NoAnswer, QuestionRound, Upstream, UpstreamAnswer
from taskbound.wire.mcp.message import MODERN
from taskbound.wire.mcp.task import McpTask, TaskStatus
from taskbound.wire.tool import identity_of
from tests.contracts.test_upstream import DEADLINE, Heard, Way, answered, calls, until
from tests.peers.book import egress
from tests.peers.hearing import Events
from tests.peers.rawhttp import RawHttp
from tests.peers.tasked import tasks_over_http

pytestmark = pytest.mark.anyio
NAME = "task-of-the-server"
BOUNDS = Bounds(least=0.001, usual=0.002, most=0.01, answer=0.4, whole=20.0, leave=2.0)
QUICK = StepTimeouts(start=10.0, discover=2.0, listing=5.0, stop=0.3, task=BOUNDS)
WAYS = [
    f"{kind}-{era}"
    for kind in ("stdio", "http", "egress+stdio", "egress+http")
    for era in ("legacy", "modern")
]
DIRECT = [one for one in WAYS if "+" not in one]
OLD = pytest.mark.parametrize("way", ["stdio-legacy", "http-legacy"], indirect=True)
LOST = {"error": {"code": -32602, "message": f"no {NAME}"}}
BROKEN = {"error": {"code": -32603, "message": "not now"}}
Message = dict[str, Any]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextlib.asynccontextmanager
async def made(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Way]:
    """The way that a test wants, with short bounds."""
    kind, era = request.param.split("-")
    one = Way(kind, era, folder)
    one.start = StdioStarter(patience=QUICK) if one.kind == "stdio" else HttpStarter(patience=QUICK)
    if not one.behind:
        yield one
        return
    async with egress(one.book, one.start) as one.socket:
        yield one


@pytest.fixture(params=DIRECT)
async def way(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Way]:
    async with made(request, tmp_path) as one:
        yield one


def bounded(way: Way, **seconds: float) -> None:
    """Have other bounds."""
    bounds = Bounds(**{name: getattr(BOUNDS, name) for name in Bounds.__slots__} | seconds)
    patience = StepTimeouts(start=10.0, discover=2.0, listing=5.0, stop=0.3, task=bounds)
    way.start = StdioStarter(patience=patience) if way.kind == "stdio" else HttpStarter(patience=patience)


async def work(
    upstream: Upstream, given: Message | None = None, tool: str = "work", turn: QuestionRound | None = None
) -> UpstreamAnswer:
    """What comes of a call, of a server whose tools were listed first, as every gateway does."""
    await upstream.list_tools()
    arguments = json.dumps({"name": NAME} | (given or {})).encode()
    return await answered(upstream, tool, arguments, turn=turn or QuestionRound())


async def codes(way: Way, each: Iterable[Message]) -> list[str]:
    """Why each of these calls of one server is unknown; nothing of its task's name is said."""
    found: list[str] = []
    async with way.running("tasks") as (upstream, _, _heard):
        for number, given in enumerate(each):
            one = await work(upstream, {"name": f"{NAME}-{number}"} | given)
            assert isinstance(one, NoAnswer), (given, one)
            assert NAME not in repr(one)
            found.append(one.code)
    return found


def said(heard: Heard, *methods: str) -> list[Message]:
    return [one for one in heard() if one.get("method") in methods]


# --- as it should be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, indirect=True)
async def test_a_task_is_waited_for_and_its_result_is_that_of_a_call(way: Way) -> None:
    brings = {"result": {"content": [], "odd": 1.5, "_meta": {"b": [1.0, "\u2028"]}}}
    polls = [{"statusMessage": "half"}, {"statusMessage": f"of {NAME}"}, {"statusMessage": "most"}]
    done: Message = {"status": "completed"} | (brings if way.era == "modern" else {})
    told: list[dict[str, Any]] = []
    async with way.running("tasks") as (upstream, _, heard):
        await upstream.list_tools()
        arguments = json.dumps({"name": NAME, "polls": [*polls, done], "brings": brings}).encode()
        found = await answered(upstream, "work", arguments, progress=lambda one: told.append(dict(one)))
        assert isinstance(found, Answered), found
        assert json.loads(found.raw) == found.value == brings["result"]
        assert b"1.5" in found.raw, "what is not of the task is the server's to the byte"
        assert found.raw.count(b"1.0") == 1
        (call,) = calls(heard)
        assert call.get("task") == ({"ttl": 20_000} if way.era == "legacy" else None)
        polled = said(heard, "tasks/get")
        assert [one["params"]["taskId"] for one in polled] == [NAME] * 4
        assert len(said(heard, "tasks/result")) == (way.era == "legacy")
        assert said(heard, "tasks/cancel") == []
        if way.era == "modern":
            key = "io.modelcontextprotocol/clientCapabilities"
            for one in (call, *(one["params"] for one in polled)):
                assert one["_meta"][key] == {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    assert [(one["progress"], one["message"]) for one in told] == [(1, "half"), (2, "most")]


async def test_who_calls_is_told_once_that_a_task_goes_on_and_not_of_what_is_answered_at_once(
    way: Way,
) -> None:
    told: list[str] = []
    async with way.running("tasks") as (upstream, _, heard):
        turn = QuestionRound(goes_on=lambda: told.append(f"after {len(said(heard, 'tasks/get'))} questions"))
        assert isinstance(await work(upstream, turn=turn), Answered)
        assert told == ["after 0 questions"]
        assert isinstance(await answered(upstream, "plain", b"{}", turn=turn), Answered)
        assert len(told) == 1


async def test_what_is_asked_about_a_task_names_it_in_a_header_too() -> None:
    async with RawHttp(era="modern", does=tasks_over_http()) as there:
        spec = structs.replace(pin_url("x", there.url, headers={}), era=MODERN)
        identity = identity_of(spec, namespace="default")
        upstream = await HttpStarter(patience=QUICK)(identity, era=MODERN, events=Events())
        found = await work(upstream, {"name": "a!~b"})
        assert isinstance(found, Answered)
        (one,) = there.heard("tasks/get")
        await upstream.close()
    assert (one.header("mcp-name"), one.header("mcp-method")) == ("a!~b", "tasks/get")


@pytest.mark.parametrize("way", WAYS, indirect=True)
async def test_an_error_that_a_task_brings_is_that_of_the_call(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, _heard):
        found = await work(upstream, {"brings": {"error": {"code": -7, "message": "no", "data": {"x": 1.0}}}})
    assert isinstance(found, Errored), found
    assert (found.code, json.loads(found.raw)["data"]) == (-7, {"x": 1.0})


@OLD
async def test_a_legacy_task_that_failed_has_failed_whatever_it_brought(way: Way) -> None:
    state = {"status": "failed", "statusMessage": "it broke"}
    async with way.running("tasks") as (upstream, _, _heard):
        nothing, text, said_so, contradicts, named = [
            await work(
                upstream, {"name": f"{NAME}{at}", "polls": [state | more], "brings": {"result": brought}}
            )
            for at, (brought, more) in enumerate(
                [
                    ({}, {}),
                    ({"content": [], "odd": 1.5}, {}),
                    ({"content": [], "isError": True}, {}),
                    ({"content": [], "isError": False}, {}),
                    ({}, {"statusMessage": f"no {NAME}4"}),
                ]
            )
        ]
    assert isinstance(nothing, Errored)
    assert (nothing.code, nothing.message) == (-32603, "it broke")
    assert isinstance(text, Answered)
    assert json.loads(text.raw) == text.value == {"content": [], "isError": True, "odd": 1.5}
    assert isinstance(said_so, Answered)
    assert isinstance(contradicts, NoAnswer)
    assert contradicts.code == "bad-task"
    assert isinstance(named, Errored)
    assert named.message == "the task failed"


@pytest.mark.parametrize("way", WAYS, indirect=True)
async def test_a_call_that_is_answered_at_once_is_no_task(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        await upstream.list_tools()
        assert isinstance(await answered(upstream, "plain", b"{}"), Answered)
        assert "task" not in calls(heard)[0]
        assert said(heard, "tasks/get", "tasks/result", "tasks/cancel") == []


# --- who was not asked --------------------------------------------------------------------------------------


@OLD
@pytest.mark.parametrize("tool", ["may", "plain"])
async def test_a_task_of_a_call_that_did_not_ask_is_cancelled_and_no_answer(way: Way, tool: str) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        found = await work(upstream, tool=tool)
        assert isinstance(found, NoAnswer)
        assert (found.code, "task" in calls(heard)[0]) == ("unasked-task", False)
        await until(lambda: bool(said(heard, "tasks/cancel")))


@pytest.mark.parametrize("way", [*DIRECT, "egress+http-modern"], indirect=True)
async def test_a_server_that_says_nothing_of_tasks_is_asked_for_none_and_believed_in_none(way: Way) -> None:
    async with way.running("silent-tasks") as (upstream, _, heard):
        found = await work(upstream)
        assert isinstance(found, NoAnswer)
        assert found.code == "unasked-task"
        assert b"extensions" not in json.dumps(calls(heard)[0]).encode()
        assert "task" not in calls(heard)[0]


async def test_a_task_in_place_of_a_resource_is_no_answer(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        found = await work(upstream, tool="resources/read", given={"uri": "a://b"})
        assert isinstance(found, NoAnswer)
        assert found.code == "unasked-task"
        await until(lambda: bool(said(heard, "tasks/cancel")))


# --- what is no task ----------------------------------------------------------------------------------------


NO_TASKS: tuple[Message, ...] = (
    {"taskId": "x" * 201},
    {"taskId": ""},
    {"taskId": "a\nb"},
    {"taskId": "a\u202eb"},
    {"taskId": 7},
    {"status": "done"},
    {"status": ["working"]},
    {"ttl": -1, "ttlMs": -1},
    {"ttl": "1", "ttlMs": "1"},
    {"pollInterval": -1, "pollIntervalMs": -1},
    {"pollInterval": True, "pollIntervalMs": True},
    {"pollInterval": 0.5, "pollIntervalMs": 0.5},
    {"createdAt": None},
)


async def test_what_is_no_task_as_mcp_has_it_is_no_answer(way: Way) -> None:
    assert set(await codes(way, ({"made": made} for made in NO_TASKS))) == {"bad-task"}


async def test_a_time_that_is_no_number_makes_the_call_unknown(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, _heard):
        await upstream.list_tools()
        for number in (float("nan"), float("inf")):
            arguments = json.dumps({"made": {"pollInterval": number, "pollIntervalMs": number}}).encode()
            assert isinstance(await answered(upstream, "work", arguments, turn=QuestionRound()), NoAnswer)


async def test_how_often_and_how_long_is_bounded(way: Way) -> None:
    brings: Message = {"result": {"content": []}}
    async with way.running("tasks") as (upstream, _, heard):
        for number, often in enumerate((0, 10**12, 1e300)):
            times = {"pollInterval": often, "pollIntervalMs": often, "ttl": 0, "ttlMs": 0}
            done = {"status": "completed", **times} | (brings if way.era == "modern" else {})
            given = {"made": times, "polls": [times, times, done], "brings": brings, "name": f"a{number}"}
            assert isinstance(await work(upstream, given), Answered)
        assert len(said(heard, "tasks/get")) == 9


def test_the_pause_between_two_questions() -> None:
    def pause(interval: int | None, taken: float = 0.0) -> float:
        task = McpTask(name="a", status=TaskStatus.WORKING, made="", updated="", ttl=None, interval=interval)
        return Bounds().pause(task, taken)

    assert [pause(one) for one in (None, 0, 50, 2_000, 10**12)] == [1.0, 0.1, 0.1, 2.0, 30.0]
    assert [pause(0, one) for one in (10, 100, 3_600, 10**6)] == [0.1, 0.5, 18.0, 30.0]


# --- what becomes of a task ---------------------------------------------------------------------------------

FAULTS: dict[str, tuple[str, Message]] = {
    "it is not known": ("lost-task", {"polls": [{}, LOST]}),
    "nothing is known of tasks": ("lost-task", {"polls": [{"error": {"code": -32601, "message": "?"}}]}),
    "questions fail": ("lost-task", {"polls": [BROKEN]}),
    "another's state": ("other-task", {"polls": [{"taskId": "another"}]}),
    "a state that is none": ("bad-task", {"polls": [{"status": "odd"}]}),
    "a name that is none": ("bad-task", {"polls": [{"taskId": ["x"]}]}),
    "it was cancelled": ("cancelled-task", {"polls": [{}, {"status": "cancelled"}]}),
}
OLDER: dict[str, tuple[str, Message]] = {
    "it goes on after its end": (
        "other-task",
        {"polls": [{"status": "completed"}, {}], "holds": 9},
    ),
    "it fails after its success": (
        "other-task",
        {"polls": [{"status": "completed"}, {"status": "failed"}], "holds": 9},
    ),
    "its result is not told": ("lost-task", {"holds": 9}),
    "its result waits without end": ("lost-task", {"polls": [{"status": "input_required"}], "holds": 9}),
    "its result is a task": ("bad-task", {"brings": {"result": {"task": {"taskId": "b"}}}}),
    "its result asks": ("bad-task", {"brings": {"result": {"resultType": "input_required"}}}),
}
NEWER: dict[str, tuple[str, Message]] = {
    "no result": ("bad-task", {"polls": [{"status": "completed"}]}),
    "no error": ("bad-task", {"polls": [{"status": "failed", "error": {"code": "x"}}]}),
    "a result that is none": ("bad-task", {"polls": [{"status": "completed", "result": []}]}),
    "a result that is a task": ("bad-task", {"brings": {"result": {"resultType": "task"}}}),
    "a result that asks": ("bad-task", {"brings": {"result": {"resultType": "input_required"}}}),
    "it asks for nothing": ("bad-task", {"polls": [{"status": "input_required"}]}),
}


async def test_a_task_of_which_nothing_more_is_known_makes_its_call_unknown(way: Way) -> None:
    faults = FAULTS | (NEWER if way.era == "modern" else OLDER)
    found = await codes(way, (given for _, given in faults.values()))
    assert dict(zip(faults, found, strict=True)) == {what: code for what, (code, _) in faults.items()}


async def test_a_task_of_which_a_server_says_nothing_is_lost(way: Way) -> None:
    bounded(way, answer=0.05)
    assert await codes(way, [{"polls": [{"drops": True}]}]) == ["lost-task"]


async def test_a_question_that_fails_is_asked_again(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        polls = [BROKEN] * 4 + [{}] + [BROKEN] * 4 + [{"done": True}]
        assert isinstance(await work(upstream, {"polls": polls}), Answered)
        assert len(said(heard, "tasks/get")) == 10
        faults: list[Message] = [{"drops": True}, {"raw": '{"x":'}]
        for number, fault in enumerate(faults):
            if way.kind == "http" or "drops" in fault:  # on a pipe half a message ends the server
                given = {"polls": [fault, {"done": True}], "name": f"a{number}"}
                assert isinstance(await work(upstream, given), Answered), fault


async def test_a_task_is_not_lost_while_nothing_is_read_of_its_server(way: Way) -> None:
    bounded(way, answer=0.1)
    async with way.running("tasks") as (upstream, _, heard):
        await upstream.list_tools()
        found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        number = upstream.call("work", b'{"polls":[{}]}', found.set_result, turn=QuestionRound())
        await until(lambda: bool(said(heard, "tasks/get")))
        upstream.pause()
        await asyncio.wait([found], timeout=0.8)  # in which five questions and more would have failed
        assert not found.done()
        upstream.resume()
        upstream.forget(number)


@OLD
async def test_a_result_that_is_not_told_at_first_is_asked_for_again(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, _heard):
        assert isinstance(await work(upstream, {"holds": 3}), Answered)


async def test_a_task_that_never_ends_is_cancelled(way: Way) -> None:
    bounded(way, whole=0.3)
    async with way.running("tasks") as (upstream, _, heard):
        found = await work(upstream, {"polls": [{}]})
        assert isinstance(found, NoAnswer)
        assert found.code == "endless-task"
        await until(lambda: bool(said(heard, "tasks/cancel")))


async def test_a_name_that_was_given_before_is_no_task_of_this_call(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        await upstream.list_tools()
        first: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        arguments = json.dumps({"name": NAME, "polls": [{}]}).encode()
        upstream.call("work", arguments, first.set_result, turn=QuestionRound())
        await until(lambda: bool(said(heard, "tasks/get")))
        second = await work(upstream, {"polls": [{}]})
        assert isinstance(second, NoAnswer)
        assert (second.code, first.done()) == ("reused-task", False)
        assert said(heard, "tasks/cancel") == [], "it may be the first one's"


@pytest.mark.parametrize("way", ["stdio-legacy", "stdio-modern"], indirect=True)
async def test_a_server_that_ends_takes_its_tasks_along(way: Way) -> None:
    async with way.running("tasks") as (upstream, events, _heard):
        found = await work(upstream, {"polls": [{}, {"dies": True}]})
        assert isinstance(found, NoAnswer)
        assert (found.code, len(events.over)) == ("server-lost", 1)


@pytest.mark.parametrize("way", WAYS, indirect=True)
async def test_a_server_that_is_killed_between_two_questions_makes_the_call_unknown_at_once(way: Way) -> None:
    if not way.behind:
        bounded(way, least=1_000.0, most=1_000.0)
    told: list[object] = []
    async with way.running("tasks") as (upstream, _, _heard):
        await upstream.list_tools()
        found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        given = {"made": {"status": "input_required"}, "polls": [{"statusMessage": "here"}]}
        upstream.call("work", json.dumps(given).encode(), found.set_result, progress=told.append)
        await until(lambda: bool(told))  # the first question is answered, and the next is far away
        upstream.kill("enough")
        one = await asyncio.wait_for(found, DEADLINE)
        assert isinstance(one, NoAnswer)
        assert one.code == "server-lost"


# --- cancelling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, indirect=True)
async def test_a_task_is_cancelled_by_the_server_s_name(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        await upstream.list_tools()
        found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        arguments = json.dumps({"name": NAME, "polls": [{}]}).encode()
        number = upstream.call("work", arguments, found.set_result)
        await until(lambda: bool(said(heard, "tasks/get")))
        upstream.cancel(number, "enough")
        upstream.cancel(number, "again")
        one = await asyncio.wait_for(found, DEADLINE)
        assert isinstance(one, NoAnswer)
        assert one.code == "cancelled-task"
        (cancel,) = said(heard, "tasks/cancel")
        assert cancel["params"]["taskId"] == NAME
        assert said(heard, "notifications/cancelled") == []


async def test_what_a_cancelled_task_brings_all_the_same_is_told(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        await upstream.list_tools()
        found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        number = upstream.call("work", b'{"polls":[{}],"deaf":"done"}', found.set_result)
        await until(lambda: bool(said(heard, "tasks/get")))
        upstream.cancel(number, "enough")
        assert isinstance(await asyncio.wait_for(found, DEADLINE), Answered)


@pytest.mark.parametrize("way", WAYS, indirect=True)
async def test_a_task_is_left_with_a_cancel_when_nobody_waits_for_it(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        await upstream.list_tools()
        said_to: list[UpstreamAnswer] = []
        number = upstream.call("work", b'{"polls":[{}]}', said_to.append)
        await until(lambda: bool(said(heard, "tasks/get")))
        upstream.forget(number)
        await until(lambda: bool(said(heard, "tasks/cancel")))
        await upstream.list_tools()
        polled = len(said(heard, "tasks/get"))
        assert isinstance(await answered(upstream, "plain", b"{}"), Answered)
        assert (said_to, len(said(heard, "tasks/get"))) == ([], polled)


@OLD
@pytest.mark.parametrize("leaves", [False, True])
async def test_a_task_whose_name_comes_after_its_call_was_cancelled_is_cancelled(
    way: Way, *, leaves: bool
) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        await upstream.list_tools()
        found: list[UpstreamAnswer] = []
        arguments = json.dumps({"name": NAME, "late": True, "polls": [{}]}).encode()
        number = upstream.call("work", arguments, found.append)
        await until(lambda: bool(calls(heard)))
        if leaves:
            upstream.forget(number)
            assert isinstance(await answered(upstream, "plain", b"{}"), Answered)
        else:
            upstream.cancel(number, "enough")
        await until(lambda: bool(said(heard, "tasks/cancel")))
        if leaves:
            assert found == []
        else:
            await until(lambda: bool(found))
            assert isinstance(found[0], NoAnswer)
