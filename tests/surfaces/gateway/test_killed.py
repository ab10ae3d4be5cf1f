from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.upstream.mcp.process import children
from taskbound.wire.action import ReconcileAction
from taskbound.wire.connection import Done
from tests.peers.commands import faulty
from tests.peers.rawclient import Tap
from tests.surfaces.gateway.bench import code_of
from tests.surfaces.gateway.real import PATIENT, Place, real
from tests.waiting import others

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.wire.action import ActionRow
    from tests.peers.rawclient import RawClient

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]


async def kill(who: str, place: Place, client: RawClient, request: bytes) -> None:
    """kill -9, after the call was sent and before its outcome was told."""
    if who == "server":
        (server,) = children(client.process.pid)
        os.kill(server, signal.SIGKILL)
        assert code_of(await client.answer_to(request)) == "server-lost"
        return
    if who == "gateway and daemon":
        await asyncio.to_thread(place.kill_daemon)
    client.process.kill()
    await client.exited()


async def sent_before(tap: Tap, marker: bytes) -> int:
    """How many calls reached a server before the one with this marker."""
    count = 0
    while True:
        line = await tap.read_line()
        if marker in line:
            return count
        count += b'"tools/call"' in line


async def given_up(place: Place) -> ActionRow:
    """The first action, once the daemon has given its holder up."""
    async with asyncio.timeout(30):
        while (row := place.actions()[0]).state != "unknown":
            await others()
    return row


@pytest.mark.parametrize("killed", ["gateway", "gateway and daemon", "server"])
async def test_what_was_sent_and_never_answered_is_sent_again_only_once_a_person_has_found_out(
    killed: str, tmp_path: Path
) -> None:
    async with (
        Tap(tmp_path / "tap") as tap,
        real(tmp_path, faulty("hangs", log=tap.path), name="odd") as place,
    ):
        async with place.gateway(module=PATIENT) as client:
            request = await client.start_call("odd__work")
            await tap.wait_for(b'"tools/call"')
            await kill(killed, place, client, request)
        for marker in (b"one", b"two"):
            async with place.gateway(module=PATIENT) as client:
                assert code_of(await client.call("odd__work")) == "held"
                await client.start_call("odd__work", b'{"text":"act %b"}' % marker)
                assert await sent_before(tap, b"act " + marker) == 0, "nothing but another act was sent"
        lost = await given_up(place)
        ask = ReconcileAction(action=lost.action, outcome="failed", note="the server's books have no entry")
        place.client.ask(ask, Done)
        async with place.gateway(module=PATIENT) as client:
            await client.start_call("odd__work")
            await tap.wait_for(b'"tools/call"')
        again = place.actions()[-1]
    assert (again.decision, again.attempt) == ("permit", 2)
