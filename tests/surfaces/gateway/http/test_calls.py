from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.commands import echo
from tests.surfaces.gateway.http.fronting import front
from tests.surfaces.gateway.real import real

pytestmark = pytest.mark.anyio


async def test_a_modern_client_lists_and_calls_what_its_task_may(tmp_path: Path) -> None:
    async with real(tmp_path, echo()) as place, front(place) as there:
        token = there.token()
        listed = await there.send(there.modern(token, {"method": "tools/list"}))
        assert (listed.status, listed.headers["content-type"]) == (200, "application/json")
        assert "echo__echo" in {one["name"] for one in listed.json["result"]["tools"]}
        assert listed.json["result"]["cacheScope"] == "private"
        called = await there.call(token, "echo__echo", {"text": "a"})
        assert (called.status, called.text) == (200, "a")
        (action,) = place.actions()
        assert (action.task, action.state) == (place.task, "succeeded")


async def test_a_legacy_client_begins_a_session_lists_and_calls(tmp_path: Path) -> None:
    async with real(tmp_path, echo()) as place, front(place) as there:
        token = there.token()
        session = await there.initialize(token)
        said = await there.send(there.legacy(token, {"method": "notifications/initialized"}, session))
        assert (said.status, said.body) == (202, b"")
        params = {"name": "echo__echo", "arguments": {"text": "a"}}
        called = await there.send(
            there.legacy(token, {"id": "x", "method": "tools/call", "params": params}, session)
        )
        assert (called.status, called.json["id"], called.text) == (200, "x", "a")
        over = await there.send(there.raw(token, b"", verb="DELETE", Mcp_Session_Id=session))
        assert over.status == 200
        gone = await there.send(there.legacy(token, {"id": 1, "method": "tools/list"}, session))
        assert (gone.status, gone.code) == (404, "unknown-session")


async def test_one_connection_carries_request_after_request(tmp_path: Path) -> None:
    async with real(tmp_path, echo()) as place, front(place) as there:
        token = there.token()
        async with await there.wire() as wire:
            for number in range(5):
                wire.send(there.calling(token, "echo__echo", {"text": str(number)}, id=7))
                assert (await wire.answer()).text == str(number)
