"""Tasks of servers with secrets: the egress waits for those of permitted calls, and for no others."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.action.canonical import canonical
from taskbound.wire.mcp.message import MODERN
from tests.peers.commands import tasking
from tests.peers.rawclient import text_of
from tests.surfaces.egress.keeping import SECRET, SLOT, kept
from tests.surfaces.egress.test_asked import FORM, seen_through
from tests.surfaces.egress.test_hostile import hostile
from tests.surfaces.gateway.asks import FOLDERS, ROOTS, YES
from tests.surfaces.gateway.bench import code_of
from tests.surfaces.gateway.real import DEADLINE
from tests.waiting import others

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.egress.test_hostile import Hostile

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
NAME = "task-of-the-server"


def heard(folder: Path, method: str) -> list[Any]:
    lines = [json.loads(line) for line in (folder / "heard").read_text(encoding="utf-8").splitlines()]
    return [one["params"] for one in lines if one.get("method") == method]


async def until(folder: Path, method: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while not heard(folder, method):
            await others()


async def test_a_server_with_secrets_may_make_tasks_and_its_words_are_looked_through(tmp_path: Path) -> None:
    log = tmp_path / "heard"
    async with kept(tmp_path, tasking(log=log), values={SLOT: SECRET}) as place:
        async with place.gateway("legacy") as client:
            given = {"name": NAME, "polls": [{"statusMessage": "half"}, {"done": True}]}
            assert text_of(await client.call("keeper__work", json.dumps(given).encode())) == "{}"
            told = {"polls": [{"statusMessage": f"it is {SECRET}"}, {"done": True}]}
            params = {"name": "keeper__work", "arguments": told, "_meta": {"progressToken": "p"}}
            answer = await client.request("tools/call", json.dumps(params).encode())
            assert code_of(answer) == "secret-in-answer"
            assert SECRET not in str(answer)
            assert not any(NAME.encode() in line or SECRET.encode() in line for line in client.lines)
        assert [one.state for one in await place.settled(2)] == ["succeeded", "unknown"]
    assert next(one["taskId"] for one in heard(tmp_path, "tasks/get")) == NAME


async def answers_by_itself(one: Hostile, folder: Path) -> None:
    """A task that asks goes on with no answer of a gateway's own, and not at all then."""
    given: dict[str, Any] = {"name": "another", "asks": {"a": FORM}}
    offers: dict[str, Any] = {"offers": {"elicitation": {}}}
    action = await one.permit("keeper__work", **given)
    call = {"op": "egress:call", "number": 10, "action": action, "tool": "work", "arguments": given}
    asked = await one.asked("good", call | offers)
    assert (asked["is"], asked["working"], "another" in str(asked["raw"])) == ("result", True, False)
    answer = {"key": "a", "action": "act_0", "answer": {"action": "accept"}}
    forged = {"op": "egress:continue", "number": 11, "action": action, "given": [answer]}
    assert (await one.asked("good", forged | offers))["is"] == "not-sent"
    again = await one.asked("good", forged | offers | {"number": 12})
    assert (again["is"], again["code"]) == ("not-sent", "other-act")
    async with asyncio.timeout(DEADLINE):
        while len(heard(folder, "tasks/cancel")) < 2:
            await others()
    assert heard(folder, "tasks/cancel")[1]["taskId"] == "another"
    assert heard(folder, "tasks/update") == []


