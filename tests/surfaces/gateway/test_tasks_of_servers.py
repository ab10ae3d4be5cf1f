"""A call of which its server makes a task: one action, one outcome, and nothing of its name for anyone."""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.upstream.mcp.server import StepTimeouts
from taskbound.adapters.upstream.mcp.task import Bounds
from taskbound.core.tool import parse_definition
from taskbound.surfaces.gateway.asked.questions import MAX_ROUNDS
from taskbound.surfaces.gateway.link import Timings
from taskbound.wire.action import Decide, Outcome
from taskbound.wire.connection import StopPush, TaskPush
from tests.peers.commands import tasking
from tests.peers.daemon import rows_of
from tests.peers.rawhttp import RawHttp
from tests.peers.tasked import tasks_over_http
from tests.surfaces.gateway.asks import ABLE, FOLDERS, FORM, LEGACY, MODERN, ROOTS, YES, Asking, refusing
from tests.surfaces.gateway.bench import bench, code_of, silence, text_of
from tests.surfaces.gateway.errands import coming_back

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

pytestmark = pytest.mark.anyio
NAME = "task-of-the-server"
BOUNDS = Bounds(least=0.001, usual=0.002, most=0.01, answer=1.0, whole=20.0)
ERAS = pytest.mark.parametrize("server", [LEGACY, MODERN])
CLIENTS = pytest.mark.parametrize("client", ["legacy", "modern"])
Message = dict[str, Any]


