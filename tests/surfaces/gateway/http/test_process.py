from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.wire.connection import Done
from taskbound.wire.task import EndTask
from tests.peers.commands import echo
from tests.surfaces.gateway.http.fronting import Fronted, front
from tests.surfaces.gateway.real import real

pytestmark = pytest.mark.anyio


class Proving(httpx2.Auth):
    """Shows a token with a proof of each request."""

    def __init__(self, there: Fronted, token: str) -> None:
        self._there, self._token = there, token

    def auth_flow(self, request: httpx2.Request) -> Iterator[httpx2.Request]:  # type: ignore[override] # no answer is looked at
        request.headers.update(self._there.shown(self._token, request.method))
        yield request


async def official(there: Fronted, token: str, mode: str, text: str) -> str:
    """What the official client is answered, in this era."""
    async with (
        httpx2.AsyncClient(auth=Proving(there, token), timeout=30.0) as http,
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
async def test_two_tasks_in_both_eras_by_the_official_client_until_one_of_them_ends(tmp_path: Path) -> None:
    async with real(tmp_path, echo()) as place, front(place) as there:
        first = place.task
        second = place.start_task()
        assert place.status().fronts == (DEFAULT_GATEWAY,)
        tokens = [there.token(first), there.token(second)]
        for mode in ("auto", "legacy"):
            said = await asyncio.gather(
                *(official(there, one, mode, f"{mode}-{n}") for n, one in enumerate(tokens))
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
            wire.send(there.modern(tokens[1], listen))
            assert (await wire.head()).status == 200
            place.client.ask(EndTask(task=second, how="revoked", reason="enough"), Done)
            while await wire.event() is not None:
                pass
        ended = await there.call(tokens[1], "echo__echo", {"text": "a"})
        assert (ended.status, ended.code) == (401, "task-ended")
        assert (await there.call(tokens[0], "echo__echo", {"text": "a"})).text == "a"

        for token in tokens:
            assert token.encode() not in everything_of(there.process.pid)


async def test_off_the_loopback_there_is_no_front_without_tls(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "taskbound.wiring.gateway",
        *("--listen", "0.0.0.0:0", "--home", str(tmp_path)),
        stderr=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    _, err = await process.communicate()
    assert (process.returncode, b"[bad-address]" in err) == (2, True)
