"""Servers behind a URL: each way in which an answer is none, and its bounds."""

from __future__ import annotations

import asyncio
import os
import tracemalloc

import pytest

from taskbound.adapters.upstream.mcp.errors import StartFailedError
from taskbound.adapters.upstream.mcp.http.probe import pin_url
from taskbound.adapters.upstream.mcp.http.waits import Waits
from taskbound.ports.upstream import Answered, Errored, NoAnswer, NotSent, UpstreamAnswer
from tests.adapters.upstream.reaching import (
    DEADLINE,
    Events,
    answered,
    on_call,
    reach,
    reached,
    until,
)
from tests.peers.rawhttp import Asked, RawHttp, Say, events, result_of

pytestmark = pytest.mark.anyio


# --- what comes back ----------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
RESULT = b'{"jsonrpc":"2.0","id":%d,"result":{"content":[]}}'
FAULTS: dict[str, tuple[bytes, str]] = {
    "closes": (b"", "server-lost"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", "server-lost"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "bad-http"),
    "a huge head": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", "bad-http"),
    "interim answers without end": (b"HTTP/1.1 103 Early\r\n\r\n" * 20, "bad-http"),
    "two framings": (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad-http"),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", "bad-http"),
    "two equal lengths": (HEAD + b"Content-Length: 2\r\ncontent-length: 2\r\n\r\n{}", "bad-http"),
    "two lengths in a line": (HEAD + b"Content-Length: 2, 2\r\n\r\n{}", "bad-http"),
    "two types": (HEAD + b"Content-Type: text/event-stream\r\nContent-Length: 2\r\n\r\n{}", "bad-http"),
    "a zero in a header": (HEAD + b"X: a\x00b\r\nContent-Length: 2\r\n\r\n{}", "bad-http"),
    "a header without a name": (HEAD + b": b\r\nContent-Length: 2\r\n\r\n{}", "bad-http"),
    "a bad chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "bad-http"),
    "a cut body": (HEAD + b'Content-Length: 50\r\n\r\n{"jsonrpc"', "server-lost"),
    "gzip": (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", "encoded-answer"),
    "HTML": (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi", "garbage"),
    "no type": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "garbage"),
    "202": (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", "no-answer"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "no-answer"),
    "500": (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno", "http-status"),
    "401": (b"HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n", "http-status"),
    "101": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "bad-http"),
}
BODIES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"hello", "not-json"),
    "nothing": (b"", "empty-document"),
    "a key twice": (b'{"jsonrpc":"2.0","id":2,"result":{"a":1,"a":2}}', "duplicate-key"),
    "no number": (b'{"jsonrpc":"2.0","id":2,"result":{"a":NaN}}', "not-finite"),
    "not UTF-8": (b'{"jsonrpc":"2.0","id":2,"result":{"a":"\xff"}}', "not-utf8"),
    "a batch": (b'[{"jsonrpc":"2.0","id":2,"result":{}}]', "batch"),
    "two documents": (b'{"jsonrpc":"2.0","id":2,"result":{}}{}', "trailing-data"),
    "a member too many": (b'{"jsonrpc":"2.0","id":2,"result":{},"x":1}', "unknown-member"),
    "another id": (b'{"jsonrpc":"2.0","id":7,"result":{}}', "garbage"),
    "an id of another kind": (b'{"jsonrpc":"2.0","id":"2","result":{}}', "garbage"),
    "a fraction for an id": (b'{"jsonrpc":"2.0","id":2.0,"result":{}}', "bad-id"),
    "no object": (b'{"jsonrpc":"2.0","id":2,"result":[]}', "garbage"),
    "an error to nobody": (b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"a"}}', "garbage"),
    "a notification": (b'{"jsonrpc":"2.0","method":"notifications/message"}', "garbage"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_whatever_is_no_answer_of_http_makes_the_call_unknown_and_it_is_sent_once(name: str) -> None:
    said, code = FAULTS[name]

    async def fail(_asked: Asked, say: Say) -> None:
        await say.raw(said)
        say.end()

    async with RawHttp(does=on_call(fail)) as there, reached(there) as (server, _):
        found = await answered(server)
        assert isinstance(found, NoAnswer)
        assert found.code == code
        assert server.alive
        assert len(there.heard("tools/call")) == 1


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("name", BODIES)
async def test_whatever_is_no_message_makes_the_call_unknown(name: str, kind: str) -> None:
    said, code = BODIES[name]
    stream = kind != "application/json"
    if stream and name in {"nothing", "a notification", "another id", "an id of another kind"}:
        code = "no-answer"  # it may still have come

    async def fail(_asked: Asked, say: Say) -> None:
        await say.answer(body=events(said) if stream else said, kind=kind)

    async with RawHttp(does=on_call(fail)) as there, reached(there) as (server, _):
        found = await answered(server)
        assert isinstance(found, NoAnswer)
        assert found.code == code


async def test_a_reset_connection_makes_the_call_unknown() -> None:
    async def cut(_asked: Asked, say: Say) -> None:
        say.reset()

    async with RawHttp(does=on_call(cut)) as there, reached(there) as (server, _):
        assert isinstance(await answered(server), NoAnswer)


async def test_a_server_that_is_not_there_was_sent_nothing() -> None:
    async with RawHttp() as there, reached(there) as (server, _):
        await there.__aexit__()
        found = await answered(server)
        assert isinstance(found, NotSent)
        assert found.code == "not-reached"
        with pytest.raises(StartFailedError, match="can't be reached"):
            await reach(pin_url("x", there.url, headers={}), Events(), era="2025-11-25")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_is_followed_elsewhere(status: int) -> None:
    async with RawHttp() as other:

        async def lead(_asked: Asked, say: Say) -> None:
            await say.answer(status, headers=f"Location: {other.url}\r\n")

        async with RawHttp(does=on_call(lead)) as there, reached(there) as (server, _):
            found = await answered(server)
            assert isinstance(found, NoAnswer)
            assert found.code == "redirected"
        assert other.asked == []
        assert other.open == 0


@pytest.mark.parametrize("written", [b"2", b"null", b'"server-error"'])
async def test_an_error_with_its_status_is_the_server_s_own(written: bytes) -> None:
    async def fail(_asked: Asked, say: Say) -> None:
        body = b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32603,"message":"a","x":1.50}}' % written
        await say.answer(500, body)

    async with RawHttp(does=on_call(fail)) as there, reached(there) as (server, _):
        found = await answered(server)
        assert found == Errored(b'{"code":-32603,"message":"a","x":1.50}', -32603, "a")


