"""What servers with secrets ask of clients: through the gateway's process, a real daemon and its egress."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.action.canonical import canonical
from tests.peers.commands import asking
from tests.peers.rawclient import Message, text_of
from tests.surfaces.egress.keeping import SECRET, SLOT, kept
from tests.surfaces.egress.test_hostile import hostile
from tests.surfaces.gateway.asks import FOLDERS, LEGACY, MODERN, ROOTS, YES
from tests.surfaces.gateway.bench import code_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.peers.rawclient import RawClient
    from tests.surfaces.egress.test_hostile import Hostile

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
ASKS = ("elicitation/create", "roots/list")
VALUES = {SLOT: SECRET}
NO = {"action": "decline"}
FORM: Message = {
    "method": "elicitation/create",
    "params": {
        "message": "How much?",
        "requestedSchema": {"type": "object", "properties": {"much": {"type": "number", "default": 0.5}}},
    },
}
ANSWERS: dict[str, Message] = {"elicitation/create": YES, "roots/list": FOLDERS}


async def seen_through(client: RawClient, **arguments: Any) -> tuple[Message, list[Message]]:
    """The answer to a call of the server, and what the client was asked on the way."""
    request = await client.start_call("ask__work", json.dumps(arguments).encode())
    asked: list[Message] = []
    while True:
        found = await client.wait_for(lambda one: "id" in one)
        if "method" not in found:
            assert found["id"] == json.loads(request)
            return found, asked
        asked.append(found)
        said = {"jsonrpc": "2.0", "id": found["id"], "result": ANSWERS[found["method"]]}
        await client.send_line(json.dumps(said).encode())


def asks_of(folder: Path) -> list[str]:
    """A server that asks, and keeps what it was told."""
    return asking(log=folder / "heard")


def told(folder: Path) -> list[Message]:
    """What the server was told, in order."""
    return [json.loads(line) for line in (folder / "heard").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("era", [LEGACY, MODERN])
async def test_a_server_with_a_secret_asks_its_client_and_a_question_with_the_secret_is_put_to_nobody(
    era: str, tmp_path: Path
) -> None:
    async with kept(tmp_path, asks_of(tmp_path), name="ask", values=VALUES, era=era, asks=ASKS) as place:
        async with place.gateway("legacy", elicitation={}, roots={}) as client:
            rounds = [{"form": FORM}, {"where": ROOTS}]
            found, asked = await seen_through(client, rounds=rounds, state=True)
            spilled = {"method": "elicitation/create", "params": FORM["params"] | {"message": SECRET}}
            withheld, spoken = await seen_through(client, rounds=[{"form": spilled}])
        rows = place.actions()
    # Each was decided, recorded, put with the label before it, and told as it is recorded.
    last = {"where": FOLDERS}
    assert json.loads(text_of(found)) == (last if era == MODERN else {"form": YES} | last)
    assert [one["method"] for one in asked] == ["elicitation/create", "roots/list"]
    assert asked[0]["params"]["message"].endswith(FORM["params"]["message"])
    assert [(one.tool, one.state) for one in rows[:3]] == [
        ("ask__work", "succeeded"),
        ("ask__elicitation/create", "succeeded"),
        ("ask__roots/list", "succeeded"),
    ]
    # What holds the secret stays where it is, and so does what comes of the call.
    assert spoken == []
    assert code_of(withheld) == "secret-in-answer"
    assert SECRET not in str(withheld)
    assert rows[3].state == "unknown"
    assert len(rows) == 4


class Questioned:
    """A gateway that was taken over, while a call to a server that asks is open."""

    def __init__(self, one: Hostile) -> None:
        self.one = one
        self._calls = 0

    async def question(self, *rounds: Message) -> Message:
        """What the egress says once the server asks."""
        self._calls += 1
        given = {"rounds": list(rounds)}
        action = await self.one.permit("ask__work", **given)
        ask = {
            "op": "egress:call",
            "number": self._calls,
            "action": action,
            "tool": "work",
            "arguments": given,
        }
        found: Message = await self.one.asked("good", ask | {"offers": {"elicitation": {}, "roots": {}}})
        return found | {"call": action}

    async def answered(
        self, asked: Message, answer: Message = YES, *, outcome: str = "succeeded", raw: bytes = b""
    ) -> str:
        """An action that is the question, with this answer on record, or these bytes."""
        action = await self.one.permit(f"ask__{asked['method']}", **asked["params"])
        digest = sha256(raw or canonical(answer)).hexdigest()
        said = {"op": "action:outcome", "action": action, "outcome": outcome, "answer_sha256": digest}
        await self.one.step("daemon", said)
        return action

    async def give(self, asked: Message, action: str, answer: Message, *, loose: bool = False) -> Message:
        """What the server makes of this answer of the gateway's, which is not canonical if `loose`."""
        given = {"action": action, "answer": answer}
        ask = {"op": "egress:answer", "question": asked["question"], "given": given}
        found: Message = await self.one.asked("good", json.dumps(ask) if loose else ask)
        text: Message = json.loads(found["raw"]["content"][0]["text"])
        return text


