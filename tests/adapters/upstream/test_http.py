"""Servers behind a URL: what goes to them, byte for byte, and how they are looked at."""

from __future__ import annotations

import asyncio
import json

import pytest

from taskbound.adapters.upstream.mcp.errors import NoStreamableHttpError, StartFailedError
from taskbound.adapters.upstream.mcp.http.probe import pin_url, probe
from taskbound.ports.upstream import Answered, Errored, NoAnswer, NotSent, UpstreamAnswer
from tests.adapters.upstream.reaching import (
    DEADLINE,
    ERAS,
    QUICK,
    Events,
    answered,
    on_call,
    reach,
    reached,
    until,
)
from tests.conformance.places import everything
from tests.peers.rawhttp import Asked, RawHttp, Say, dump, result_of

pytestmark = pytest.mark.anyio


# --- what goes out ------------------------------------------------------------------------------------------


async def test_a_legacy_server_gets_the_handshake_the_session_and_exactly_the_arguments() -> None:
    raw = '{"text":"é\u2028","x":[1,2.5]}'.encode()
    async with RawHttp() as there, reached(there, headers={"X-Tenant": "a"}) as (server, _):
        assert isinstance(await answered(server, raw), Answered)
        await server.close()
        first, second, third, last = (one for one in there.asked if one.verb != "GET")
    host = f"127.0.0.1:{there.port}"
    always = [("host", host), ("user-agent", "taskbound"), ("accept", "application/json, text/event-stream")]
    always += [("accept-encoding", "identity"), ("x-tenant", "a"), ("content-type", "application/json")]
    sessioned = [("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", "s-1")]
    assert list(first.headers) == [*always, ("content-length", str(len(first.body)))]
    assert second.body == b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    assert third.body == (
        b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"arguments":%b,"name":"work"}}' % raw
    )
    for one in (second, third):
        assert list(one.headers) == [*always, ("content-length", str(len(one.body))), *sessioned]
    assert (last.verb, last.header("mcp-session-id")) == ("DELETE", "s-1")


async def test_a_modern_server_gets_meta_and_headers_of_our_own_and_exactly_the_arguments() -> None:
    schema = {
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "count": {"type": "integer", "x-mcp-header": "Count"},
        },
    }
    tools = dump([{"name": "work", "inputSchema": schema}])
    async with RawHttp(era="modern", tools=tools) as there, reached(there) as (server, _):
        assert len(await server.list_tools()) == 1
        raw = '{"count":3,"region":"é"}'.encode()
        assert isinstance(await answered(server, raw), Answered)
        _, listed, called = there.asked
    assert (listed.header("mcp-method"), listed.header("mcp-name")) == ("tools/list", None)
    meta, rest = called.body.split(b',"arguments":')
    assert meta.startswith(
        b'{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"_meta":{"io.modelcontext'
    )
    assert set(json.loads(called.body)["params"]["_meta"]) == {
        f"io.modelcontextprotocol/{one}" for one in ("clientCapabilities", "clientInfo", "protocolVersion")
    }
    assert rest == raw + b',"name":"work"}}'
    assert sorted(one for one in called.headers if one[0].startswith("mcp-")) == [
        ("mcp-method", "tools/call"),
        ("mcp-name", "work"),
        ("mcp-param-count", "3"),
        ("mcp-param-region", "=?base64?w6k=?="),
        ("mcp-protocol-version", "2026-07-28"),
    ]


async def test_a_tool_whose_headers_can_not_be_made_is_neither_pinned_nor_listed() -> None:
    bad = {"type": "object", "properties": {"a": {"type": "number", "x-mcp-header": "A"}}}
    tools = dump([{"name": "bad", "inputSchema": bad}, {"name": "good", "inputSchema": {"type": "object"}}])
    async with RawHttp(era="modern", tools=tools) as there:
        found = await probe(pin_url("x", there.url, headers={}), patience=QUICK)
        async with reached(there) as (server, _):
            listed = await server.list_tools()
    assert [json.loads(raw)["name"] for raw in found.definitions] == ["good"]
    assert listed == found.definitions
    assert "`bad`" in found.notes[0]
    async with RawHttp(tools=tools) as there, reached(there) as (server, _):
        assert len(await server.list_tools()) == 2  # a legacy server's schema knows no such word


