from __future__ import annotations

from pathlib import Path

import pytest

from taskbound.wire.mcp.message import DECISION_KEY
from tests.peers.commands import faulty
from tests.peers.rawclient import Tap
from tests.surfaces.gateway.http.fronting import Answer, front
from tests.surfaces.gateway.real import real
from tests.surfaces.gateway.test_killed import given_up, sent_before

pytestmark = pytest.mark.anyio


def decided(answer: Answer) -> str:
    """How the daemon decided, by what the answer says."""
    found: str = answer.json["result"]["_meta"][DECISION_KEY]["code"]
    return found


@pytest.mark.timeout(180)
async def test_i30_what_a_killed_front_had_sent_is_sent_again_by_no_other_before_people_were_asked(
    tmp_path: Path,
) -> None:
    async with (
        Tap(tmp_path / "tap") as tap,
        real(tmp_path, faulty("hangs", log=tap.path), name="odd") as place,
    ):
        async with front(place) as there, await there.wire() as wire:
            token = there.token()
            wire.send(there.calling(token, "odd__work", {}))
            await tap.wait_for(b'"tools/call"')
            there.process.kill()
            await there.process.wait()
        async with front(place) as there:
            token = there.token()
            assert decided(await there.call(token, "odd__work", {})) == "held"
            async with await there.wire() as wire:
                wire.send(there.calling(token, "odd__work", {"text": "act one"}))
                assert await sent_before(tap, b"act one") == 0, "nothing but another act was sent"
            lost = await given_up(place)
        assert [one.decision for one in place.actions()][:2] == ["permit", "hold"]
        assert (lost.decision, lost.attempt) == ("permit", 1)