async def test_a_server_is_told_what_is_recorded_of_its_question_once_and_nothing_of_a_gateway_s_own(
    tmp_path: Path,
) -> None:
    async with (
        kept(tmp_path, asks_of(tmp_path), name="ask", values=VALUES, era=LEGACY, asks=ASKS) as place,
        hostile(place, "ask") as one,
        hostile(place, "ask") as other,
    ):
        assert (await other.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        offers: Message = {"elicitation": {}, "roots": {}}
        bad = await one.begun("bad", offers={"roots": {"of": "the-gateway"}})
        assert bad["fault"]["code"] == "other-act"
        assert (await one.begun("good", offers=offers))["is"] == "started"
        q = Questioned(one)
        first = await q.question({"a": FORM})
        early, unused = await q.answered(first), await q.answered(first)
        assert await q.give(first, early, YES) == {"a": YES}
        # One answer answers one question, also where the same was asked twice.
        asked = await q.question({"a": FORM, "b": FORM})
        again = await one.step("hear", "good")
        action = await q.answered(asked)
        given = {"op": "egress:answer", "given": {"action": action, "answer": YES}}
        await one.step("say", "good", given | {"question": asked["question"]})
        both = await q.give(again, action, YES)
        assert [one == YES for one in both.values()].count(True) == 1, both

        async def refused(
            action: str, answer: Message = YES, *, to: Message = first, loose: bool = False
        ) -> None:
            found = await q.give(to, action, answer, loose=loose)
            assert found["a"]["error"]["code"] == -32603, (action, found)

        # Recorded before the server asked; of nobody, of another gateway, of another question.
        for action in (early, unused, "act_0"):
            await refused(action, to=await q.question({"a": FORM}))
        asked = await q.question({"a": FORM})
        await refused(await Questioned(other).answered(asked), to=asked)
        asked = await q.question({"a": FORM})
        other_form = FORM | {"params": FORM["params"] | {"message": "b"}}
        await refused(await q.answered(other_form), to=asked)
        # Other bytes than those that are recorded; such as are not canonical.
        asked = await q.question({"a": FORM})
        await refused(await q.answered(asked), NO, to=asked)
        asked = await q.question({"a": FORM})
        await refused(await q.answered(asked, raw=json.dumps(YES).encode()), to=asked, loose=True)
        # A call is no question; what is not over, or unknown, has no answer; a task that ended has none.
        asked = await q.question({"a": FORM})
        await refused(asked["call"], to=asked)
        asked = await q.question({"a": FORM})
        await refused(await one.permit("ask__elicitation/create", **asked["params"]), to=asked)
        asked = await q.question({"a": FORM})
        await refused(await q.answered(asked, outcome="unknown"), to=asked)
        asked = await q.question({"a": other_form})
        last = await q.answered(asked)
        place.end_task()
        await refused(last, to=asked)
    accepted = [one for one in told(tmp_path) if one.get("result") == YES]
    assert len(accepted) == 2
    assert "the-gateway" not in (tmp_path / "heard").read_text(encoding="utf-8")


async def test_a_call_goes_on_by_its_permit_and_with_answers_to_all_that_its_server_asked(
    tmp_path: Path,
) -> None:
    async with (
        kept(tmp_path, asks_of(tmp_path), name="ask", values=VALUES, era=MODERN, asks=ASKS) as place,
        hostile(place, "ask") as one,
    ):
        assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        assert (await one.begun("good"))["is"] == "started"
        q = Questioned(one)

        async def go_on(call: str, *given: Message) -> Message:
            ask = {"op": "egress:continue", "number": 100, "action": call, "given": list(given)}
            found: Message = await one.asked("good", ask)
            return found

        asked = await q.question({"a": FORM, "b": ROOTS})
        assert asked["raw"]["resultType"] == "input_required"
        form = {"action": await q.answered(FORM, YES), "answer": YES, "key": "a"}
        where = {"action": await q.answered(ROOTS, FOLDERS), "answer": FOLDERS, "key": "b"}
        assert (await go_on("act_0", form, where))["code"] == "other-act"
        found = await go_on(asked["call"], form, where)
        assert json.loads(found["raw"]["content"][0]["text"]) == {"a": YES, "b": FOLDERS}
        assert (await go_on(asked["call"], form, where))["code"] == "other-act"
        # Not without one of them, not with another answer, and not after its own outcome.
        asked = await q.question({"a": FORM, "b": ROOTS})
        assert (await go_on(asked["call"], form))["code"] == "other-act"
        asked = await q.question({"a": FORM})
        form = {"action": await q.answered(FORM, YES), "answer": NO, "key": "a"}
        assert (await go_on(asked["call"], form))["code"] == "other-act"
        asked = await q.question({"a": FORM})
        form = {"action": await q.answered(FORM, YES), "answer": YES, "key": "a"}
        await one.step("daemon", {"op": "action:outcome", "action": asked["call"], "outcome": "failed"})
        assert (await go_on(asked["call"], form))["code"] == "no-permit"
    assert sum(one.get("method") == "tools/call" for one in told(tmp_path)) == 5