async def test_arguments_that_are_too_long_for_headers_are_not_sent() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "A"}}}
    tools = dump([{"name": "work", "inputSchema": schema}])
    async with RawHttp(era="modern", tools=tools) as there, reached(there) as (server, _):
        await server.list_tools()
        found = await answered(server, b'{"a":"%b"}' % (b"x" * 9_000))
        assert isinstance(found, NotSent)
        assert there.heard("tools/call") == []


async def test_nothing_of_the_environment_and_no_cookie_changes_what_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def baked(asked: Asked, say: Say) -> None:
        await say.answer(body=result_of(asked.message), headers="Set-Cookie: a=b; Path=/\r\n")

    async with RawHttp() as proxy, RawHttp(does=on_call(baked)) as there:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with reached(there) as (server, _):
            for _ in range(2):
                assert isinstance(await answered(server), Answered)
        assert proxy.asked == []
        assert len(there.heard("tools/call")) == 2
        assert all(one.header("cookie") is None for one in there.asked)


async def test_two_calls_share_a_connection_and_a_closed_one_is_not_used_again() -> None:
    ends: list[Say] = []

    async def keep(asked: Asked, say: Say) -> None:
        ends.append(say)
        await say.answer(body=result_of(asked.message))

    async with RawHttp(era="modern", does=on_call(keep)) as there, reached(there) as (server, _):
        for _ in range(2):
            assert isinstance(await answered(server), Answered)
        assert (there.open, there.taken) == (1, 1)
        ends[-1].end()
        await until(lambda: not any(wire.fresh for wire, _ in server._session._dialer._idle))  # noqa: SLF001 -- to see it learn of the end
        assert isinstance(await answered(server), Answered)


@pytest.mark.parametrize("whole", [0, 8_192])
async def test_a_connection_that_said_more_than_its_answer_is_not_used_again(whole: int) -> None:
    async def too_much(asked: Asked, say: Say) -> None:
        forged = b'{"jsonrpc":"2.0","id":%d,"result":{"content":[],"forged":1}}' % (asked.message["id"] + 1)
        more = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        body = result_of(asked.message)
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nX-Fill: %b\r\n\r\n"
        )
        fill = b"x" * max(whole - len(head % (len(body), b"")) - len(body), 1)
        await say.raw(head % (len(body), fill) + body + more % (len(forged), forged))

    async with RawHttp(era="modern", does=on_call(too_much)) as there, reached(there) as (server, _):
        for number in (1, 2):
            found = await answered(server)
            assert isinstance(found, Answered)
            assert b"forged" not in found.raw
            assert there.taken == number


# --- cancelling ---------------------------------------------------------------------------------------------


async def test_a_modern_call_is_cancelled_by_closing_its_exchange() -> None:
    gone = asyncio.Event()

    async def hang(_asked: Asked, say: Say) -> None:
        await say.stream()
        await say.gone()
        gone.set()

    async with RawHttp(era="modern", does=on_call(hang)) as there, reached(there) as (server, _):
        seen: list[UpstreamAnswer] = []
        number = server.call("work", b"{}", seen.append)
        await there.until(lambda: bool(there.heard("tools/call")))
        server.cancel(number, "no longer wanted")
        assert isinstance(seen[0], NoAnswer)
        assert seen[0].code == "cancelled"
        await asyncio.wait_for(gone.wait(), DEADLINE)
        assert there.heard("notifications/cancelled") == []


async def test_a_legacy_call_is_cancelled_by_a_notification_and_may_be_answered() -> None:
    told = asyncio.Event()

    async def wait(asked: Asked, say: Say) -> None:
        await told.wait()
        await say.answer(body=result_of(asked.message, "stopped"))

    async with RawHttp(does=on_call(wait)) as there, reached(there) as (server, _):
        found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        number = server.call("work", b"{}", found.set_result)
        await there.until(lambda: bool(there.heard("tools/call")))
        server.cancel(number, "no longer wanted")
        await there.until(lambda: bool(there.heard("notifications/cancelled")))
        (one,) = there.heard("notifications/cancelled")
        assert one.message["params"] == {"reason": "no longer wanted", "requestId": number}
        assert one.header("mcp-session-id") == "s-1"
        told.set()
        assert isinstance(await asyncio.wait_for(found, DEADLINE), Answered)


