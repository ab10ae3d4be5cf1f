"""The echo server is right in both eras, the raw client sees each byte, and the raw proxy changes none."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from mcp import Client, ClientSession, StdioServerParameters, stdio_client, types

from tests.peers.commands import Served, echo, faulty, proxied
from tests.peers.rawclient import EndOfOutputError, RawClient, Tap, speaking, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.peers.rawclient import Era

pytestmark = pytest.mark.anyio

ERAS: Final = pytest.mark.parametrize("era", ["legacy", "modern"])
HELLO: Final = b'{"text":"hello"}'


def official(command: Sequence[str]) -> StdioServerParameters:
    return StdioServerParameters(command=command[0], args=list(command[1:]))


# --- echo.py ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("served", "mode", "spoken"),
    [
        ("legacy", "legacy", "2025-11-25"),
        ("legacy", "auto", "2025-11-25"),
        ("modern", "auto", "2026-07-28"),
        ("modern", "2026-07-28", "2026-07-28"),
        ("both", "legacy", "2025-11-25"),
        ("both", "auto", "2026-07-28"),
    ],
)
async def test_echo_works_with_the_official_client(served: Served, mode: str, spoken: str) -> None:
    async with Client(official(echo(era=served)), mode=mode) as client:
        assert client.protocol_version == spoken
        assert [tool.name for tool in (await client.list_tools()).tools] == [
            "echo",
            "sleep_until_cancelled",
            "big",
        ]
        answer = await client.call_tool("echo", {"text": "grüße", "more": 1})
        large = await client.call_tool("big", {"n": 200_000})
    assert answer.content == [types.TextContent(type="text", text="grüße")]
    assert isinstance(large.content[0], types.TextContent)
    assert large.content[0].text == "x" * 200_000


async def test_echo_works_with_a_client_session_over_stdio_client() -> None:
    async with (
        stdio_client(official(echo(era="legacy"))) as (reading, writing),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        await session.send_ping()
        assert not (await session.call_tool("echo", {"text": "a"})).is_error


@ERAS
async def test_echo_logs_each_line_byte_for_byte_also_what_it_can_not_read(tmp_path: Path, era: Era) -> None:
    log = tmp_path / "log"
    sent = [b"{", b"", b"\xff\x00\r", b' [1 , 2.50e1, "\\u00e9\xc3\xa9"] ', b"not json", b"x" * 200_000]
    async with RawClient(echo(log=log), era=era) as client:
        await client.send(b"\n".join(sent) + b"\nhalf")
        await client.finish()
        assert await client.exited() == 0
    assert raw_bytes(log) == b"\n".join(sent) + b"\nhalf"


def raw_bytes(path: Path) -> bytes:
    return path.read_bytes()


async def test_echo_can_log_to_a_tap_so_that_a_test_waits_for_an_event(tmp_path: Path) -> None:
    async with Tap(tmp_path / "tap") as tap, speaking(echo(log=tap.path)) as client:
        sleeping = await client.start_call("sleep_until_cancelled")
        assert b'"sleep_until_cancelled"' in await tap.wait_for(b"tools/call")
        await client.cancel(sleeping)
        assert json.loads(await tap.read_line())["params"]["requestId"] == int(sleeping)
        assert await client.finish() == []


async def test_echo_answers_a_legacy_call_before_initialize_only_when_it_is_lax() -> None:
    async with RawClient(echo(era="legacy")) as client:
        assert (await client.call("echo", HELLO))["error"]["message"] == "not initialized"
    async with RawClient(echo(era="legacy", lax=True)) as client:
        assert text_of(await client.call("echo", HELLO)) == "hello"


async def test_a_lax_legacy_echo_executes_the_call_of_a_modern_client() -> None:
    async with RawClient(echo(era="legacy", lax=True), era="modern") as client:
        answer = await client.call("echo", HELLO)
    assert text_of(answer) == "hello"
    assert "resultType" not in answer["result"]


async def test_echo_speaks_only_the_era_that_it_was_told_to() -> None:
    async with RawClient(echo(era="legacy"), era="modern") as client:
        assert (await client.request("server/discover"))["error"]["code"] == -32601
    async with RawClient(echo(era="modern"), era="legacy") as client:
        assert (await client.request("initialize", b"{}"))["error"]["code"] == -32022
        assert (await client.call("echo", HELLO))["error"]["code"] == -32602


@ERAS
async def test_echo_says_what_is_wrong(era: Era) -> None:
    async with speaking(echo(), era) as client:
        assert (await client.request("resources/list"))["error"]["code"] == -32601
        assert (await client.call("none"))["error"]["code"] == -32602
        assert (await client.call("echo", b"{}"))["result"]["isError"] is True
        await client.send_line(b"[]")
        assert (await client.read_message())["error"]["code"] == -32600


async def test_echo_serves_a_given_list_of_tools_byte_for_byte(tmp_path: Path) -> None:
    tools = tmp_path / "tools.json"
    tools.write_bytes(b'[{"name":"x","inputSchema":{"type":"object"},"n":1.50,"n":1e2}]\n')
    async with speaking(echo(tools=tools)) as client:
        await client.request("tools/list")
        assert b'"n":1.50,"n":1e2' in client.lines[-1]
        assert text_of(await client.call("x", HELLO)) == "hello"


# --- rawclient.py -------------------------------------------------------------------------------------------


async def test_a_wait_that_is_too_long_ends_with_a_timeout_and_loses_no_byte() -> None:
    async with speaking(faulty("hangs", after=1)) as client:
        assert text_of(await client.call("work")) == "done"
        await client.start_call("work")
        with pytest.raises(TimeoutError):
            await client.read_line(deadline=0.05)
        assert (await client.request("tools/list"))["result"]["tools"]


async def test_leaving_the_block_kills_what_the_process_has_started(tmp_path: Path) -> None:
    held = tmp_path / "held"  # the grandchild holds it open for writing; its end is seen as the end of file
    os.mkfifo(held)
    with open_read_end(held) as reading:
        async with RawClient(proxied(echo(log=held))) as client:
            await client.handshake()
            assert reading.read().startswith(b'{"jsonrpc"')
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), reading
        )
        await asyncio.wait_for(stream.read(), 20)  # until no process holds the other end
        transport.close()
    assert client.process.returncode == -signal.SIGKILL


def open_read_end(fifo: Path) -> FileIO:
    return FileIO(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))


async def test_an_answer_is_found_by_the_exact_type_of_its_id() -> None:
    async with speaking(faulty("id-float")) as client:
        request = await client.start_call("work")
        with pytest.raises(TimeoutError):
            await client.answer_to(request, deadline=0.05)
        assert (await client.read_message())["id"] == int(request)


# --- rawproxy.py --------------------------------------------------------------------------------------------


async def test_the_raw_proxy_passes_everything_on_in_both_directions(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with speaking(proxied(echo(log=log))) as client:
        assert text_of(await client.call("echo", b' {"text" : "a\\u00e9", "n": 1.50e1} ')) == "aé"
        await client.send_line(b"\xff\r\x00")
        assert (await client.read_message())["error"]["code"] == -32700
        assert len(text_of(await client.call("big", b'{"n":3000000}'))) == 3_000_000
        assert await client.finish() == []
        assert await client.exited() == 0
    assert b' {"text" : "a\\u00e9", "n": 1.50e1} ' in raw_bytes(log)
    assert b"\n\xff\r\x00\n" in raw_bytes(log)


async def test_the_raw_proxy_ends_with_the_status_of_its_command() -> None:
    async with speaking(proxied(faulty("dies-before-answer"))) as client:
        await client.start_call("work")
        with pytest.raises(EndOfOutputError):
            await client.read_line()
        assert await client.exited() == 3


async def test_the_raw_proxy_does_not_block_when_both_sides_send_at_once() -> None:
    async with speaking(proxied(echo())) as client:
        text = b'{"text":"' + b"x" * 100_000 + b'"}'
        sending = asyncio.gather(*(client.start_call("echo", text) for _ in range(20)))
        answers = [await client.read_message() for _ in range(20)]
        await sending
    assert {len(text_of(answer)) for answer in answers} == {100_000}
