"""What every way to a server owes its gateway when a task of the server's asks: of which call, and once."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from taskbound.adapters.upstream.mcp.task import following
from taskbound.core.action.canonical import canonical
from taskbound.ports.upstream import Answered, NoAnswer, QuestionRound, UpstreamAnswer, errored
from tests.contracts.test_upstream import DEADLINE, Heard, Way, answered, calls, until
from tests.contracts.test_upstream_tasks import NAME, made, said, work

pytestmark = pytest.mark.anyio
OLD = pytest.mark.parametrize("way", ["stdio-legacy", "http-legacy"], indirect=True)
NEW = pytest.mark.parametrize("way", ["stdio-modern", "http-modern"], indirect=True)
FORM = {"method": "elicitation/create", "params": {"message": "?"}}
ROOTS = {"method": "roots/list", "params": {"x": 1}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def way(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Way]:
    async with made(request, tmp_path) as one:
        yield one


@OLD
async def test_a_legacy_task_s_question_is_its_call_s_and_answered_as_the_task_s(way: Way) -> None:
    async with way.running("tasks", b'{"roots":{}}') as (upstream, events, heard):
        await upstream.list_tools()
        other: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        upstream.call("work", b'{"polls":[{}]}', other.set_result)
        arguments = json.dumps({"name": NAME, "asks": {"k": ROOTS}}).encode()
        number = upstream.call("work", arguments, found.set_result)
        await until(lambda: bool(events.questions))
        (question,) = events.questions
        assert (question.number, question.method) == (number, "roots/list")
        question.answer(Answered(b'{"roots":[ ]}', {"roots": []}))
        done = await asyncio.wait_for(found, DEADLINE)
        assert isinstance(done, Answered)
        related = {"io.modelcontextprotocol/related-task": {"taskId": NAME}}
        answer = next(one for one in heard() if one.get("id") == "ask-1" and "method" not in one)
        assert answer["result"] == {"roots": [], "_meta": related}
        assert not other.done()


@OLD
async def test_a_question_of_a_task_that_is_not_this_call_s_is_refused(way: Way) -> None:
    async with way.running("tasks", b'{"roots":{}}') as (upstream, events, heard):
        found = await work(upstream, {"asks": {"k": ROOTS}, "of": "another"})
        assert isinstance(found, Answered)
        answer = next(one for one in heard() if one.get("id") == "ask-1")
        assert (answer["error"]["code"], events.questions) == (-32602, [])


@pytest.mark.parametrize("way", ["http-legacy"], indirect=True)
async def test_a_question_in_one_call_s_exchange_is_not_one_of_another_call_s_task(way: Way) -> None:
    async with way.running("tasks", b'{"roots":{}}') as (upstream, events, heard):
        await upstream.list_tools()
        other = json.dumps({"name": "another", "polls": [{}]}).encode()
        number = upstream.call("work", other, lambda _: None, turn=QuestionRound())
        await until(lambda: bool(said(heard, "tasks/get")))
        assert isinstance(await work(upstream, {"asks": {"k": ROOTS}, "of": "another"}), Answered)
        answer = next(one for one in heard() if one.get("id") == "ask-1")
        assert (answer["error"]["code"], events.questions) == (-32602, [])
        upstream.forget(number)


@OLD
async def test_an_error_answers_a_task_s_question_too(way: Way) -> None:
    async with way.running("tasks", b'{"roots":{}}') as (upstream, events, heard):
        await upstream.list_tools()
        upstream.call("work", json.dumps({"asks": {"k": ROOTS}}).encode(), lambda _: None)
        await until(lambda: bool(events.questions))
        events.questions[0].answer(errored(-1, "no"))
        await until(lambda: any("error" in one for one in heard()))


@NEW
async def test_a_modern_task_s_questions_are_answered_by_its_state_and_each_once(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        arguments = json.dumps({"name": NAME, "asks": {"a": FORM, "b": ROOTS}}).encode()
        asked = await answered(upstream, "work", arguments, turn=QuestionRound(offers=b'{"roots":{}}'))
        assert isinstance(asked, Answered)
        assert asked.is_working
        assert asked.value["inputRequests"] == {"a": FORM, "b": ROOTS}
        assert NAME.encode() not in asked.raw
        state = canonical(asked.value["requestState"])
        # One is answered: the other was asked for already, and is not asked for again.
        turn = QuestionRound(answers=b'{"a":{"x":1}}', state=state)
        waiting: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        number = upstream.call("work", arguments, waiting.set_result, turn=turn)
        polled = len(said(heard, "tasks/get"))
        await until(lambda: len(said(heard, "tasks/get")) > polled + 2)
        assert not waiting.done()
        upstream.cancel(number, "enough")
        assert isinstance(await asyncio.wait_for(waiting, DEADLINE), NoAnswer)
        (update,) = said(heard, "tasks/update")
        assert update["params"]["inputResponses"] == {"a": {"x": 1}}
        assert len(calls(heard)) == 1, "the call is sent once"


@NEW
async def test_a_modern_task_goes_on_once_it_is_answered(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        arguments = json.dumps({"name": NAME, "asks": {"a": FORM}}).encode()
        asked = await answered(upstream, "work", arguments, turn=QuestionRound())
        assert isinstance(asked, Answered)
        turn = QuestionRound(answers=b'{"a":{"x":1.50}}', state=canonical(asked.value["requestState"]))
        found = await answered(upstream, "work", arguments, turn=turn)
        assert isinstance(found, Answered)
        assert json.loads(found.value["content"][0]["text"]) == {"a": {"x": 1.5}}  # type: ignore[index,call-overload,arg-type]  # a result's shape
        assert len(calls(heard)) == 1
        assert said(heard, "tasks/cancel") == []


@pytest.mark.parametrize(
    "way", ["stdio-modern", "http-modern", "egress+stdio-modern", "egress+http-modern"], indirect=True
)
async def test_a_task_that_asks_where_nobody_can_be_asked_is_cancelled(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        found = await answered(upstream, "work", json.dumps({"asks": {"a": FORM}}).encode())
        assert isinstance(found, NoAnswer)
        assert found.code == "unasked-question"
        await until(lambda: bool(said(heard, "tasks/cancel")))


@NEW
async def test_a_task_that_asks_and_is_not_answered_is_cancelled_before_the_end(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        number: list[int] = []
        asked: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        number.append(
            upstream.call(
                "work", json.dumps({"asks": {"a": FORM}}).encode(), asked.set_result, turn=QuestionRound()
            )
        )
        await asyncio.wait_for(asked, DEADLINE)
        upstream.cancel(number[0], "nobody answers")
        await upstream.close()
        assert len(said(heard, "tasks/cancel")) == 1


@pytest.mark.parametrize("way", ["stdio-modern"], indirect=True)
async def test_a_server_that_ends_while_its_client_is_asked_makes_the_call_unknown(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, _heard):
        arguments = json.dumps({"asks": {"a": FORM}}).encode()
        asked = await answered(upstream, "work", arguments, turn=QuestionRound())
        assert isinstance(asked, Answered)
        upstream.kill("enough")
        turn = QuestionRound(answers=b"{}", state=canonical(asked.value["requestState"]))
        found = await answered(upstream, "work", arguments, turn=turn)
        assert isinstance(found, NoAnswer), "it was sent, and nobody knows what it did"
        assert found.code == "server-lost"


@NEW
async def test_a_task_of_which_nobody_knows_whether_it_was_answered_makes_the_call_unknown(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        arguments = json.dumps({"name": NAME, "asks": {"a": FORM}, "refuses": True}).encode()
        asked = await answered(upstream, "work", arguments, turn=QuestionRound())
        assert isinstance(asked, Answered)
        turn = QuestionRound(answers=b'{"a":{}}', state=canonical(asked.value["requestState"]))
        found = await answered(upstream, "work", arguments, turn=turn)
        assert isinstance(found, NoAnswer)
        assert found.code == "lost-answers"
        assert len(said(heard, "tasks/update")) == 1, "answers are told once"
        await until(lambda: bool(said(heard, "tasks/cancel")))


@NEW
async def test_nobody_is_asked_for_a_task_that_is_cancelled(way: Way) -> None:
    async with way.running("tasks") as (upstream, _, heard):
        found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        asks = {"status": "input_required", "inputRequests": {"a": FORM}}
        arguments = json.dumps({"polls": [{}] * 3 + [asks], "deaf": True}).encode()
        number = upstream.call("work", arguments, found.set_result, turn=QuestionRound())
        await until(lambda: bool(said(heard, "tasks/get")))
        upstream.cancel(number, "enough")
        await until(lambda: len(said(heard, "tasks/get")) > 6)
        assert not found.done()


# --- many at once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "way", [f"{kind}-{era}" for kind in ("stdio", "http") for era in ("legacy", "modern")], indirect=True
)
async def test_of_many_tasks_each_is_answered_once_and_nothing_is_kept(way: Way) -> None:
    chance = Random(7)  # noqa: S311 -- not a secret: the order of a test
    ends: list[dict[str, Any]] = [
        {},
        {"brings": {"error": {"code": -7, "message": "no"}}},
        {"polls": [{}, {"error": {"code": -32602, "message": "gone"}}]},
        {"polls": [{}, {"status": "odd"}]},
        {"polls": [{}]},
        {"polls": [{}], "deaf": True},
    ]
    async with way.running("tasks") as (upstream, _, heard):
        await upstream.list_tools()
        answers: dict[int, list[UpstreamAnswer]] = {}
        left: set[int] = set()
        numbers: list[int] = []
        for at in range(60):
            given = chance.choice(ends) | {"name": f"task-{at}"}
            answers[at] = []
            numbers.append(
                upstream.call("work", json.dumps(given).encode(), answers[at].append, turn=QuestionRound())
            )
            for one in chance.sample(range(at + 1), min(at, 2)):
                if chance.random() < 0.5:
                    upstream.cancel(numbers[one], "enough")
                elif not answers[one]:
                    upstream.forget(numbers[one])
                    left.add(one)
            await asyncio.to_thread(os.sched_yield)
        for at, number in enumerate(numbers):
            upstream.cancel(number, "enough")
            if not answers[at] and chance.random() < 0.5:
                upstream.forget(number)
                left.add(at)
        await until(lambda: all(answers[one] or one in left or _is_deaf(heard, one) for one in answers))
        for number in numbers:
            upstream.forget(number)
        assert all(len(one) <= 1 for one in answers.values())
        assert not any(answers[one] for one in left)
        tasks = cast("Any", upstream)._tasks  # noqa: SLF001 -- to see that nothing is kept
        await until(lambda: not (tasks._works or tasks._names or tasks._states or tasks._leaving))  # noqa: SLF001 -- the same


@pytest.mark.parametrize("way", ["stdio-legacy", "http-modern"], indirect=True)
async def test_so_many_names_and_calls_that_were_left_are_remembered_and_no_more(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_MOST_GIVEN", 2)
    monkeypatch.setattr(following, "_MOST_LATE", 1)
    async with way.running("tasks") as (upstream, _, _heard):
        await upstream.list_tools()
        tasks = cast("Any", upstream)._tasks  # noqa: SLF001 -- to see what is kept
        for at in range(4):
            assert isinstance(await work(upstream, {"name": f"task-{at}"}), Answered)
        assert list(tasks._given) == ["task-2", "task-3"]  # noqa: SLF001 -- the same
        found: list[UpstreamAnswer] = []
        for at in range(3):
            given = json.dumps({"name": f"late-{at}", "late": True}).encode()
            number = upstream.call("work", given, found.append, turn=QuestionRound())
            upstream.forget(number)
            assert len(tasks._works) == len(tasks._late) == 1, at  # noqa: SLF001 -- the same
        assert found == []


@OLD
async def test_a_task_that_is_waited_for_is_no_other_call_s_whatever_was_named_since(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_MOST_GIVEN", 1)
    async with way.running("tasks") as (upstream, _, heard):
        await upstream.list_tools()
        found: list[UpstreamAnswer] = []
        works = {"name": NAME, "polls": [{}]}
        number = upstream.call("work", json.dumps(works).encode(), found.append, turn=QuestionRound())
        await until(lambda: bool(said(heard, "tasks/get")))
        unasked = await work(upstream, works, tool="plain")
        assert isinstance(unasked, NoAnswer)
        assert isinstance(await work(upstream, {"name": "another"}), Answered)
        again, later = await work(upstream, works), await work(upstream, works, tool="plain")
        assert isinstance(again, NoAnswer)
        assert isinstance(later, NoAnswer)
        assert (unasked.code, again.code, later.code) == ("unasked-task", "reused-task", "unasked-task")
        assert (said(heard, "tasks/cancel"), found) == ([], []), "it is the first one's"
        upstream.forget(number)


def _is_deaf(heard: Heard, at: int) -> bool:
    """Whether this call's server takes no notice of a cancel, so that nothing answers it."""
    return any(
        one["params"]["arguments"].get("deaf")
        for one in said(heard, "tools/call")
        if one["params"]["arguments"]["name"] == f"task-{at}"
    )