# --- looking at a server ------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_probe_finds_the_era_and_leaves_nothing_open(era: str) -> None:
    async with RawHttp(era="legacy" if era == "legacy" else "modern") as there:
        found = await probe(pin_url("x", there.url, headers={}), patience=QUICK)
        await there.until(lambda: there.open == 0)
        assert there.heard("tools/call") == []
    assert found.era == ERAS[era]
    assert [json.loads(one)["name"] for one in found.definitions] == ["work"]


@pytest.mark.parametrize("status", [400, 404, 405, 415, 500])
async def test_a_server_that_knows_no_modern_question_is_asked_in_the_old_way(status: int) -> None:
    async def old(asked: Asked, say: Say) -> bool:
        if asked.method == "server/discover":
            await say.answer(status, b"what?", kind="text/plain")
            return True
        return False

    async with RawHttp(does=old) as there:
        assert (await probe(pin_url("x", there.url, headers={}), patience=QUICK)).era == "2025-11-25"


async def test_a_modern_server_that_refuses_the_first_request_for_its_own_revision_is_asked_once_more() -> (
    None
):
    async def odd(asked: Asked, say: Say) -> bool:
        if len(there.asked) > 1:
            return False
        error = {"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"], "requested": "x"}}
        await say.answer(400, dump({"jsonrpc": "2.0", "id": asked.message["id"], "error": error}))
        return True

    async with RawHttp(era="modern", does=odd) as there:
        assert (await probe(pin_url("x", there.url, headers={}), patience=QUICK)).era == "2026-07-28"


async def test_a_server_that_wants_credentials_says_so() -> None:
    async def closed(_asked: Asked, say: Say) -> bool:
        await say.answer(401)
        return True

    async with RawHttp(does=closed) as there:
        with pytest.raises(StartFailedError, match="credentials"):
            await probe(pin_url("x", there.url, headers={}), patience=QUICK)


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_server_of_http_with_sse_is_refused_by_name_and_asked_for_no_stream(status: int) -> None:
    async def old(asked: Asked, say: Say) -> bool:
        if asked.verb == "POST":
            await say.answer(status, b"Method Not Allowed", "text/plain", headers="Allow: GET\r\n")
        else:
            await say.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            await say.raw(b"event: endpoint\ndata: /messages?session=1\n\n")
        return True

    async with RawHttp(does=old) as there:
        with pytest.raises(NoStreamableHttpError, match=f"HTTP status {status}.* HTTP with SSE"):
            await probe(pin_url("x", there.url, headers={}), patience=QUICK)
        assert {one.verb for one in there.asked} == {"POST"}


async def test_server_that_refuses_the_handshake_in_json_rpc_is_quoted() -> None:
    async def refuses(asked: Asked, say: Say) -> bool:
        error = {"code": -32602, "message": "no such tenant"}
        await say.answer(400, dump({"jsonrpc": "2.0", "id": asked.message["id"], "error": error}))
        return True

    async with RawHttp(does=refuses) as there:
        with pytest.raises(StartFailedError, match="no such tenant"):
            await probe(pin_url("x", there.url, headers={}), patience=QUICK)


# --- the official server ------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["2025-11-25", "2026-07-28"])
async def test_the_official_server_is_listed_and_called_in_both_eras(era: str) -> None:
    with everything() as url:
        found = await probe(pin_url("x", url, headers={}), patience=QUICK)
        assert found.era == "2026-07-28"
        server = await reach(pin_url("x", url, headers={}), Events(), era=era)
        try:
            assert len(await server.list_tools()) == len(found.definitions) > 20
            for tool in ("test_simple_text", "test_tool_with_progress", "test_reconnection"):
                assert isinstance(await answered(server, tool=tool), Answered), tool
            failed = await answered(server, tool="test_error_handling")
            assert isinstance(failed, Answered)
            assert failed.value["isError"] is True
            asks = await answered(server, b'{"prompt":"a"}', tool="test_sampling")
            assert isinstance(asks, Errored)
        finally:
            await server.close()
