"""What servers ask within calls that clients come back for: told by name, decided each, answered by key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.tool import QUESTION_NAMES
from taskbound.wire.action import Decide, Outcome
from taskbound.wire.connection import TaskPush
from taskbound.wire.mcp.task import RELATED_KEY
from tests.peers.commands import asking
from tests.surfaces.gateway.asks import FOLDERS, FORM, LABEL, LEGACY, MODERN, ROOTS, YES
from tests.surfaces.gateway.bench import code_of, decision_of, silence, text_of
from tests.surfaces.gateway.errands import Back, coming_back

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

pytestmark = pytest.mark.anyio
Message = dict[str, Any]
ERAS = pytest.mark.parametrize("server", [LEGACY, MODERN])


def before(tmp_path: Path, server: str, *, modern: bool) -> AbstractAsyncContextManager[Back]:
    """A client that comes back, before a server that asks."""
    command = asking(log=tmp_path / "log")
    return coming_back(
        tmp_path, command, modern=modern, name="ask", era=server, granted=QUESTION_NAMES, patience=0.0
    )


async def slowly(c: Back, *rounds: Message) -> str:
    """The name of a call that asks once its client was told to come back for it."""
    with c.b.daemon.holding(Decide) as held:
        request = await c.start("ask__work", {"rounds": list(rounds), "state": True})
        one = await held.next()
        if not c.modern:
            name: str = (await c.b.answer_to(request))["result"]["task"]["taskId"]
            one.answer(c.b.daemon.answer(one.ask))
            return name
        one.answer(c.b.daemon.answer(one.ask))
        questions = [await held.next() for _ in rounds[0]]  # decided while the client has the name already
        name = (await c.b.answer_to(request))["result"]["taskId"]
        for question in questions:
            question.answer(c.b.daemon.answer(question.ask))
    return name


# --- a client of 2026-07-28 ---------------------------------------------------------------------------------


@ERAS
async def test_what_is_asked_stands_in_what_the_client_is_told_and_is_answered_by_key(
    server: str, tmp_path: Path
) -> None:
    async with before(tmp_path, server, modern=True) as c:
        name = await slowly(c, {"form": FORM})
        told = await c.until(name, "input_required")
        ((key, asked),) = told["inputRequests"].items()
        assert asked["method"] == "elicitation/create"
        assert asked["params"]["message"] == LABEL + "How much?"
        assert asked["params"]["_meta"]["io.taskbound/question"]["server"] == "ask"
        assert "requestState" not in told
        answer = await c.ask("tasks/update", name, inputResponses={key: YES})
        assert answer["result"] == {"resultType": "complete"}
        assert json.loads(text_of(await c.result(name))) == {"form": YES}
        assert [one.outcome for one in c.b.daemon.asks if isinstance(one, Outcome)] == ["succeeded"] * 2


@ERAS
async def test_a_part_of_the_answers_leaves_the_rest_to_be_asked(server: str, tmp_path: Path) -> None:
    async with before(tmp_path, server, modern=True) as c:
        name = await slowly(c, {"form": FORM, "where": ROOTS})
        while len((told := await c.until(name, "input_required"))["inputRequests"]) < 2:
            await silence(c.b)
        keys = {one["method"]: key for key, one in told["inputRequests"].items()}
        form, where = keys["elicitation/create"], keys["roots/list"]
        await c.ask("tasks/update", name, inputResponses={form: YES, "nobody-asked": 7})
        left = await c.get(name)
        assert (left["status"], set(left["inputRequests"])) == ("input_required", {where})
        await c.ask("tasks/update", name, inputResponses={form: {"action": "decline"}, where: FOLDERS})
        assert json.loads(text_of(await c.result(name))) == {"form": YES, "where": FOLDERS}


@ERAS
async def test_a_key_is_never_used_again(server: str, tmp_path: Path) -> None:
    async with before(tmp_path, server, modern=True) as c:
        name = await slowly(c, *({"form": FORM} for _ in range(3)))
        keys: list[str] = []
        for _ in range(3):
            told = await c.until(name, "input_required")
            (key,) = told["inputRequests"]
            keys.append(key)
            await c.ask("tasks/update", name, inputResponses={key: YES})
            while key in (await c.get(name)).get("inputRequests", {}):
                await silence(c.b)
        assert len(set(keys)) == len(keys)
        assert json.loads(text_of(await c.result(name))) == {"form": YES}


@pytest.mark.parametrize(
    "wrong",
    [7, None, [], {"action": "yes"}, {"action": "accept", "content": {"much": {"deep": 1}}}],
)
@ERAS
async def test_what_is_no_answer_is_refused_and_has_used_nothing_up(
    server: str, wrong: object, tmp_path: Path
) -> None:
    async with before(tmp_path, server, modern=True) as c:
        name = await slowly(c, {"form": FORM})
        (key,) = (await c.until(name, "input_required"))["inputRequests"]
        refused = await c.ask("tasks/update", name, inputResponses={key: wrong})
        assert (refused["error"]["code"], code_of(refused)) == (-32602, "bad-answers")
        assert code_of(await c.ask("tasks/update", name, inputResponses=[wrong])) == "bad-params"
        await c.ask("tasks/update", name, inputResponses={key: YES})
        assert json.loads(text_of(await c.result(name))) == {"form": YES}


@ERAS
async def test_a_call_that_asked_before_it_took_its_time_is_answered_by_its_state_first(
    server: str, tmp_path: Path
) -> None:
    async with coming_back(
        tmp_path,
        asking(log=tmp_path / "log"),
        modern=True,
        name="ask",
        era=server,
        granted=QUESTION_NAMES,
        patience=20.0,
    ) as c:
        arguments = {"rounds": [{"form": FORM}]}
        asked = (await c.b.answer_to(await c.start("ask__work", arguments)))["result"]
        assert asked["resultType"] == "input_required"
        assert "taskId" not in asked
        (key,) = asked["inputRequests"]
        given = {"inputResponses": {key: YES}, "requestState": asked["requestState"]}
        with c.b.daemon.holding(Outcome) as held:
            request = await c.start("ask__work", arguments, **given)
            one = await held.next()
            (call,) = c.b.gateway._calls.open.values()  # noqa: SLF001 -- what a server says that takes its time
            c.b.gateway._calls.errands.defer(call)  # noqa: SLF001 -- the same
            task = (await c.b.answer_to(request))["result"]
            assert (task["resultType"], task["status"]) == ("task", "working")
            assert "requestState" not in task
            one.answer(c.b.daemon.answer(one.ask))
            if server == LEGACY:
                last = await held.next()
                last.answer(c.b.daemon.answer(last.ask))
        assert json.loads(text_of(await c.result(task["taskId"]))) == {"form": YES}


@ERAS
async def test_what_ends_the_call_ends_what_it_asks(server: str, tmp_path: Path) -> None:
    async with before(tmp_path, server, modern=True) as c:
        name = await slowly(c, {"form": FORM})
        (key,) = (await c.until(name, "input_required"))["inputRequests"]
        c.b.daemon.push(TaskPush(task="tsk_1", state="paused"))
        told = await c.until(name)
        assert decision_of(told)["code"] == "task-paused"
        assert "inputRequests" not in told
        assert (await c.ask("tasks/update", name, inputResponses={key: YES}))["result"]
        assert b'"accept"' not in (tmp_path / "log").read_bytes()


@ERAS
async def test_a_cancel_takes_back_what_is_asked(server: str, tmp_path: Path) -> None:
    async with before(tmp_path, server, modern=True) as c:
        name = await slowly(c, {"form": FORM})
        (key,) = (await c.until(name, "input_required"))["inputRequests"]
        await c.ask("tasks/cancel", name)
        assert await c.status(name) == "cancelled"
        await c.ask("tasks/update", name, inputResponses={key: YES})
        await c.b.until(lambda: c.b.daemon.count(Outcome) > 1)
        assert b'"accept"' not in (tmp_path / "log").read_bytes()


# --- a client of 2025-11-25 ---------------------------------------------------------------------------------


@ERAS
async def test_a_client_of_before_is_asked_by_requests_that_name_the_call(
    server: str, tmp_path: Path
) -> None:
    async with before(tmp_path, server, modern=False) as c:
        name = await slowly(c, {"form": FORM})
        asked = await c.b.wait_for(lambda one: one.get("method") == "elicitation/create")
        assert asked["params"]["_meta"][RELATED_KEY] == {"taskId": name}
        assert asked["params"]["message"] == LABEL + "How much?"
        told = await c.b.notified("notifications/tasks/status")
        assert told["params"]["status"] == "input_required"
        assert await c.status(name) == "input_required"
        line = {"jsonrpc": "2.0", "id": asked["id"], "result": YES}
        await c.b.send(json.dumps(line).encode() + b"\n")
        assert json.loads(text_of(await c.result(name))) == {"form": YES}
        statuses = [
            json.loads(one)["params"]["status"] for one in c.b.lines if b"notifications/tasks/status" in one
        ]
        assert statuses == ["input_required", "working", "completed"]


@ERAS
async def test_who_was_asked_is_not_asked_again_by_coming_for_the_result(server: str, tmp_path: Path) -> None:
    async with before(tmp_path, server, modern=False) as c:
        name = await slowly(c, {"form": FORM})
        asked = await c.b.wait_for(lambda one: one.get("method") == "elicitation/create")
        waiting = [await c.asking("tasks/result", name) for _ in range(2)]
        await silence(c.b)
        line = {"jsonrpc": "2.0", "id": asked["id"], "result": YES}
        await c.b.send(json.dumps(line).encode() + b"\n")
        for one in waiting:
            assert json.loads(text_of(await c.b.answer_to(one))) == {"form": YES}
        assert sum(b'"elicitation/create"' in one for one in c.b.lines) == 1
