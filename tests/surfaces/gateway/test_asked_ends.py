"""How the questions of a server end: by their one client, in their time, and with their call."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.ports.upstream import NoAnswer
from taskbound.surfaces.gateway.asked import questions
from taskbound.surfaces.gateway.asked.parked import ParkedCalls, QuestionBatch
from taskbound.surfaces.gateway.asked.questions import MAX_ROUNDS
from taskbound.surfaces.gateway.call import Call
from taskbound.wire.action import Decide, Reason, Refused
from taskbound.wire.approval import HoldPush, LeaveHold
from taskbound.wire.connection import StopPush, TaskPush
from tests.surfaces.gateway.asks import (
    FOLDERS,
    FORM,
    LEGACY,
    MODERN,
    ROOTS,
    YES,
    Asking,
    between,
    refusing,
)
from tests.surfaces.gateway.bench import code_of, silence, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.ports.upstream import UpstreamAnswer

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("server", [LEGACY, MODERN])
CLIENTS = pytest.mark.parametrize("client", ["legacy", "modern"])


# --- states -------------------------------------------------------------------------------------------------


@ERAS
async def test_a_state_is_of_one_request_and_used_once(server: str, tmp_path: Path) -> None:
    given = {"rounds": [{"form": FORM}]}
    async with between(tmp_path, server=server, client="modern") as a:
        result = (await a.b.answer_to(await a.start({"form": FORM})))["result"]
        (key,), state = result["inputRequests"], result["requestState"]
        for arguments, tried in ((given, f"{state}-TAMPERED"), (given | {"x": 1}, state), (given, "")):
            assert code_of(await a.again(arguments, tried, {key: YES})) == "unknown-state"
        assert code_of(await a.again(given, state, {"other": YES})) == "bad-answers"
        assert json.loads(text_of(await a.again(given, state, {key: YES}))) == {"form": YES}
        assert code_of(await a.again(given, state, {key: YES})) == "unknown-state"
        await a.b.until(lambda: a.recorded() == ["unknown-state"] * 3 + ["bad-answers", "unknown-state"])
        assert a.decided() == ["ask__work", "ask__elicitation/create"]


async def test_what_is_left_out_is_asked_again_under_another_state(tmp_path: Path) -> None:
    given = {"rounds": [{"one": FORM, "two": ROOTS}]}
    async with between(tmp_path, server=MODERN, client="modern") as a:
        first = (await a.b.answer_to(await a.start({"one": FORM, "two": ROOTS})))["result"]
        second = (await a.again(given, first["requestState"], {"two": FOLDERS}))["result"]
        assert list(second["inputRequests"]) == ["one"]
        assert second["requestState"] != first["requestState"]
        found = await a.again(given, second["requestState"], {"one": YES})
        assert json.loads(text_of(found)) == {"one": YES, "two": FOLDERS}


async def test_answers_without_a_state_go_nowhere(tmp_path: Path) -> None:
    async with between(tmp_path, server=MODERN, client="modern") as a:
        params = a.params({"rounds": [{"form": FORM}]}, inputResponses={"form": YES})
        found = await a.b.request("tools/call", params, modern=True)
        assert list(found["result"]["inputRequests"]) == ["form"]
        assert "inputResponses" not in a.calls()[0]


async def test_one_question_that_is_refused_has_none_of_its_round_asked(tmp_path: Path) -> None:
    async with between(tmp_path, server=MODERN, client="modern") as a:
        refusing(a, "roots/list")
        found = await a.b.answer_to(await a.start({"one": FORM, "two": ROOTS}))
        assert code_of(found) == "question-refused"
        assert len(a.calls()) == 1
        assert dict(a.outcomes()) == {"act_1": "failed", "act_2": "failed"}


# --- ends ---------------------------------------------------------------------------------------------------


async def test_a_cancelled_call_takes_its_question_back_and_a_late_answer_reaches_nobody(a: Asking) -> None:
    request = await a.start({"form": FORM})
    asked = await a.asked()
    await a.b.cancel(request)
    told = await a.b.notified("notifications/cancelled")
    assert told["params"]["requestId"] == asked["id"]
    await a.answer(asked["id"], YES)
    await a.b.until(lambda: len(a.outcomes()) == 2)
    assert [one["error"]["code"] for one in a.heard()] == [-32603]
    assert dict(a.outcomes())["act_2"] == "failed"
    await silence(a.b)


def held(ask: Decide) -> Refused | None:
    """Every question is held for people."""
    if "/" not in ask.tool:
        return None
    why = (Reason(code="held", text="x"),)
    return Refused(code="held", action="act_h", task="tsk_1", reasons=why, instead="wait")


@pytest.mark.parametrize(
    ("how", "code"), [("pause", "task-paused"), ("stop", "stopped"), ("lost", "daemon-lost")]
)
@pytest.mark.parametrize(("server", "client"), [(LEGACY, "legacy"), (MODERN, "modern")])
async def test_a_question_that_is_held_for_people_is_asked_by_nobody_once_its_call_is_interrupted(
    server: str, client: str, how: str, code: str, tmp_path: Path
) -> None:
    async with between(tmp_path, server=server, client=client, hold=30.0) as a:
        a.b.daemon.on[Decide] = held
        request = await a.start({"form": FORM})
        await a.b.until(lambda: a.decided() == ["ask__work", "ask__elicitation/create"])
        await quiet(a)
        match how:
            case "pause":
                a.b.daemon.push(TaskPush(task="tsk_1", state="paused"))
            case "stop":
                a.b.daemon.push(StopPush(stopped=True))
            case _:
                await a.b.daemon.stop()
        assert code_of(await a.b.answer_to(request)) == code
        if server == LEGACY:
            (told,) = await a.until_answered()
            assert told["error"]["code"] == -32603
        if how == "lost":
            await a.b.daemon.listen()
        await a.b.until(lambda: len(a.outcomes()) == 1)  # the call's: of what was held there is none
        assert len(a.calls()) == 1
        # What people lift now waits for the same question, and leads to none by itself (4.5).
        a.b.daemon.push(HoldPush(action="act_h", state="approved"))
        await quiet(a)
        assert a.decided() == ["ask__work", "ask__elicitation/create"]
        assert a.b.daemon.count(LeaveHold) == 0
        assert b'"accept"' not in a.log.read_bytes()
        del a.b.daemon.on[Decide]
        a.b.daemon.push(StopPush(stopped=False))
        a.b.daemon.push(TaskPush(task="tsk_1", state="running"))
        found = await a.seen_through({"elicitation/create": YES}, {"form": FORM})
        assert json.loads(text_of(found)) == {"form": YES}


async def quiet(a: Asking) -> None:
    """The client is asked nothing."""
    await (silence_modern(a) if a.modern else silence(a.b))


@ERAS
async def test_a_task_that_ends_ends_what_its_client_was_asked(server: str, tmp_path: Path) -> None:
    given = {"rounds": [{"form": FORM}]}
    async with between(tmp_path, server=server, client="modern") as a:
        result = (await a.b.answer_to(await a.start({"form": FORM})))["result"]
        (key,) = result["inputRequests"]
        a.b.daemon.push(TaskPush(task="tsk_1", state="revoked", reason="enough"))
        await a.b.until(lambda: len(a.outcomes()) == 2)
        late = await a.again(given, result["requestState"], {key: YES})
        assert code_of(late) == "unknown-state"
        assert b'"accept"' not in a.log.read_bytes()
        found = dict(a.outcomes())
        assert found["act_2"] == "failed"
        assert found["act_1"] in ({"succeeded", "unknown"} if server == LEGACY else {"failed"})


async def test_a_question_that_nobody_answers_is_over_in_time(tmp_path: Path) -> None:
    async with between(tmp_path, question=0.3) as a:
        request = await a.start({"form": FORM})
        asked = await a.asked()
        found = json.loads(text_of(await a.b.answer_to(request)))
        assert found["form"]["error"]["code"] == -32603
        told = await a.b.notified("notifications/cancelled")
        assert told["params"]["requestId"] == asked["id"]


async def test_a_client_that_does_not_come_back_leaves_a_call_that_failed(tmp_path: Path) -> None:
    async with between(tmp_path, server=MODERN, client="modern", question=0.3) as a:
        result = (await a.b.answer_to(await a.start({"form": FORM})))["result"]
        await a.b.until(lambda: len(a.outcomes()) == 2)
        assert dict(a.outcomes()) == {"act_1": "failed", "act_2": "failed"}
        (key,) = result["inputRequests"]
        late = await a.again({"rounds": [{"form": FORM}]}, result["requestState"], {key: YES})
        assert code_of(late) == "unknown-state"


async def test_a_result_waits_for_a_client_that_was_asked_and_is_settled_when_it_is_back(
    tmp_path: Path,
) -> None:
    given = {"rounds": [{"form": FORM}]}
    async with between(tmp_path, client="modern") as a:
        result = (await a.b.answer_to(await a.start({"form": FORM})))["result"]
        assert text_of(await a.b.answer_to(await a.start(hurries=True))) == "{}"
        rest = {"act_2": "failed", "act_3": "succeeded"}
        await a.b.until(lambda: dict(a.outcomes()) == rest)
        await silence_modern(a)
        assert dict(a.outcomes()) == rest
        (key,) = result["inputRequests"]
        found = await a.again(given, result["requestState"], {key: YES})
        assert text_of(found) == "{}"
        assert a.outcomes()[-1] == ("act_1", "succeeded")


@CLIENTS
async def test_a_question_in_one_write_with_the_answer_to_its_call_is_a_stray_one(a: Asking) -> None:
    request = await a.start({"form": FORM}, hasty=True)
    assert text_of(await a.b.answer_to(request)) == "{}"
    (told,) = await a.until_answered()
    assert told["error"]["code"] == -32603
    await a.b.until(lambda: a.recorded() == ["stray-question"])
    assert a.decided() == ["ask__work"]
    assert not a.b.gateway.is_waiting


@CLIENTS
async def test_a_server_that_asks_and_dies_may_have_acted(client: str, tmp_path: Path) -> None:
    async with between(tmp_path, server=MODERN, client=client) as a:
        given = {"rounds": [{"form": FORM}], "dies": True}
        request = await a.start({"form": FORM}, dies=True)
        asked = await a.b.wait_for(lambda one: "id" in one)
        await a.b.until(lambda: not a.b.running("ask").ready)
        if client == "legacy":
            await a.answer(asked["id"], YES)
            found = await a.b.answer_to(request)
        else:
            result = asked["result"]
            (key,) = result["inputRequests"]
            found = await a.again(given, result["requestState"], {key: YES})
        assert code_of(found) == "server-lost"
        assert dict(a.outcomes()) == {"act_1": "unknown", "act_2": "succeeded"}
        assert len(a.calls()) == 1


async def test_the_end_of_a_question_that_was_taken_back_answers_no_other_of_its_id(a: Asking) -> None:
    found = await a.seen_through({"roots/list": FOLDERS}, {"one": FORM, "two": ROOTS}, reuses=True)
    assert json.loads(text_of(found)) == {"two": FOLDERS}


async def test_nobody_is_asked_for_a_round_that_does_not_come(tmp_path: Path) -> None:
    async with between(tmp_path, server=MODERN) as a:
        found = await a.seen_through({"roots/list": FOLDERS}, *[{"a": ROOTS}] * (MAX_ROUNDS + 1), state=True)
        assert code_of(found) == "asks-too-often"
        assert len(a.calls()) == MAX_ROUNDS
        assert a.decided().count("ask__roots/list") == MAX_ROUNDS - 1


async def test_results_that_wait_for_their_clients_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "MAX_HELD", 10)
    async with between(tmp_path, client="modern") as a:
        result = (await a.b.answer_to(await a.start({"form": FORM})))["result"]
        assert text_of(await a.b.answer_to(await a.start(hurries=True))) == "{}"
        await a.b.until(lambda: len(a.outcomes()) == 3)
        assert dict(a.outcomes()) == {"act_1": "succeeded", "act_2": "failed", "act_3": "succeeded"}
        (key,) = result["inputRequests"]
        late = await a.again({"rounds": [{"form": FORM}]}, result["requestState"], {key: YES})
        assert code_of(late) == "unknown-state"


async def test_a_question_that_is_taken_back_before_it_is_shown_is_shown_to_nobody() -> None:
    shown: list[bytes] = []
    client: Any = SimpleNamespace(answer=lambda line, _: shown.append(line))
    parked = ParkedCalls(client, lambda _: None, lambda _, __: None)
    parent, question = _call(1), _call(None)
    got: list[UpstreamAnswer] = []
    way = QuestionBatch(parked, parent, ["k"]).way("k", question)
    way.cancel(way.call("roots/list", b"{}", got.append), "the task has ended")
    await asyncio.sleep(0)
    assert got == [NoAnswer("taken-back", "the task has ended")]
    over = QuestionBatch(parked, _call(None), ["k"]).way("k", question)
    over.call("roots/list", b"{}", got.append)
    await asyncio.sleep(0)
    assert got[1:] == [NoAnswer("taken-back", "the call is over")]
    assert not shown
    assert not parked.calls


def _call(name: int | None) -> Call:
    return Call(
        id=name,
        id_raw=b"1",
        request="1",
        key="",
        tool="a__b",
        server="a",
        own="b",
        arguments=b"{}",
        modern=True,
    )


async def silence_modern(a: Asking) -> None:
    """A question of our own is answered, and nothing else."""
    request = await a.b.start("server/discover", modern=True)
    assert "result" in await a.b.answer_to(request)


async def test_a_question_that_the_server_takes_back_is_taken_back_at_the_client(a: Asking) -> None:
    await a.start({"form": FORM}, withdraws=True)
    await a.b.until(lambda: bool(a.outcomes()))
    assert a.outcomes()[0] in {("act_2", "failed"), ("act_2", "not-sent")}
    await silence(a.b)
    assert a.heard() == []


async def test_one_client_of_a_pipe_is_asked_whatever_calls_are_open(a: Asking) -> None:
    first = await a.start({"form": FORM})
    asked = await a.asked()
    second = await a.start({"form": FORM})
    other = await a.asked()
    await a.answer(other["id"], YES | {"content": {"much": 2}})
    await a.answer(asked["id"], YES)
    assert json.loads(text_of(await a.b.answer_to(second)))["form"]["content"] == {"much": 2}
    assert json.loads(text_of(await a.b.answer_to(first)))["form"]["content"] == {"much": 1.5}


async def test_a_second_presentation_is_asked_about_under_a_name_of_its_own(a: Asking) -> None:
    await a.seen_through({"elicitation/create": YES}, {"one": FORM}, {"two": FORM})
    asked = [one for one in a.b.daemon.asks if isinstance(one, Decide) and "/" in one.tool]
    assert len({one.request for one in asked}) == 2
    assert all(one.request.startswith('["asked",') for one in asked)
