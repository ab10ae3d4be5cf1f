"""A real gateway whose client goes away while its call is held, and another one that makes the same call."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.wiring.home import find_socket
from tests.peers.openssh import make_key
from tests.peers.rawclient import RawClient, text_of
from tests.surfaces.cli.installation import Installation
from tests.surfaces.gateway.real import DEADLINE, ended
from tests.waiting import others

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
HOW = ("ends", "is killed", "is killed with its daemon", "cancels")
WRITE = b'{"path":"/a","text":"b"}'
# A gateway of its own whose call ends unknown: policy holds the next one like it.
LOSES = """
import sys
from pathlib import Path
import msgspec
from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire.action import Decide, Outcome, Permitted, Withheld
from taskbound.wire.connection import Open
client = Client(Path(sys.argv[1]), Open(role="gateway", version=__version__, agent="helper"))
ask = Decide(tool="fs__write", arguments=msgspec.Raw(sys.argv[2].encode()), request="1")
client.ask(Outcome(action=client.ask(ask, Permitted).action, outcome="unknown"), Withheld)
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    one = Installation()
    try:
        one.prepare()
        assert one("person", "demo", "begin").status == 0
        assert one("person", "key", "add", str(make_key(tmp_path, name="alice"))).status == 0
        yield one
    finally:
        one.end()


def begin(place: Installation, *words: str) -> None:
    """A task of a template that says this, whose next call to write is held."""
    scope = place.scope({"tool": "fs__write", "others": "any", "uses": 9})
    saved = place("template", "save", "nightly", "--scope", scope, "--purpose", "copy", *words)
    assert saved.status == 0, saved
    started = place("task", "start", "--agent", "helper", "--template", "nightly")
    assert started.status == 0, started
    assert ("outlive-the-call" in started.out) is bool(words)
    assert ("outlive-the-call" in place("template", "list").out) is bool(words)
    subprocess.run([sys.executable, "-c", LOSES, str(find_socket(place.home)), WRITE.decode()], check=True)


def gateway(place: Installation) -> RawClient:
    command = [sys.executable, "-m", "taskbound.wiring.gateway", "--agent", "helper"]
    return RawClient([*command, "--home", str(place.home)], deadline=DEADLINE)


async def questions(place: Installation, state: str, *, but: str = "") -> Any:
    """The newest question in this state, once there is one of another action."""
    async with asyncio.timeout(DEADLINE):
        while True:
            said = await asyncio.to_thread(place, "approval", "list", "--state", state, "--json")
            rows = [one for one in said.document["rows"] if one["action"] != but]
            if rows:
                return rows[0]
            await others()


async def left(place: Installation, how: str) -> str:
    """The held action of a client that went away while its call waited."""
    async with gateway(place) as client:
        await client.handshake()
        request = await client.start_call("fs__write", WRITE)
        row = await questions(place, "pending")
        match how:
            case "ends":
                await client.close_input()
                await client.exited()
            case "is killed":
                client.kill()
                await client.exited()
            case "is killed with its daemon":
                daemon = place.status().pid
                os.kill(daemon, signal.SIGKILL)
                client.kill()
                await client.exited()
                await ended(daemon)  # one that is still ending takes connections, and resets them
            case _:
                await client.cancel(request)
                await client.tools()  # the gateway has read the cancel before it answers this
    return str(row["action"])


@pytest.mark.parametrize("how", HOW)
async def test_what_outlives_its_call_is_approved_without_a_client_and_run_once_by_the_next_one(
    place: Installation, how: str, tmp_path: Path
) -> None:
    begin(place, "--holds", "outlive-the-call")
    action = await left(place, how)
    signed = await asyncio.to_thread(place, "approval", "sign", action, "--key", str(tmp_path / "alice"))
    assert signed.status == 0, signed
    async with gateway(place) as client:
        await client.handshake()
        assert text_of(await client.call("fs__write", WRITE)) == "b"
        assert text_of(await client.call("fs__write", WRITE)) == "b"
    rows = place("approval", "list", "--state", "consumed", "--json").document["rows"]
    assert [one["action"] for one in rows] == [action]
    actions = place("action", "list", "--json").document["rows"]
    assert [one["state"] for one in actions] == ["succeeded", "succeeded", "unknown"]
    assert actions[1]["action"] == action, "the call after it is another action"


@pytest.mark.parametrize("how", HOW)
async def test_without_the_word_a_question_is_withdrawn_with_its_call_and_asked_anew_by_the_next_one(
    place: Installation, how: str
) -> None:
    begin(place)
    action = await left(place, how)
    withdrawn = await questions(place, "withdrawn")
    assert withdrawn["action"] == action
    async with gateway(place) as client:
        await client.handshake()
        await client.start_call("fs__write", WRITE)
        row = await questions(place, "pending", but=action)
    assert row["action"] != action