async def test_a_result_of_several_lines_becomes_one_and_is_else_untouched() -> None:
    body = b'{"jsonrpc":"2.0",\r\n"id":2,\n"result":{\n "a": 1.50,\r\n "b":"\\u0061\\n\xe2\x80\xa8" }}'
    expected = b'{  "a": 1.50,   "b":"\\u0061\\n\xe2\x80\xa8" }'

    async def say_json(_asked: Asked, say: Say) -> None:
        await say.answer(body=body)

    async def say_events(_asked: Asked, say: Say) -> None:
        lines = body.replace(b"\r\n", b"\n").split(b"\n")
        await say.answer(
            body=b"".join(b"data: " + one + b"\n" for one in lines) + b"\n", kind="text/event-stream"
        )

    async with RawHttp(does=on_call(say_json)) as there, reached(there) as (server, _):
        found = await answered(server)
    assert isinstance(found, Answered)
    assert found.raw == expected
    async with RawHttp(does=on_call(say_events)) as there, reached(there) as (server, _):
        found = await answered(server)
    assert isinstance(found, Answered)
    assert found.raw == expected.replace(b"1.50,  ", b"1.50, ")


# --- bounds -------------------------------------------------------------------------------------------------


async def test_each_silence_has_an_end() -> None:
    async def never(_asked: Asked, say: Say) -> None:
        await say.gone()

    async def begins(_asked: Asked, say: Say) -> None:
        await say.stream()
        await say.gone()

    waits = Waits(answer=0.2, silence=0.2)
    for does, words in ((never, "did not answer"), (begins, "was silent")):
        async with RawHttp(does=on_call(does)) as there, reached(there, waits=waits) as (server, _):
            found = await answered(server)
            assert isinstance(found, NoAnswer)
            assert (found.code, words in found.reason) == ("timed-out", True)


async def test_time_in_which_nobody_reads_is_no_silence() -> None:
    async def begins(asked: Asked, say: Say) -> None:
        await say.stream(result_of(asked.message, "x" * 200_000))

    waits = Waits(answer=0.2, silence=0.2)
    async with RawHttp(does=on_call(begins)) as there, reached(there, waits=waits) as (server, _):
        found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        server.pause()
        server.call("work", b"{}", found.set_result)
        await there.until(lambda: bool(there.heard("tools/call")))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(found), 0.6)
        server.resume()
        assert isinstance(await asyncio.wait_for(found, DEADLINE), Answered)


PIECE = b"x" * 1_048_576
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a document": (HEAD + b"Content-Length: 1073741824\r\n\r\n", PIECE),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"100000\r\n" + PIECE + b"\r\n"),
    "a line": (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ", PIECE),
    "an event": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
        b"data: " + PIECE[6:-1] + b"\n",
    ),
    "comments": (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", b": " + PIECE[2:-1] + b"\n"),
    "a refusal": (
        b"HTTP/1.1 500 No\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n",
        PIECE,
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_a_gigabyte_is_refused_in_bounded_memory(name: str) -> None:
    head, piece = ENDLESS[name]
    sent = 0

    async def flood(_asked: Asked, say: Say) -> None:
        nonlocal sent
        await say.raw(head)
        for _ in range(1_024):
            await say.raw(piece)
            sent += 1

    async with RawHttp(does=on_call(flood)) as there, reached(there) as (server, _):
        tracemalloc.start()
        try:
            found = await answered(server)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert isinstance(found, NoAnswer)
        assert found.code == "too-large"
        await there.until(lambda: there.open == 0)
    assert sent < 90
    assert peak < 64 * 1_048_576


async def test_many_answers_together_are_bounded_too() -> None:
    async def much(_asked: Asked, say: Say) -> None:
        await say.raw(HEAD + b"Content-Length: 15728640\r\n\r\n")
        await say.raw(PIECE * 14)
        await say.gone()

    async with RawHttp(does=on_call(much)) as there, reached(there) as (server, _):
        seen: list[UpstreamAnswer] = []
        for _ in range(6):
            server.call("work", b"{}", seen.append)
        await until(lambda: len(seen) == 2)
        assert [one.code for one in seen if isinstance(one, NoAnswer)] == ["too-large"] * 2


async def test_a_paused_server_is_held_up_and_not_read_into_memory() -> None:
    sent = 0

    async def flood(_asked: Asked, say: Say) -> None:
        nonlocal sent
        await say.raw(HEAD + b"Content-Length: 16777000\r\n\r\n")
        for _ in range(15):
            await say.raw(PIECE)
            sent += 1

    async with RawHttp(does=on_call(flood)) as there, reached(there) as (server, _):
        server.pause()
        server.call("work", b"{}", lambda _: None)
        await there.until(lambda: bool(there.heard("tools/call")))
        for _ in range(200):
            await asyncio.to_thread(os.sched_yield)
        assert sent < 12  # what the system's own buffers take
