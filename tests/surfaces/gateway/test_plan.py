"""A real gateway whose calls are the steps of a plan: the first waits for the signature."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from taskbound.wiring.home import find_socket
from tests.peers.openssh import make_key
from tests.peers.rawclient import text_of
from tests.surfaces.cli.installation import Installation
from tests.surfaces.gateway.real import DEADLINE
from tests.surfaces.gateway.test_outliving import LOSES, gateway
from tests.waiting import others

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
STEPS = tuple(json.dumps({"path": "/a", "text": one}, separators=(",", ":")) for one in "xyz")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    """Each of these writes has ended unknown once: policy holds the next one like it."""
    one = Installation()
    try:
        one.prepare()
        assert one("person", "demo", "begin").status == 0
        assert one("person", "key", "add", str(make_key(tmp_path, name="alice"))).status == 0
        one.start_task(scope=one.scope({"tool": "fs__write", "others": "any"}))
        for step in STEPS:
            subprocess.run([sys.executable, "-c", LOSES, str(find_socket(one.home)), step], check=True)
        yield one
    finally:
        one.end()


def propose(place: Installation, folder: Path) -> str:
    """A plan of these three writes."""
    steps = folder / "steps.jsonl"
    steps.write_text("".join(f'{{"tool":"fs__write","arguments":{one}}}\n' for one in STEPS))
    (task,) = place("task", "list", "--json").document["rows"]
    done = place("approval", "plan", str(steps), "--task", task["task"], "--json")
    assert done.status == 0, done
    return str(done.document["plan"])


async def test_the_call_that_waits_for_the_first_step_runs_when_the_plan_is_signed_and_the_others_at_once(
    place: Installation, tmp_path: Path
) -> None:
    plan = propose(place, tmp_path)
    async with gateway(place) as client:
        await client.handshake()
        params = f'{{"_meta":{{"progressToken":"t"}},"arguments":{STEPS[0]},"name":"fs__write"}}'
        await client.send_line(
            f'{{"id":"one","jsonrpc":"2.0","method":"tools/call","params":{params}}}'.encode()
        )
        await client.wait_for(lambda said: said.get("method") == "notifications/progress")
        signed = await asyncio.to_thread(place, "approval", "sign", plan, "--key", str(tmp_path / "alice"))
        assert signed.status == 0, signed
        assert text_of(await client.answer_to(b'"one"')) == "x"
        assert text_of(await client.call("fs__write", STEPS[1].encode())) == "y"
        assert text_of(await client.call("fs__write", STEPS[2].encode())) == "z"
    assert place("approval", "show", plan, "--json").document["state"] == "consumed"


async def test_a_call_that_differs_is_asked_about_alone_and_the_rest_of_the_plan_is_over(
    place: Installation, tmp_path: Path
) -> None:
    plan = propose(place, tmp_path)
    signed = await asyncio.to_thread(place, "approval", "sign", plan, "--key", str(tmp_path / "alice"))
    assert signed.status == 0, signed
    async with gateway(place) as client:
        await client.handshake()
        assert text_of(await client.call("fs__write", STEPS[0].encode())) == "x"
        differs = asyncio.create_task(client.call("fs__write", STEPS[2].encode()))
        async with asyncio.timeout(DEADLINE):
            while not (rows := place("approval", "list", "--json").document["rows"]) or rows[0].get("plan"):
                await others()
        shown = place("approval", "show", plan, "--json").document
        assert (shown["state"], shown["used"]) == ("superseded", 1)
        approved = await asyncio.to_thread(
            place, "approval", "sign", rows[0]["approval"], "--key", str(tmp_path / "alice")
        )
        assert approved.status == 0, approved
        assert text_of(await differs) == "z"
