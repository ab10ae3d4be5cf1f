"""Calls that clients come back for, attacked: by ids used anew, answers of before, ends at a bad time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.wire.action import Decide, Duplicate, Outcome, Withheld
from taskbound.wire.connection import StopPush, TaskPush
from taskbound.wire.mcp.era import IDEMPOTENCY_KEY
from taskbound.wire.tool import CoverCalls, Coverings
from tests.peers.commands import echo, faulty
from tests.surfaces.gateway.bench import code_of, decision_of, reached, text_of
from tests.surfaces.gateway.errands import coming_back

if TYPE_CHECKING:
    from pathlib import Path

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


async def test_nor_is_one_whose_outcome_is_owed(tmp_path: Path) -> None:
    async with coming_back(tmp_path, echo(), modern=False, name="echo") as c:
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


async def test_a_stored_answer_is_confirmed_as_any_that_a_server_gave(tmp_path: Path) -> None:
    async with coming_back(tmp_path, echo(), modern=False, name="echo") as c:
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
    push: TaskPush | StopPush, code: str, tmp_path: Path
) -> None:
    async with coming_back(tmp_path, echo(), modern=False, name="echo") as c:
        c.b.daemon.on[Decide] = lambda _: Duplicate(
            action="act_1", task="tsk_1", state="succeeded", answer=STORED
        )
        name = await c.begin("echo__echo", {"text": "a"})
        assert text_of(await c.result(name)) == "of before"
        c.b.daemon.push(push)
        c.b.daemon.push(TaskPush(task="tsk_1", state="running"))
        await c.b.until(lambda: c.b.gateway._calls.errands.find(name, modern=False).call.cause is not None)  # noqa: SLF001 -- to see the push arrive
        assert decision_of(await c.result(name))["code"] == code
