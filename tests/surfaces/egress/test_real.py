"""Servers with secrets through the gateway's own process, a real daemon and the egress that it starts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.upstream.egress import ask_key
from taskbound.adapters.upstream.mcp.process import children
from tests.peers.rawclient import text_of
from tests.peers.rawhttp import RawHttp, Say
from tests.surfaces.egress.keeping import SECRET, SIGNED, SLOT, egress_socket, kept, put, row_of
from tests.surfaces.gateway.bench import code_of
from tests.surfaces.gateway.real import DEADLINE, Place
from tests.waiting import others

if TYPE_CHECKING:
    from tests.peers.rawclient import RawClient
    from tests.peers.rawhttp import Asked

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

HELD_BACK = (
    "plain",
    "in-json",
    "percent",
    "base64-0",
    "base64-1",
    "base64-2",
    "url-safe",
    "error",
    "progress",
)
USED = sha256(SECRET.encode()).hexdigest()


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def holding(folder: Path, text: str) -> list[Path]:
    """The files in which this text stands."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if text.encode() in path.read_bytes()]


def command_of(pid: int) -> str:
    try:
        return read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode()
    except OSError:
        return ""


def egress_pid(place: Place) -> int:
    return next(one for one in children(place.status().pid) if "taskbound.wiring.egress" in command_of(one))


async def until_another(place: Place, before: int) -> None:
    """Wait until an egress other than this one listens."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = [one for one in children(place.status().pid) if "wiring.egress" in command_of(one)]
            if found and found != [before]:
                break
            await others()
    await asyncio.to_thread(ask_key, egress_socket(place))


async def tell(client: RawClient, how: str) -> str:
    """What comes of having the server tell its secret in this way."""
    params = {"name": "keeper__tell", "arguments": {"how": how}, "_meta": {"progressToken": "p"}}
    answer = await client.request("tools/call", json.dumps(params).encode())
    assert SECRET not in str(answer)
    return code_of(answer)


async def test_a_server_has_its_secret_and_nothing_else_has_it(tmp_path: Path) -> None:
    async with kept(tmp_path) as place:
        async with place.gateway("legacy") as client:
            assert text_of(await client.call("keeper__use", b'{"text":"a"}')) == USED
            egress = egress_pid(place)
            (server,) = [one for one in children(egress) if "keeper.py" in command_of(one)]
            assert SECRET.encode() in read(f"/proc/{server}/environ")
            gateway = [one for one in children(os.getpid()) if "wiring.gateway" in command_of(one)]
            assert not any("keeper.py" in command_of(child) for one in gateway for child in children(one))
            # An argument that is a slot is not offered, not taken, and filled on the way.
            (offered,) = [one for one in await client.tools() if one["name"] == "keeper__sign"]
            assert (list(offered["inputSchema"]["properties"]), offered["inputSchema"]["required"]) == (
                ["text"],
                ["text"],
            )
            signed = await client.call("keeper__sign", b'{"text":"a"}')
            assert text_of(signed) == sha256(SIGNED.encode()).hexdigest()
            taken = await client.call("keeper__sign", b'{"text":"a","api_key":"of-the-agent"}')
            assert code_of(taken) == "slot-taken"
            # What it says of its secret is held back, and the server goes on; what nobody can see leaves.
            codes = [await tell(client, how) for how in HELD_BACK]
            assert codes == ["secret-in-answer"] * len(HELD_BACK)
            assert text_of(await client.call("keeper__tell", b'{"how":"backwards"}')) == SECRET[::-1]
            assert await tell(client, "last-words") == "secret-in-answer"
            assert text_of(await client.call("keeper__use", b'{"text":"b"}')) == USED
            # Another value counts from the next call on, also while the server runs with the one before.
            await put(place, "keeper", SLOT, "another-secret")
            first = await client.call("keeper__use", b'{"text":"c"}')
            assert code_of(first) == "secret-changed"
            assert (
                text_of(await client.call("keeper__use", b'{"text":"c"}'))
                == sha256(b"another-secret").hexdigest()
            )
            await put(place, "keeper", SLOT, "")
            assert code_of(await client.call("keeper__use", b'{"text":"d"}')) == "secret-changed"
            gone = await client.call("keeper__use", b'{"text":"d"}')
            assert "[secret-missing]" in text_of(gone)
        rows = await place.settled(len(HELD_BACK) + 10)
        found = await place.events("upstream-secret-set")
        slot = row_of(place, "keeper").secrets[1]
    assert [row.state for row in rows][1:3] == ["succeeded", "not-sent"]
    assert [row.state for row in rows][3:12] == ["unknown"] * 9
    assert [row.state for row in rows][-4:] == ["not-sent", "succeeded", "not-sent", "not-sent"]
    numbers = [(one["number"], bool(one["sealed"])) for one in found if one["slot"] == SLOT]
    assert numbers == [(1, True), (2, True), (3, False)]
    assert (slot.number, slot.filled) == (3, False)
    assert holding(place.home, SECRET) == holding(place.home, SIGNED) == []


async def test_a_header_and_a_parameter_are_filled_on_the_way_to_a_url(tmp_path: Path) -> None:
    values = {"header:authorization": "Bearer of-the-egress", "query:api_key": "k/e y&of=it"}
    async with (
        RawHttp(era="modern") as there,
        kept(tmp_path, [there.url], name="far", values=values) as place,
        place.gateway("modern") as client,
    ):
        there.asked.clear()
        assert text_of(await client.call("far__work", b"{}")) == "done"
        asked = list(there.asked)
    assert {one.header("authorization") for one in asked} == {"Bearer of-the-egress"}
    assert all(one.head.split(b" ", 2)[1].endswith(b"?api_key=k%2Fe%20y%26of%3Dit") for one in asked)


async def refuses(_: Asked, say: Say) -> bool:
    """Whoever comes is not known."""
    await say.answer(401)
    return True


async def test_a_server_behind_a_url_that_is_gone_or_refuses_the_secret_is_said_to(tmp_path: Path) -> None:
    values = {"header:authorization": "Bearer of-the-egress"}
    async with contextlib.AsyncExitStack() as stack:
        async with RawHttp(era="modern") as there:
            place = await stack.enter_async_context(kept(tmp_path, [there.url], name="far", values=values))
            there.does = refuses
            async with place.gateway("modern") as client:
                refused = text_of(await client.call("far__work", b"{}"))
        async with place.gateway("modern") as client:
            gone = text_of(await client.call("far__work", b"{}"))
    assert "401" in refused
    assert "can't be reached" in gone
    assert all("was left" not in one and "the daemon runs" not in one for one in (refused, gone))


async def test_an_egress_that_was_killed_leaves_no_server_and_calls_that_are_unknown(tmp_path: Path) -> None:
    async with kept(tmp_path) as place, place.gateway("legacy") as client:
        assert text_of(await client.call("keeper__use", b'{"text":"a"}')) == USED
        before = egress_pid(place)
        os.kill(before, signal.SIGKILL)
        await until_another(place, before)
        assert text_of(await client.call("keeper__use", b'{"text":"b"}')) == USED