async def test_a_gateway_can_poll_and_cancel_no_task_but_by_its_own_permitted_call(tmp_path: Path) -> None:
    log = tmp_path / "heard"
    async with (
        kept(tmp_path, tasking(log=log), values={SLOT: SECRET}) as place,
        hostile(place) as one,
        hostile(place) as other,
    ):
        assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        assert (await other.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        assert (await one.begun("good", era=MODERN))["is"] == "started"
        assert (await one.asked("good", {"op": "egress:list", "number": 1, "method": "tools/list"}))[
            "is"
        ] == ("entries")
        given = {"name": NAME, "polls": [{}]}
        ask = {"op": "egress:call", "number": 2, "action": await one.permit("keeper__work", **given)}
        await one.step("say", "good", ask | {"tool": "work", "arguments": given})
        await until(tmp_path, "tasks/get")
        # No method of tasks is a tool, a list, or anything else that can be asked for.
        about = {"taskId": NAME}
        for number, method in enumerate(("tasks/get", "tasks/result", "tasks/cancel", "tasks/list"), 3):
            spare = await one.permit("keeper__plain", **about)
            assert (await one.call("good", number, spare, method, **about))["code"] == "other-act"
            assert (await one.begun(method, era=MODERN))["is"] == "started"
            listed = await one.asked(method, {"op": "egress:list", "number": 1, "method": method})
            assert listed["code"] == "not-started"
        # Numbers are of one connection: another one's cancel is nobody's.
        assert (await other.begun("theirs", era=MODERN))["is"] == "started"
        for ask in (
            {"op": "egress:cancel", "number": 2, "reason": "x"},
            {"op": "egress:forget", "number": 2},
        ):
            await other.step("say", "theirs", ask)
        spare = await other.permit("keeper__plain")
        assert (await other.call("theirs", 9, spare, "plain"))["is"] == "result"
        assert heard(tmp_path, "tasks/cancel") == []
        await one.step("say", "good", {"op": "egress:cancel", "number": 2, "reason": "of-the-gateway"})
        assert (await one.step("hear", "good"))["code"] == "cancelled-task"
        assert [one["taskId"] for one in heard(tmp_path, "tasks/cancel")] == [NAME]
        await answers_by_itself(one, tmp_path)
    assert "of-the-gateway" not in log.read_text(encoding="utf-8")


async def test_what_a_task_of_a_server_with_secrets_asks_is_answered_or_its_task_cancelled(
    tmp_path: Path,
) -> None:
    spilled = {"method": "elicitation/create", "params": FORM["params"] | {"message": SECRET}}
    asks = ["elicitation/create", "roots/list"]
    command = tasking(log=tmp_path / "heard")
    async with (
        kept(tmp_path, command, name="ask", values={SLOT: SECRET}, asks=asks) as place,
        place.gateway("legacy", elicitation={}, roots={}) as client,
    ):
        found, asked = await seen_through(client, name=NAME, asks={"a": FORM, "b": ROOTS})
        assert json.loads(text_of(found)) == {"a": YES, "b": FOLDERS}
        assert sorted(one["method"] for one in asked) == asks
        assert heard(tmp_path, "tasks/cancel") == []
        # What a secret stands in is put to nobody, and the task does not go on without an answer.
        withheld, spoken = await seen_through(client, name="another", asks={"a": spilled})
        assert (code_of(withheld), spoken) == ("secret-in-answer", [])
        await until(tmp_path, "tasks/cancel")
        # Nobody answers any more, since the client cancels.
        request = await client.start_call(
            "ask__work", json.dumps({"name": "third", "asks": {"a": FORM}}).encode()
        )
        await client.wait_for(lambda one: one.get("method") == "elicitation/create")
        await client.cancel(request)
        async with asyncio.timeout(DEADLINE):
            while len(heard(tmp_path, "tasks/cancel")) < 2:
                await others()
        states = [one.state for one in await place.settled(6) if one.tool == "ask__work"]
    assert states == ["succeeded", "unknown", "unknown"]
    assert [one["taskId"] for one in heard(tmp_path, "tasks/cancel")] == ["another", "third"]
    assert len(heard(tmp_path, "tools/call")) == 3, "each is sent once"


async def test_a_call_whose_task_was_let_go_is_not_sent_again_with_the_answers_to_it(tmp_path: Path) -> None:
    command, asks = tasking(log=tmp_path / "heard"), ["elicitation/create"]
    async with (
        kept(tmp_path, command, name="ask", values={SLOT: SECRET}, asks=asks) as place,
        hostile(place, "ask") as one,
    ):
        assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        assert (await one.begun("good", era=MODERN))["is"] == "started"
        number, answered, at_once = 0, 0, False
        # What is cancelled at once may be on its way by then: until it was not, each time.
        while number < 200:
            number += 10
            given: dict[str, Any] = {"name": f"{NAME}-{number}", "asks": {"a": FORM}}
            action = await one.permit("ask__work", **given)
            call = {"op": "egress:call", "number": number, "action": action, "tool": "work"}
            offers: dict[str, Any] = {"offers": {"elicitation": {}}}
            asked = await one.asked("good", call | {"arguments": given} | offers)
            assert (asked["is"], asked["working"]) == ("result", True)
            question = await one.permit("ask__elicitation/create", **FORM["params"])
            digest = sha256(canonical(YES)).hexdigest()
            said = {"action": question, "outcome": "succeeded", "answer_sha256": digest}
            await one.step("daemon", {"op": "action:outcome"} | said)
            answer = {"key": "a", "action": question, "answer": YES}
            on = {"op": "egress:continue", "number": number + 1, "action": action, "given": [answer]} | offers
            cancel = {"op": "egress:cancel", "number": number, "reason": "x"}
            for ask in (on, cancel) if at_once else (cancel, on):
                await one.step("say", "good", ask)
            found = await one.step("hear", "good")
            late = at_once and found["is"] == "result"
            assert (found["is"], found["number"]) == ("result" if late else "not-sent", number + 1)
            answered += late
            sent = [len(heard(tmp_path, one)) for one in ("tools/call", "tasks/update")]
            assert sent == [number // 10, answered], "each is sent once, and answers to none that was let go"
            if at_once and not late:
                return
            at_once = True
    raise AssertionError("whatever was let go at once was sent")