class Tasked(Asking):
    """A gateway before a server that makes tasks of calls."""

    def params(self, arguments: Message, **more: Any) -> Message:
        return super().params({"name": NAME} | arguments, **more) | {"name": "t__work"}

    def said(self, method: str) -> list[Message]:
        """What the server was asked by this method."""
        raw = self.log.read_bytes() if self.log.exists() else b""
        lines = [json.loads(line) for line in raw.splitlines()]
        return [one["params"] for one in lines if one.get("method") == method]

    async def until_polled(self) -> None:
        await self.b.until(lambda: bool(self.said("tasks/get")))

    async def until_cancelled(self) -> None:
        await self.b.until(lambda: bool(self.said("tasks/cancel")))
        assert [one["taskId"] for one in self.said("tasks/cancel")] == [NAME]

    def nothing_told(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nobody but the server heard its name for the task."""
        assert NAME.encode() not in b"".join(self.b.lines)
        assert NAME not in repr([one for one in self.b.daemon.asks if not isinstance(one, Decide)])
        assert NAME not in caplog.text


@contextlib.asynccontextmanager
async def between(
    tmp_path: Path,
    *,
    server: str = LEGACY,
    client: str = "legacy",
    granted: Iterable[str] = ("elicitation/create", "roots/list"),
    question: float = 20.0,
) -> AsyncIterator[Tasked]:
    log = tmp_path / "log"
    timings = Timings(grace=1.0, ping=0.2, cancel=10.0, hold=0.0, leave=5.0, question=question)
    patience = StepTimeouts(start=10.0, stop=0.3, task=BOUNDS)
    async with bench(
        tmp_path, tasking(log=log), name="t", era=server, timings=timings, patience=patience, handshake=False
    ) as b:
        b.daemon.tools += rows_of(b.daemon.servers[0], [], sorted(granted))
        log.unlink()
        if client == "legacy":
            await b.handshake(**ABLE)
        yield Tasked(b, log, ABLE, modern=client == "modern")


@ERAS
@CLIENTS
async def test_a_task_is_one_action_with_one_outcome_and_its_result_is_the_call_s(
    server: str, client: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with between(tmp_path, server=server, client=client) as a:
        found = await a.b.answer_to(await a.start(polls=[]))
        assert text_of(found) == "{}"
        assert (
            found["result"].get("resultType", "legacy") == {"legacy": "legacy", "modern": "complete"}[client]
        )
        assert (a.decided(), a.outcomes()) == (["t__work"], [("act_1", "succeeded")])
        a.nothing_told(caplog)


@ERAS
async def test_how_a_task_goes_is_told_as_progress_to_who_asked_for_it(server: str, tmp_path: Path) -> None:
    async with between(tmp_path, server=server) as a:
        polls = [{"statusMessage": "half"}, {"statusMessage": f"{NAME}!"}, {"statusMessage": "most"}]
        meta = {"_meta": {"progressToken": "p"}}
        request = await a.b.start("tools/call", a.params({"polls": [*polls, {}]}, **meta))
        told = [(await a.b.notified("notifications/progress"))["params"] for _ in range(2)]
        assert [(one["progress"], one["message"]) for one in told] == [(1, "half"), (2, "most")]
        assert {one["progressToken"] for one in told} == {"p"}
        await a.b.cancel(request)
        await a.until_cancelled()


# --- what nobody knows --------------------------------------------------------------------------------------


@ERAS
async def test_a_task_that_is_lost_is_unknown_and_never_not_sent(
    server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    lost = {"error": {"code": -32602, "message": f"no {NAME}"}}
    async with between(tmp_path, server=server) as a:
        found = await a.b.answer_to(await a.start(polls=[{}, lost]))
        assert code_of(found) == "lost-task"
        assert a.outcomes() == [("act_1", "unknown")]
        a.nothing_told(caplog)


@pytest.mark.parametrize("fault", [{"polls": [{"dies": True}]}, {"made": {"status": "odd"}}])
@ERAS
async def test_a_task_that_can_t_be_believed_or_asked_for_is_unknown(
    server: str, fault: Message, tmp_path: Path
) -> None:
    async with between(tmp_path, server=server) as a:
        found = await a.b.answer_to(await a.start(**fault))
        assert code_of(found) in {"server-lost", "bad-task"}
        assert a.outcomes() == [("act_1", "unknown")]


# --- what interrupts a call ---------------------------------------------------------------------------------


@ERAS
@pytest.mark.parametrize(
    ("push", "expected"),
    [
        (TaskPush(task="tsk_1", state="revoked", reason="enough"), "task-ended"),
        (TaskPush(task="tsk_1", state="paused"), "task-paused"),
        (StopPush(stopped=True), "stopped"),
    ],
    ids=["revoked", "paused", "stopped"],
)
async def test_what_ends_a_call_cancels_its_task_by_the_server_s_name_and_withholds_what_it_brings(
    server: str, push: TaskPush | StopPush, expected: str, tmp_path: Path
) -> None:
    async with between(tmp_path, server=server) as a:
        request = await a.start(polls=[{}], deaf="done")  # it brings a result all the same
        await a.until_polled()
        a.b.daemon.push(push)
        assert code_of(await a.b.answer_to(request)) == expected
        await a.until_cancelled()
        (outcome,) = a.outcomes()
        assert outcome[1] == "succeeded", "recorded as what it was, and withheld"


@ERAS
async def test_a_client_that_cancels_or_leaves_has_the_task_cancelled(server: str, tmp_path: Path) -> None:
    async with between(tmp_path, server=server) as a:
        request = await a.start(polls=[{}])
        await a.until_polled()
        await a.b.cancel(request)
        await a.until_cancelled()
        await silence(a.b)
        await a.b.until(lambda: a.outcomes() == [("act_1", "unknown")])
        await a.start(name="another", polls=[{}])
        await a.b.until(lambda: any(one["taskId"] == "another" for one in a.said("tasks/get")))
    assert [one["taskId"] for one in a.said("tasks/cancel")] == [NAME, "another"]


# --- what tasks ask -----------------------------------------------------------------------------------------


@ERAS
@CLIENTS
async def test_what_a_task_asks_is_a_decision_of_its_own_and_answered_as_the_task_s(
    server: str, client: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = {"elicitation/create": YES, "roots/list": FOLDERS}
    async with between(tmp_path, server=server, client=client) as a:
        found = await a.seen_through(answers, asks={"form": FORM, "where": ROOTS})
        assert json.loads(text_of(found)) == {"form": YES, "where": FOLDERS}
        assert sorted(a.decided()) == ["t__elicitation/create", "t__roots/list", "t__work"]
        assert {outcome for _, outcome in a.outcomes()} == {"succeeded"}
        assert len(a.said("tools/call")) == 1, "the call is sent once"
        if server == MODERN:
            (update,) = a.said("tasks/update")
            assert update["inputResponses"] == {"form": YES, "where": FOLDERS}
        else:
            metas = [one["result"]["_meta"] for one in a.heard()]
            assert metas == [{"io.modelcontextprotocol/related-task": {"taskId": NAME}}] * 2
        a.nothing_told(caplog)


@CLIENTS
async def test_a_task_whose_question_is_refused_is_cancelled_and_unknown(client: str, tmp_path: Path) -> None:
    async with between(tmp_path, server=MODERN, client=client) as a:
        refusing(a, "elicitation/create")
        found = await a.b.answer_to(await a.start(asks={"form": FORM}))
        assert code_of(found) == "question-refused"
        assert ("act_1", "unknown") in a.outcomes()
        await a.until_cancelled()
        assert a.said("tasks/update") == []


@CLIENTS
async def test_a_task_whose_question_nobody_answers_is_cancelled_and_unknown(
    client: str, tmp_path: Path
) -> None:
    async with between(tmp_path, server=MODERN, client=client, question=0.2) as a:
        request = await a.start(asks={"form": FORM})
        if client == "legacy":
            assert code_of(await a.b.answer_to(request)) == "question-refused"
        await a.until_cancelled()
        await a.b.until(lambda: ("act_1", "unknown") in a.outcomes())


@pytest.mark.parametrize("state", ["revoked", "paused"])
async def test_what_ends_a_call_while_its_task_asks_cancels_the_task(state: str, tmp_path: Path) -> None:
    async with between(tmp_path, server=MODERN) as a:
        request = await a.start(asks={"form": FORM})
        await a.asked()
        a.b.daemon.push(TaskPush(task="tsk_1", state=state))
        assert code_of(await a.b.answer_to(request)) in {"task-ended", "task-paused"}
        await a.until_cancelled()
        assert ("act_1", "unknown") in a.outcomes()


async def test_a_task_that_asks_too_often_is_cancelled(tmp_path: Path) -> None:
    asked = {"status": "input_required"}
    polls = [asked | {"inputRequests": {f"k{one}": ROOTS}} for one in range(MAX_ROUNDS + 2)]
    async with between(tmp_path, server=MODERN) as a:
        found = await a.seen_through({"roots/list": FOLDERS}, polls=polls)
        assert code_of(found) == "asks-too-often"
        await a.until_cancelled()
        assert ("act_1", "unknown") in a.outcomes()


# --- clients that come back ---------------------------------------------------------------------------------


@ERAS
@CLIENTS
async def test_neither_side_s_name_for_a_task_is_anything_to_the_other(
    server: str, client: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    command = tasking(log=log)
    async with coming_back(tmp_path, command, modern=client == "modern", name="t", era=server) as c:
        a = Tasked(c.b, log, ABLE, modern=client == "modern")
        given = {"name": NAME, "polls": [{}] * 3 + [{"done": True}]}
        name = await c.begin("t__work", given)
        assert text_of(await c.result(name)) == "{}"
        other = await c.begin("t__work", {"name": "another", "polls": [{}]})
        for unknown in (NAME, "another"):
            assert (await c.ask("tasks/get", unknown))["error"]["code"] == -32602
        await c.ask("tasks/cancel", other)
        await c.b.until(lambda: bool(a.said("tasks/cancel")))
        assert [one["taskId"] for one in a.said("tasks/cancel")] == ["another"]
        lines = b"".join(c.b.lines)
    assert NAME.encode() not in lines
    assert not any(one in log.read_text(encoding="utf-8") for one in (name, other))


# --- drift, and ways ----------------------------------------------------------------------------------------


def test_a_tool_that_has_to_be_a_task_all_at_once_is_another_tool() -> None:
    said = (None, "optional", "required")
    more = [{"execution": {"taskSupport": one}} if one else {} for one in said]
    tools = [{"name": "work", "inputSchema": {"type": "object"}} | one for one in more]
    assert len({parse_definition(json.dumps(one).encode()).digest for one in tools}) == 3


async def test_over_http_a_task_goes_on_while_its_server_s_connections_do_not(tmp_path: Path) -> None:
    async with (
        RawHttp(era="modern", does=tasks_over_http()) as there,
        bench(tmp_path, [there.url], name="t") as b,
    ):
        polls = [{}, {"drops": True}]
        found = await b.call(
            "t__work", {"polls": [*polls, {"status": "completed", "result": {"content": []}}]}
        )
        assert code_of(found) == "ok"
        outcomes = [one.outcome for one in b.daemon.asks if isinstance(one, Outcome)]
        assert outcomes == ["succeeded"]
