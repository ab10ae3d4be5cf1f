from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire import identity
from taskbound.wire.connection import Done
from taskbound.wire.identity import LeavePerson, ReturnPerson, SetAnswering
from tests.peers.commands import echo
from tests.peers.rawclient import Tap, text_of
from tests.surfaces.gateway.bench import code_of
from tests.surfaces.gateway.real import Place, real

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.anyio


def news(place: Place) -> list[dict[str, object]]:
    lines = (place.directory / "monitor-coder.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


async def test_what_is_in_flight_is_withheld_when_its_agents_owner_leaves_until_somebody_answers_again(
    tmp_path: Path,
) -> None:
    async with (
        Tap(tmp_path / "tap") as tap,
        real(tmp_path, echo(era="legacy", log=tap.path)) as place,
        place.gateway() as client,
    ):
        say = place.client.ask
        say(identity.RegisterPerson(name="bob", uid=64_321), Done)
        request = await client.start_call("echo__sleep_until_cancelled")
        await tap.wait_for(b"tools/call")
        done = await asyncio.to_thread(say, LeavePerson(name="ann", reason="new job"), Done)
        assert done.detail == "1 tasks paused"
        assert code_of(await client.answer_to(request)) == "task-paused"
        assert code_of(await client.call("echo__echo", b'{"text":"a"}')) in {"task-paused", "inactive-agent"}
        told = news(place)[-1]
        assert "echo__echo" in str(told.pop("tools_without_owner"))
        assert told | {"paused_tasks": []} == {
            "kind": "taskbound-person-left",
            "namespace": "default",
            "person": "ann",
            "reason": "new job",
            "suspended_agents": ["coder"],
            "paused_tasks": [],
        }
        with pytest.raises(RefusedByDaemonError):  # nobody who is here is at this account
            say(identity.ActivateAgent(name="coder"), Done)
        say(SetAnswering(name="coder", owner="bob", approvers=("bob",)), Done)
        say(ReturnPerson(name="ann"), Done)
        say(identity.TestMonitor(name="coder"), Done)
        say(identity.AcknowledgeMonitor(name="coder", code=str(news(place)[-1]["code"])), Done)
        say(identity.ActivateAgent(name="coder"), Done)
        await asyncio.to_thread(place.resume_task)
        assert text_of(await client.call("echo__echo", b'{"text":"b"}')) == "b"  # it reads: no owner is due
