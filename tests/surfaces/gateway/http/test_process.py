from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from taskbound.surfaces.gateway.http.errors import NotLoopbackError
from taskbound.wire.connection import Done
from taskbound.wire.task import EndTask
from taskbound.wiring.front import parse_address
from tests.peers.commands import echo
from tests.surfaces.gateway.http.fronting import Fronted, front
from tests.surfaces.gateway.real import real


async def official(there: Fronted, bearer: str, mode: str, text: str) -> str:
    """What the official client is answered, in this era."""
    headers = {"Authorization": f"Bearer {bearer}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30.0) as http,
        Client(streamable_http_client(there.url, http_client=http), mode=mode) as client,
    ):
        names = {one.name for one in (await client.list_tools()).tools}
        assert "echo__echo" in names
        found = await client.call_tool("echo__echo", {"text": text})
        said = found.content[0]
        assert isinstance(said, TextContent)
        return said.text


def everything_of(pid: int) -> bytes:
    """The command line and environment of a process."""
    there = Path(f"/proc/{pid}")
    return (there / "cmdline").read_bytes() + (there / "environ").read_bytes()


@pytest.mark.timeout(180)
def test_two_tasks_in_both_eras_by_the_official_client_until_one_of_them_ends(tmp_path: Path) -> None:
    async def story() -> None:
        async with real(tmp_path, echo()) as place, front(place) as there:
            first = place.task
            second = place.start_task()
            bearers = [there.bearer(first), there.bearer(second)]
            for mode in ("auto", "legacy"):
                said = await asyncio.gather(
                    *(official(there, one, mode, f"{mode}-{n}") for n, one in enumerate(bearers))
                )
                assert said == [f"{mode}-0", f"{mode}-1"]
            assert [one.task for one in place.actions()].count(first) == 2
            assert [one.task for one in place.actions()].count(second) == 2

            # A stream of the second is open while its task is revoked: it is closed, and the first goes on.
            listen = {
                "method": "subscriptions/listen",
                "params": {"notifications": {"toolsListChanged": True}},
            }
            async with await there.wire() as wire:
                wire.send(there.modern(bearers[1], listen))
                assert (await wire.head()).status == 200
                place.client.ask(EndTask(task=second, how="revoked", reason="enough"), Done)
                while await wire.event() is not None:
                    pass
            ended = await there.call(bearers[1], "echo__echo", {"text": "a"})
            assert (ended.status, ended.code) == (401, "task-ended")
            assert (await there.call(bearers[0], "echo__echo", {"text": "a"})).text == "a"

            # A new bearer takes the place of the first, which brings no more calls from now on.
            third = there.bearer(first)
            refused = await there.call(bearers[0], "echo__echo", {"text": "b"})
            assert refused.status == 401 or refused.json["result"]["isError"] is True
            assert (await there.call(third, "echo__echo", {"text": "c"})).text == "c"
            assert place.actions()[-1].task == first
            for bearer in (*bearers, third):
                assert bearer.partition(".")[2].encode() not in everything_of(there.process.pid)

    asyncio.run(story())


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:80",
        "[::]:80",
        "10.0.0.1:80",
        "[fe80::1]:80",
        "localhost:80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:99999",
        "::1:80",
        "[127.0.0.1]:80",
        "127.1:80",
        ":80",
        "[::ffff:10.0.0.1]:80",
    ],
)
def test_nothing_but_an_address_of_the_loopback_is_listened_on(text: str) -> None:
    with pytest.raises(NotLoopbackError):
        parse_address(text)


def test_addresses_of_the_loopback_are_taken() -> None:
    assert parse_address("127.0.0.1:8701") == ("127.0.0.1", 8701)
    assert parse_address("127.9.9.9:0") == ("127.9.9.9", 0)
    assert parse_address("[::1]:8701") == ("::1", 8701)


def test_another_address_ends_the_command_with_a_named_error(tmp_path: Path) -> None:
    async def story() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "taskbound.wiring.gateway",
            *("--listen", "0.0.0.0:0", "--home", str(tmp_path)),
            stderr=asyncio.subprocess.PIPE,
            env=os.environ,
        )
        _, err = await process.communicate()
        assert (process.returncode, b"[not-loopback]" in err) == (2, True)

    asyncio.run(story())
