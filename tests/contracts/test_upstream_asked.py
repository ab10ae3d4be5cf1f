"""What every way to a server owes its gateway when the server asks: a request, or an answer that asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from taskbound.ports.upstream import Answered, QuestionRound, errored
from tests.contracts.test_upstream import Heard, Way, answered, calls, until
from tests.peers.asking import STATE

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    kind, era = request.param.split("-")
    return Way(kind, era, tmp_path)


OLD = pytest.mark.parametrize("way", ["stdio-legacy", "http-legacy"], indirect=True)
NEW = pytest.mark.parametrize("way", ["stdio-modern", "http-modern"], indirect=True)
ROOTS = b'{"rounds":[{"k":{"method":"roots/list","params":{"x":1}}}]}'
WORDS = b'"requestState":%b' % json.dumps(STATE % 0).encode()


def told(heard: Heard) -> list[dict[str, Any]]:
    """What the server was answered."""
    return [one for one in heard() if "method" not in one]


@OLD
async def test_a_legacy_server_s_question_is_heard_with_its_call_and_answered_once(way: Way) -> None:
    async with way.running("asks", b'{"roots":{}}') as (upstream, events, heard):
        opening = next(one for one in heard() if one.get("method") == "initialize")
        assert opening["params"]["capabilities"] == {"roots": {}}
        number = upstream.call("work", ROOTS, lambda _: None)
        await until(lambda: bool(events.questions))
        (question,) = events.questions
        assert (question.method, question.params) == ("roots/list", {"x": 1})
        assert question.number == (number if way.kind == "http" else 0)
        question.answer(Answered(b'{"roots":[ ]}', {"roots": []}))
        question.answer(errored(-1, "again"))
        await until(lambda: bool(told(heard)))
        assert told(heard) == [{"jsonrpc": "2.0", "id": "ask-1", "result": {"roots": []}}]


@OLD
async def test_an_error_answers_a_question_too(way: Way) -> None:
    async with way.running("asks", b'{"roots":{}}') as (upstream, events, heard):
        upstream.call("work", ROOTS, lambda _: None)
        await until(lambda: bool(events.questions))
        events.questions[0].answer(errored(-1, "no"))
        await until(lambda: bool(told(heard)))
        assert told(heard) == [{"jsonrpc": "2.0", "id": "ask-1", "error": {"code": -1, "message": "no"}}]


@OLD
async def test_what_a_legacy_server_was_not_told_of_it_is_refused(way: Way) -> None:
    async with way.running("asks", b'{"sampling":{}}') as (upstream, events, heard):
        upstream.call("work", ROOTS, lambda _: None)
        await until(lambda: bool(told(heard)))
        assert (told(heard)[0]["error"]["code"], events.questions) == (-32601, [])


@NEW
async def test_a_modern_server_is_told_what_can_be_asked_and_gets_its_state_back_as_it_was(way: Way) -> None:
    arguments = ROOTS.replace(b"]}", b'],"state":true}')
    async with way.running("asks", b'{"sampling":{}}') as (upstream, events, heard):
        found = await answered(upstream, "work", arguments, turn=QuestionRound(offers=b'{"roots":{}}'))
        assert isinstance(found, Answered)
        assert found.value["resultType"] == "input_required"
        state = WORDS.removeprefix(b'"requestState":')
        turn = QuestionRound(answers=b'{"k":{"roots":[]}}', state=state)
        assert isinstance(await answered(upstream, "work", arguments, turn=turn), Answered)
        first, second = calls(heard)
        declared = [one["_meta"]["io.modelcontextprotocol/clientCapabilities"] for one in (first, second)]
        assert declared == [{"roots": {}}, {}]
        assert (second["requestState"], second["inputResponses"]) == (STATE % 0, {"k": {"roots": []}})
        assert first["arguments"] == second["arguments"]
        assert (events.questions, "requestState" in first) == ([], False)
