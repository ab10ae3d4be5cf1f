"""What servers ask of clients of the HTTP front: each on its own call's stream, and answered by it alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.tool import QUESTION_NAMES
from taskbound.wire.action import Malformed
from taskbound.wire.connection import Bind
from tests.peers.commands import asking
from tests.surfaces.gateway.asks import FORM, LEGACY, MODERN, YES
from tests.surfaces.gateway.http.fronting import META, OTHER, TOKEN, Near, Wire, near

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
ABLE: Json = META | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}


class Client:
    """One legacy client with a session of its own, whose ids are every other one's too."""

    def __init__(self, there: Near, session: str) -> None:
        self.there, self.session = there, session

    @classmethod
    async def begun(cls, there: Near) -> Client:
        return cls(there, await there.initialize(TOKEN, elicitation={}))

    def call(self, arguments: Json, **headers: str) -> bytes:
        message = {"id": 1, "method": "tools/call", "params": {"name": "echo__work", "arguments": arguments}}
        return self.there.legacy(TOKEN, message, self.session, **headers)

    async def answer(self, name: object, result: Json = YES) -> int:
        """The status of an answer to a question."""
        return (
            await self.there.send(self.there.legacy(TOKEN, {"id": name, "result": result}, self.session))
        ).status


async def asked(wire: Wire) -> Json:
    """The question that a call's own stream brings."""
    assert (await wire.head()).headers["content-type"] == "text/event-stream"
    found = await wire.event()
    assert found is not None
    assert found["method"] == "elicitation/create"
    return found


async def rest(wire: Wire) -> Json:
    """The answers that the server was given, by the result at a stream's end."""
    found = await wire.event()
    assert found is not None
    told: Json = json.loads(found["result"]["content"][0]["text"])
    return told


async def test_a_question_comes_on_its_call_s_own_stream_and_is_answered_from_its_session_alone(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, asking(), era=LEGACY, asks=QUESTION_NAMES) as there:
        first, second = await Client.begun(there), await Client.begun(there)
        async with await there.wire() as one, await there.wire() as two:
            one.send(first.call({"rounds": [{"a": FORM}]}))
            to_first = await asked(one)
            two.send(second.call({"rounds": [{"b": FORM}]}))
            to_second = await asked(two)
            assert to_first["id"] != to_second["id"]
            assert await second.answer(to_first["id"], {"action": "decline"}) == 202
            assert await first.answer("taskbound-made-up", {"action": "decline"}) == 202
            assert await second.answer(to_second["id"]) == 202
            assert await rest(two) == {"b": YES}
            assert await first.answer(to_first["id"]) == 202
            assert await first.answer(to_first["id"], {"action": "cancel"}) == 202
            assert await rest(one) == {"a": YES}


async def test_an_answer_in_a_revision_that_nobody_speaks_is_refused_as_a_request_is(there: Near) -> None:
    session = await there.initialize(TOKEN)
    said = {"id": "taskbound-x", "result": YES}
    odd = there.legacy(TOKEN, said, session, MCP_Protocol_Version="1999-01-01")
    assert (await there.send(odd)).status == 400
    assert (await there.send(there.legacy(TOKEN, said, session))).status == 202


async def test_nobody_is_asked_when_nobody_knows_whose_client_it_is(tmp_path: Path) -> None:
    async with near(tmp_path, asking(), era=LEGACY, asks=QUESTION_NAMES) as there:
        clients = [await Client.begun(there), await Client.begun(there)]
        calls = [one.call({"rounds": [{"a": FORM}], "together": 2}) for one in clients]
        for found in await asyncio.gather(*map(there.send, calls)):
            assert json.loads(found.text)["a"]["error"]["code"] == -32603
        assert there.refused == ["ambiguous-question"] * 2


async def test_a_client_that_takes_no_stream_is_not_asked(tmp_path: Path) -> None:
    async with near(tmp_path, asking(), era=LEGACY, asks=QUESTION_NAMES) as there:
        client = await Client.begun(there)
        found = await there.send(client.call({"rounds": [{"a": FORM}]}, Accept="application/json"))
        assert json.loads(found.text)["a"]["error"]["code"] == -32601
        assert there.refused == ["unable-client"]


async def test_a_seat_is_kept_for_a_client_that_was_asked_and_may_come_back(tmp_path: Path) -> None:
    given: Json = {"rounds": [{"a": FORM}]}
    bounds: Json = {"check": 0.02, "seat_idle": 0.1}
    async with near(tmp_path, asking(), era=MODERN, asks=QUESTION_NAMES, **bounds) as there:
        params = {"name": "echo__work", "arguments": given, "_meta": ABLE}
        asked = (await there.send(there.modern(TOKEN, {"method": "tools/call", "params": params}))).json
        looks = there.daemon.count(Bind)
        await there.until(lambda: there.daemon.count(Bind) > looks + 20)
        more = {"requestState": asked["result"]["requestState"], "inputResponses": {"a": YES}}
        again = there.modern(TOKEN, {"method": "tools/call", "params": params | more})
        assert json.loads((await there.send(again)).text) == {"a": YES}


async def test_a_state_is_of_one_token_and_a_client_that_leaves_again_has_cancelled(tmp_path: Path) -> None:
    given: Json = {"rounds": [{"a": FORM}, {"b": FORM}]}
    async with near(tmp_path, asking(), era=MODERN, asks=QUESTION_NAMES) as there:

        def calling(token: str, **more: Any) -> bytes:
            params = {"name": "echo__work", "arguments": given | {"state": True}, "_meta": ABLE, **more}
            return there.modern(token, {"method": "tools/call", "params": params})

        first = (await there.send(calling(TOKEN))).json["result"]
        again = {"requestState": first["requestState"], "inputResponses": {"a": YES}}
        assert (await there.send(calling(OTHER, **again))).code == "unknown-state"
        second = (await there.send(calling(TOKEN, **again))).json["result"]
        assert list(second["inputRequests"]) == ["b"]
        assert (await there.send(calling(TOKEN, **again))).code == "unknown-state"
        last = {"requestState": second["requestState"], "inputResponses": {"b": YES}}
        found = await there.send(calling(TOKEN, **last))
        assert json.loads(found.text) == {"b": YES}
        codes = [one.code for one in there.daemon.asks if isinstance(one, Malformed)]
        assert codes == ["unknown-state"] * 2
