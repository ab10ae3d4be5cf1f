"""Servers behind a URL: streams that end, sessions that end, and what is asked on them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from taskbound.adapters.upstream.mcp.errors import StartFailedError
from taskbound.adapters.upstream.mcp.http.probe import pin_url
from taskbound.adapters.upstream.mcp.http.waits import Waits
from taskbound.ports.upstream import Answered, Logged, NoAnswer, NotSent
from tests.adapters.upstream.reaching import (
    DEADLINE,
    ERAS,
    Events,
    answered,
    on_call,
    reach,
    reached,
    until,
)
from tests.peers.rawhttp import Asked, Does, RawHttp, Say, dump, events, result_of
from tests.peers.speaking import logs

pytestmark = pytest.mark.anyio


# --- legacy: streams and sessions ---------------------------------------------------------------------------


async def test_a_stream_that_ends_before_its_answer_is_taken_up_where_it_ended() -> None:
    calls: list[Asked] = []

    async def polls(asked: Asked, say: Say) -> bool:
        if asked.method == "tools/call":
            calls.append(asked)
            await say.stream()
            await say.raw(b"id: e-1\nretry: 50\ndata:\n\nid: e-2\ndata: {")  # the second is cut off
            say.end()
            return True
        if asked.header("last-event-id"):
            last = asked.header("last-event-id")
            if last == "e-1":
                await say.answer(body=b"id: e-3\nretry: 60\ndata:\n\n", kind="text/event-stream")
            else:
                body = b"id: e-4\n" + events(result_of(calls[0].message, "late"))
                await say.answer(body=body, kind="text/event-stream")
            return True
        return False

    async with RawHttp(does=polls) as there, reached(there) as (server, _):
        found = await answered(server)
        assert isinstance(found, Answered)
        gets = [one for one in there.asked if one.header("last-event-id")]
        assert [one.header("last-event-id") for one in gets] == ["e-1", "e-3"]
        for one in gets:
            assert one.header("mcp-session-id") == "s-1"
            assert one.header("accept") == "text/event-stream"
        assert len(calls) == 1


@pytest.mark.parametrize("status", [200, 204, 405, 500])
async def test_a_stream_that_can_not_be_taken_up_makes_the_call_unknown(status: int) -> None:
    async def polls(asked: Asked, say: Say) -> bool:
        if asked.method == "tools/call":
            await say.answer(body=b"id: e-1\nretry: 50\ndata:\n\n", kind="text/event-stream")
            return True
        if asked.header("last-event-id"):
            await say.answer(status, kind="text/event-stream")
            return True
        return False

    async with RawHttp(does=polls) as there, reached(there) as (server, _):
        found = await answered(server)
        assert isinstance(found, NoAnswer)
        assert len([one for one in there.asked if one.header("last-event-id")]) == (5 if status == 200 else 1)


@pytest.mark.parametrize("mark", [b"a b", b"a\x00b", "é".encode(), b"x" * 2000])
async def test_a_place_that_can_not_stand_in_a_header_is_none(mark: bytes) -> None:
    async def odd(_asked: Asked, say: Say) -> None:
        await say.answer(body=b"id: %b\nretry: 50\ndata:\n\n" % mark, kind="text/event-stream")

    async with RawHttp(does=on_call(odd)) as there, reached(there) as (server, _):
        assert isinstance(await answered(server), NoAnswer)
        assert [one for one in there.asked if one.header("last-event-id")] == []


async def test_a_modern_stream_is_never_taken_up_again() -> None:
    async def ends(_asked: Asked, say: Say) -> None:
        await say.answer(body=b"id: e-1\nretry: 50\ndata:\n\n", kind="text/event-stream")

    async with RawHttp(era="modern", does=on_call(ends)) as there, reached(there) as (server, _):
        found = await answered(server)
        assert isinstance(found, NoAnswer)
        assert [one.verb for one in there.asked] == ["POST", "POST"]


async def test_a_bare_return_in_a_stream_is_not_read_in_two_ways() -> None:
    async def odd(asked: Asked, say: Say) -> None:
        body = b"data: {}\rdata: x\n\n" + events(result_of(asked.message))
        await say.answer(body=body, kind="text/event-stream")

    async with RawHttp(does=on_call(odd)) as there, reached(there) as (server, _):
        found = await answered(server)
        assert isinstance(found, NoAnswer)
        assert found.code == "bare-return"


async def test_events_are_read_however_they_are_written() -> None:
    async def odd(asked: Asked, say: Say) -> None:
        other = b'{"jsonrpc":"2.0","id":2,"result":{"content":"other"}}'
        body = (
            b"\xef\xbb\xbf: a comment\r\nevent: ping\r\ndata: "
            + other
            + b"\r\n\r\ndata\n\nevent:message\r\nodd: x\r\ndata:"
            + result_of(asked.message)
            + b"\r\n\r\n"
        )
        await say.raw(b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n")
        for at in range(len(body)):
            await say.raw(body[at : at + 1])

    async with RawHttp(does=on_call(odd)) as there, reached(there) as (server, _):
        found = await answered(server)
        assert isinstance(found, Answered)
        assert b"other" not in found.raw


async def test_what_a_legacy_server_asks_is_refused_and_a_modern_one_that_asks_is_not_believed() -> None:
    async def asks(asked: Asked, say: Say) -> None:
        await say.stream(
            b'{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}',
            b'{"jsonrpc":"2.0","id":7,"method":"ping"}',
            b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}',
        )
        if asked.header("mcp-method") is None:
            await there.until(
                lambda: sum("method" not in one.message for one in there.asked if one.body) == 2
            )
        await say.more(result_of(asked.message))
        say.end()

    async with RawHttp(does=on_call(asks)) as there, reached(there) as (server, events):
        assert isinstance(await answered(server), Answered)
        replies = {str(one.message["id"]): one for one in there.asked if one.body and not one.method}
        assert replies["q"].message["error"]["code"] == -32601
        assert replies["7"].message["result"] == {}
        assert replies["q"].header("mcp-session-id") == "s-1"
        assert events.changes == 1
    async with RawHttp(era="modern", does=on_call(asks)) as there, reached(there) as (server, _):
        found = await answered(server)
        assert isinstance(found, NoAnswer)
        assert "asks where it can't" in found.reason
        assert all(one.method for one in there.asked)


async def test_a_session_that_ends_makes_one_call_unknown_and_is_opened_anew_once() -> None:
    gone = asyncio.Event()

    async def ends(asked: Asked, say: Say) -> bool:
        if asked.method == "tools/call" and asked.header("mcp-session-id") == "s-1":
            there.session = "s-2"
            await say.answer(404)
            gone.set()
            return True
        return False

    async with RawHttp(does=ends) as there, reached(there) as (server, events):
        found = await answered(server, b'{"n":1}')
        assert isinstance(found, NoAnswer)
        assert found.code == "session-ended"
        assert isinstance(await answered(server, b'{"n":2}'), Answered)
        assert [one.message["params"]["arguments"]["n"] for one in there.heard("tools/call")] == [1, 2]
        assert there.heard("tools/call")[1].header("mcp-session-id") == "s-2"
        assert len(there.heard("initialize")) == 2
        assert events.changes == 1
        assert server.alive


def forgets(*, refuses: bool = False) -> Does:
    """A server that logs and has news, and forgets its first session at a call, or more than that."""
    info = {"name": "raw", "version": "1"}
    able = {"logging": {}, "resources": {"subscribe": True}}
    opened = {"protocolVersion": ERAS["legacy"], "capabilities": able, "serverInfo": info}
    sessions = ["s-1"]

    async def all_of_it(asked: Asked, say: Say) -> bool:
        name = asked.header("mcp-session-id")
        if asked.method == "tools/call" and name == "s-1":
            sessions.append("s-2")
            await say.answer(404)
        elif asked.method == "initialize":
            body = {"jsonrpc": "2.0", "id": asked.message["id"], "result": opened}
            await say.answer(body=dump(body), headers=f"MCP-Session-Id: {sessions[-1]}\r\n")
        elif asked.method == "resources/subscribe" and name == "s-2" and refuses:
            error = {"code": -32602, "message": "no"}
            await say.answer(body=dump({"jsonrpc": "2.0", "id": asked.message["id"], "error": error}))
        elif asked.method in {"logging/setLevel", "resources/subscribe", "resources/unsubscribe"}:
            await say.answer(body=dump({"jsonrpc": "2.0", "id": asked.message["id"], "result": {}}))
        else:
            return False
        return True

    return all_of_it


async def test_what_a_server_was_asked_to_tell_it_is_asked_for_again_in_another_session() -> None:
    async with RawHttp(does=forgets()) as there, reached(there) as (server, events):
        await server.log_from("info")
        for uri in ("test://a", "test://b"):
            subscribed = await answered(server, dump({"uri": uri}), tool="resources/subscribe")
            assert isinstance(subscribed, Answered)
        await server.unsubscribe("test://b")
        assert isinstance(await answered(server), NoAnswer)
        await until(lambda: bool(events.uris))
        asked = [one for one in there.asked if one.header("mcp-session-id") == "s-2" and one.body]
        assert [one.message["params"] for one in asked if one.method == "logging/setLevel"] == [
            {"level": "info"}
        ]
        again = [one.message["params"] for one in asked if one.method == "resources/subscribe"]
        assert again == [{"uri": "test://a"}]
        # What was said in between nobody knows.
        assert (events.changes, events.lists, events.uris) == (1, ["prompts", "resources"], ["test://a"])
        assert server.alive


async def test_a_server_that_does_not_tell_in_another_session_what_it_told_is_ended() -> None:
    async with RawHttp(does=forgets(refuses=True)) as there, reached(there) as (server, events):
        assert isinstance(
            await answered(server, dump({"uri": "test://a"}), tool="resources/subscribe"), Answered
        )
        assert isinstance(await answered(server), NoAnswer)
        assert "does not subscribe" in await asyncio.wait_for(events.end, DEADLINE)
        assert (events.uris, server.alive) == ([], False)


async def test_a_server_that_ends_every_session_is_given_up() -> None:
    async def ends(_asked: Asked, say: Say) -> None:
        await say.answer(404)

    async with RawHttp(does=on_call(ends)) as there, reached(there) as (server, events):
        for _ in range(2):
            assert isinstance(await answered(server), NoAnswer)
        assert "ends every session" in await asyncio.wait_for(events.end, DEADLINE)
        assert isinstance(await answered(server), NotSent)
        assert len(there.heard("tools/call")) == len(there.heard("initialize")) == 2


async def test_a_server_that_never_says_that_it_was_greeted_is_called_all_the_same() -> None:
    async def mute(asked: Asked, say: Say) -> bool:
        if asked.method != "notifications/initialized":
            return False
        await say.gone()
        return True

    waits = Waits(greeting=0.1)
    async with RawHttp(does=mute) as there, reached(there, waits=waits) as (server, _):
        assert isinstance(await answered(server), Answered)


@pytest.mark.parametrize("name", ["a b", "a\x7f", "é"])
async def test_a_session_of_a_name_that_can_not_be_one_is_refused(name: str) -> None:
    async with RawHttp(session=name) as there:
        with pytest.raises(StartFailedError):
            await reach(pin_url("x", there.url, headers={}), Events(), era="2025-11-25")


# --- legacy: what is said outside of calls ------------------------------------------------------------------


def listening(does: Callable[[Asked, Say], Awaitable[object]]) -> Does:
    """What a server does with a stream that is opened for its news."""

    async def all_of_it(asked: Asked, say: Say) -> bool:
        if asked.verb != "GET":
            return False
        await does(asked, say)
        return True

    return all_of_it


async def test_a_legacy_server_is_heard_outside_of_calls_also_after_its_stream_has_ended() -> None:
    async def news(asked: Asked, say: Say) -> None:
        note = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
        await say.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        if asked.header("last-event-id") is None:
            await say.raw(
                b"id: n-1\nretry: 50\n" + events(note, b'{"jsonrpc":"2.0","id":5,"method":"roots/list"}')
            )
            say.end()
        else:
            await say.more(note)
            await say.gone()

    async with RawHttp(does=listening(news)) as there:
        async with reached(there) as (server, heard):
            await until(lambda: heard.changes == 2)
            await there.until(lambda: any("error" in one.message for one in there.asked))
            assert [one.header("last-event-id") for one in there.asked if one.verb == "GET"] == [None, "n-1"]
            assert isinstance(await answered(server), Answered)
        await there.until(lambda: there.open == 0)


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_a_stream_without_news_is_left_after_so_many_attempts(kind: str) -> None:
    async def nothing(_asked: Asked, say: Say) -> None:
        await say.answer(body=b"retry: 50\n\n", kind=kind)

    async with RawHttp(does=listening(nothing)) as there, reached(there) as (server, _):
        await until(lambda: not server._session._tasks)  # noqa: SLF001 -- to see that it gives up
        gets = [one for one in there.asked if one.verb == "GET"]
        assert len(gets) == (5 if kind == "text/event-stream" else 1)
        assert isinstance(await answered(server), Answered)


async def test_a_modern_server_is_not_listened_to() -> None:
    async with RawHttp(era="modern") as there, reached(there) as (server, _):
        assert isinstance(await answered(server), Answered)
        assert [one.verb for one in there.asked] == ["POST", "POST"]


async def test_what_is_logged_outside_of_calls_is_the_one_s_that_is_open_alone() -> None:
    outside: asyncio.Future[Say] = asyncio.get_running_loop().create_future()

    async def does(asked: Asked, say: Say) -> bool:
        if asked.verb == "GET":
            await say.stream()
            outside.set_result(say)
        elif asked.method == "tools/call":
            await say.stream()
        else:
            return False
        await say.gone()
        return True

    async with RawHttp(does=does) as there, reached(there) as (server, seen):
        heard: list[list[object]] = [[], []]
        for number, one in enumerate(heard):
            server.call("work", b"{}", lambda _: None, logged=Logged("info", one.append))
            await there.until(lambda due=number: len(there.heard("tools/call")) == due + 1)  # type: ignore[misc]  # a default is no parameter of a wait
            await (await outside).more(dump(logs(number)))
            await until(lambda: len(heard[0]) + len(heard[1]) + len(seen.logs) == number + 1)  # noqa: B023 -- at once
    assert heard == [[{"level": "info", "data": 0}], []]
    assert seen.logs == [{"level": "info", "data": 1}]
