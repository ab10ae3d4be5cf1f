"""Tokens of one task at a real front and daemon: renewed, taken back, and those of a suspended agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.wire.connection import Done
from taskbound.wire.identity import SuspendAgent
from taskbound.wire.token import RevokeToken
from tests.peers.commands import echo
from tests.surfaces.gateway.http.fronting import front
from tests.surfaces.gateway.real import real
from tests.token_world import claims_in

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

CALL = {"name": "echo__echo", "arguments": {"text": "a"}}


@pytest.mark.timeout(120)
async def test_a_session_goes_on_with_the_next_token_and_what_is_taken_back_closes_its_stream(
    tmp_path: Path,
) -> None:
    async with real(tmp_path, echo()) as place, front(place) as there:
        first, second = there.token(), there.token()
        session = await there.initialize(first)
        message = {"id": 1, "method": "tools/call", "params": CALL}
        assert (await there.send(there.legacy(first, message, session))).text == "a"
        async with await there.wire() as wire:
            wire.send(there.raw(first, b"", verb="GET", Accept="text/event-stream", Mcp_Session_Id=session))
            assert (await wire.head()).status == 200
            place.client.ask(RevokeToken(token=claims_in(first)["jti"]), Done)
            assert await wire.event() is None
        refused = await there.send(there.legacy(first, message | {"id": 2}, session))
        assert (refused.status, refused.code) == (401, "token-revoked")
        assert (await there.send(there.legacy(second, message | {"id": 3}, session))).text == "a"
        assert [one.state for one in place.actions()] == ["succeeded", "succeeded"]
        proofs = {one["proof"] for one in await place.events("action-decided")}
        assert proofs == {f"token:{claims_in(one)['jti']} (dpop)" for one in (first, second)}

        place.client.ask(SuspendAgent(name="coder"), Done)
        said = await there.send(there.legacy(second, message | {"id": 4}, session))
        assert (said.status, said.code) == (401, "task-ended")  # its tasks were revoked with it
        assert len(await place.events("action-decided")) == 2
