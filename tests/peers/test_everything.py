"""The conformance tests' server is the same over stdio; relay and bridge send what they are to send."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from mcp import Client, StdioServerParameters, types

from tests.conformance.places import EVERYTHING, bridged, relayed
from tests.peers.commands import echo
from tests.peers.official import answer, roots, sample
from tests.peers.rawclient import Tap

pytestmark = pytest.mark.anyio
STDIO: Final = StdioServerParameters(command=EVERYTHING[0], args=[EVERYTHING[1], "--stdio"])
ASKS: Final = "test_input_required_result_multiple_inputs"


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_everything_asks_and_answers_over_stdio(mode: str) -> None:
    async with Client(
        STDIO, mode=mode, elicitation_callback=answer, sampling_callback=sample, list_roots_callback=roots
    ) as client:
        assert ASKS in [tool.name for tool in (await client.list_tools()).tools]
        told: list[float] = []

        async def tell(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 -- the SDK calls it by these names
            told.append(progress)

        await client.call_tool("test_tool_with_progress", {}, progress_callback=tell)
        asked = (await client.call_tool(ASKS, {})).content[0]
    assert told == [0, 50, 100]
    assert isinstance(asked, types.TextContent)
    assert json.loads(asked.text).keys() == {"user_name", "greeting", "client_roots"}


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_everything_asks_nobody_who_did_not_say_that_they_answer(mode: str) -> None:
    async with Client(STDIO, mode=mode) as client:
        with pytest.raises(Exception, match="The client did not declare what this needs"):
            await client.call_tool(ASKS, {})


class Witness:
    """A server that keeps what it was asked and answers nothing of interest."""

    def __init__(self) -> None:
        self.head: dict[str, str] = {}
        self.body: Any = None

    async def __call__(self, reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        head = (await reading.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:-2]
        self.head = dict(line.lower().split(": ", 1) for line in head)
        self.body = json.loads(await reading.readexactly(int(self.head["content-length"])))
        writing.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        await writing.drain()
        writing.close()


@pytest.mark.parametrize(("host", "kept"), [(None, False), ("evil.example.com", True)])
async def test_the_relay_adds_prefix_and_bearer_and_keeps_a_foreign_host(
    host: str | None, *, kept: bool
) -> None:
    witness = Witness()
    async with await asyncio.start_server(witness, "127.0.0.1", 0) as server:
        there = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with relayed(f"http://{there}/mcp", "a__", "secret") as url:
            own = host or httpx2.URL(url).netloc.decode()
            headers = {"Mcp-Name": "b", "Host": own, "Origin": f"http://{own}"}
            sent = {"method": "tools/call", "params": {"name": "b", "arguments": {"name": "b"}}}
            async with httpx2.AsyncClient(trust_env=False) as client:
                answered = await client.post(url, headers=headers, json=sent)
    assert answered.status_code == 202
    assert witness.body["params"] == {"name": "a__b", "arguments": {"name": "b"}}
    expected = own if kept else there
    assert {key: witness.head[key] for key in ("mcp-name", "authorization", "host", "origin")} == {
        "mcp-name": "a__b",
        "authorization": "bearer secret",
        "host": expected,
        "origin": f"http://{expected}",
    }


class Endless:
    """A server that begins a stream, and notices when nobody reads it any more."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def __call__(self, reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        await reading.readuntil(b"\r\n\r\n")
        writing.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n")
        await writing.drain()
        await reading.read()
        self.left.set()
        writing.close()


@pytest.mark.parametrize("method", ["tools/list", "subscriptions/listen"])
async def test_who_leaves_a_stream_of_the_relay_leaves_it_there_too(method: str) -> None:
    endless = Endless()
    async with await asyncio.start_server(endless, "127.0.0.1", 0) as server:
        there = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        with relayed(there, "a__") as url:
            async with (
                httpx2.AsyncClient(trust_env=False) as client,
                client.stream("POST", url, json={"method": method}) as answer,
            ):
                assert await anext(answer.aiter_lines()) == "data: {}"
                assert not endless.left.is_set()
            async with asyncio.timeout(10):
                await endless.left.wait()


async def test_who_leaves_the_bridge_before_the_answer_cancels_what_they_asked(tmp_path: Path) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "sleep_until_cancelled", "arguments": {}, "_meta": meta}
    asked = {"jsonrpc": "2.0", "id": "mine", "method": "tools/call", "params": params}
    async with Tap(tmp_path / "log") as tap:
        with bridged(echo(log=tap.path)) as url:
            async with httpx2.AsyncClient(trust_env=False) as client:
                headers = {"MCP-Protocol-Version": "2026-07-28"}
                asking = asyncio.ensure_future(client.post(url, json=asked, headers=headers))
                called = json.loads(await tap.wait_for(b"sleep_until_cancelled"))
                asking.cancel()
                cancelled = json.loads(await tap.wait_for(b"notifications/cancelled"))
    assert called["id"] != "mine"
    assert cancelled["params"] == {"requestId": called["id"]}
