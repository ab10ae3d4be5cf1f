"""Servers of the transport of MCP 2024-11-05: where they send to, what ends a stream, what was sent then."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import structs

from taskbound.adapters.upstream.mcp.errors import EraChangedError, StartFailedError
from taskbound.adapters.upstream.mcp.http.probe import Transport, pin_url, probe
from taskbound.adapters.upstream.mcp.http.server import HttpServer
from taskbound.adapters.upstream.mcp.http.waits import Waits
from taskbound.ports.upstream import Answered, NoAnswer, NotSent, UpstreamAnswer
from tests.adapters.upstream.reaching import DEADLINE, QUICK, Events, answered, reach, until
from tests.peers.rawhttp import Asked, RawHttp, Say, dump, result_of
from tests.peers.rawsse import HEAD, DoesOld, RawSse, Stream, event

pytestmark = pytest.mark.anyio
ERA = "2025-11-25"
NOWHERE = b"event: endpoint\ndata: %b\n\n"


async def reach_old(
    there: RawSse, events: Events, *, waits: Waits | None = None, era: str = ERA
) -> HttpServer:
    spec = structs.replace(pin_url("x", there.url, headers={"X-Kind": "a"}), transport="sse")
    return await reach(spec, events, era=era, waits=waits)


@contextlib.asynccontextmanager
async def reached(there: RawSse, *, waits: Waits | None = None) -> AsyncIterator[tuple[HttpServer, Events]]:
    events = Events()
    server = await reach_old(there, events, waits=waits)
    try:
        yield server, events
    finally:
        await server.close()


def on_call(does: Any) -> DoesOld:
    async def all_of_it(asked: Asked, say: Say, stream: Stream) -> bool:
        if asked.method != "tools/call":
            return False
        await does(asked, say, stream)
        return True

    return all_of_it


def started(server: HttpServer) -> asyncio.Future[UpstreamAnswer]:
    found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
    server.call("work", b"{}", found.set_result)
    return found


async def refusal(there: RawSse, *, waits: Waits | None = None) -> str:
    with pytest.raises(StartFailedError) as caught:
        await reach_old(there, Events(), waits=waits)
    await there.http.until(lambda: there.http.open == 0)  # nothing of it is left
    return caught.value.message


async def hangs(_asked: Asked, say: Say, _stream: Stream) -> None:
    await say.answer(202)


# --- where messages are sent to -----------------------------------------------------------------------------


async def test_messages_go_where_the_stream_says_with_the_declared_headers_and_the_agreed_revision() -> None:
    async with RawSse() as there, reached(there) as (server, _):
        assert isinstance(await answered(server), Answered)
        (call,) = there.heard("tools/call")
        assert (call.verb, call.target) == ("POST", "/messages?session=1")
        assert call.header("x-kind") == "a"
        assert call.header("mcp-protocol-version") == ERA
        assert call.header("mcp-session-id") is None
        assert [one.target for one in there.asked if one.verb == "GET"] == ["/sse"]


@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:{port}/m", "//127.0.0.1:{port}/m", "https://127.0.0.1/m", "/m#x"]
)
async def test_a_place_that_is_another_server_s_is_never_sent_to(place: str) -> None:
    async with RawHttp() as other:
        said = place.format(port=other.port).encode()

        async def elsewhere(_asked: Asked, say: Say) -> bool:
            await say.raw(HEAD + NOWHERE % said)
            await say.gone()
            return True

        async with RawSse(opens=elsewhere) as there:
            assert "place for messages that can't be" in await refusal(there)
            assert (other.taken, [one.verb for one in there.asked]) == (0, ["GET"])


async def test_a_second_place_ends_the_stream_and_what_is_open_is_unknown() -> None:
    async def moves(_asked: Asked, say: Say, stream: Stream) -> None:
        await say.answer(202)
        await stream.say.raw(event("endpoint", stream.place.encode()))

    async with RawSse(does=on_call(moves)) as there, reached(there) as (server, events):
        found = await answered(server)
        assert isinstance(found, NoAnswer)
        assert "second place" in found.reason
        assert events.changes == 1


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            HEAD + event("message", b'{"jsonrpc":"2.0","method":"notifications/x"}'),
            "before it has said where",
        ),
        (HEAD + b": nothing\n\n", "does not say in 0.3 s where"),
        (HEAD + b"event: endpoint\ndata: /m\rdata: /n\n\n", "carriage return"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            "no stream of events",
        ),
        (b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "sends elsewhere"),
        (b"HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n", "status 401: it wants credentials"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n", "encoded"),
    ],
)
async def test_a_stream_that_does_not_begin_as_it_should_is_refused_and_left(said: bytes, words: str) -> None:
    async def odd(_asked: Asked, say: Say) -> bool:
        await say.raw(said)
        await say.gone()
        return True

    async with RawSse(opens=odd) as there:
        assert words in await refusal(there, waits=Waits(opening=0.3))
        assert [one.verb for one in there.asked] == ["GET"]


async def test_a_stream_that_ends_with_its_first_event_is_none() -> None:
    async def ends(_asked: Asked, say: Say) -> bool:
        await say.answer(body=NOWHERE % b"/m", kind="text/event-stream")
        return True

    async with RawSse(opens=ends) as there:
        assert "closed its stream" in await refusal(there)
        assert there.http.taken == 1


# --- what was sent, and what became of it -------------------------------------------------------------------


async def test_two_calls_at_once_get_their_own_answers_in_whichever_order() -> None:
    held: list[Asked] = []

    async def both(asked: Asked, say: Say, stream: Stream) -> None:
        held.append(asked)
        await say.answer(202)
        if len(held) == 2:
            for one in reversed(held):
                await stream.message(result_of(one.message, str(one.message["id"])))

    async with RawSse(does=on_call(both)) as there, reached(there) as (server, _):
        found = await asyncio.wait_for(asyncio.gather(started(server), started(server)), DEADLINE)
        first, second = [json.loads(one.raw) for one in found if isinstance(one, Answered)]
        assert int(second["content"][0]["text"]) == int(first["content"][0]["text"]) + 1


async def test_an_answer_that_comes_before_its_call_was_sent_counts_for_nothing() -> None:
    async def foresees(asked: Asked, say: Say, stream: Stream) -> bool:
        if asked.method != "tools/list":
            return False
        await say.answer(202)
        await stream.message(result_of({"id": asked.message["id"] + 1}, "early"))
        await stream.message(there.answer(asked.message))
        return True

    async with RawSse(does=foresees) as there, reached(there) as (server, _):
        await server.list_tools()
        found = await answered(server)
        assert isinstance(found, Answered)
        assert b"early" not in found.raw
        assert len(there.heard("tools/call")) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "http-status"), (401, "http-status"), (307, "redirected"), (500, "http-status")],
)
async def test_a_message_that_is_not_taken_is_unknown_and_is_sent_once(status: int, code: str) -> None:
    async def refuses(_asked: Asked, say: Say, _stream: Stream) -> None:
        await say.answer(status, b"no", "text/plain", headers="Location: /messages?session=1\r\n")

    async with RawSse(does=on_call(refuses)) as there, reached(there) as (server, events):
        found = await answered(server)
        assert isinstance(found, NoAnswer)
        assert (found.code, len(there.heard("tools/call")), events.changes) == (code, 1, 0)


async def test_a_message_whose_taking_is_cut_off_is_unknown_and_is_sent_once() -> None:
    async def cut(_asked: Asked, say: Say, _stream: Stream) -> None:
        say.reset()

    async with RawSse(does=on_call(cut)) as there, reached(there) as (server, _):
        assert isinstance(await answered(server), NoAnswer)
        assert len(there.heard("tools/call")) == 1


async def test_an_answer_counts_also_when_the_server_never_says_that_it_took_the_message() -> None:
    async def busy(asked: Asked, say: Say, stream: Stream) -> None:
        await stream.message(result_of(asked.message))
        await say.gone()

    waits = Waits(greeting=0.2)
    async with RawSse(does=on_call(busy)) as there, reached(there, waits=waits) as (server, _):
        assert isinstance(await answered(server), Answered)
        await there.http.until(lambda: there.http.open == 1)  # not kept for as long as the server likes
        assert isinstance(await answered(server), Answered)


async def test_a_server_that_takes_no_connection_was_sent_nothing() -> None:
    async def closing(asked: Asked, say: Say, stream: Stream) -> bool:
        await say.answer(202, headers="Connection: close\r\n")
        if "id" in asked.message:
            await stream.message(there.answer(asked.message))
        say.end()
        return True

    async with RawSse(does=closing) as there, reached(there) as (server, events):
        assert isinstance(await answered(server), Answered)
        await there.http.until(lambda: there.http.open == 1)
        there.http.close()
        found = await answered(server)
        assert isinstance(found, NotSent)
        assert (found.code, events.changes) == ("not-reached", 0)


async def test_a_call_whose_stream_ends_while_it_is_connected_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def closing(asked: Asked, say: Say, stream: Stream) -> bool:
        await say.answer(202, headers="Connection: close\r\n")
        if "id" in asked.message:
            await stream.message(there.answer(asked.message))
        say.end()
        return True

    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def slowly(plain: socket.socket, address: Any) -> None:
        there.streams[-1].say.end()
        await until(lambda: events.changes == 1)
        await connect(plain, address)

    async with RawSse(does=closing) as there, reached(there) as (server, events):
        assert isinstance(await answered(server), Answered)
        monkeypatch.setattr(loop, "sock_connect", slowly)
        found = await answered(server)
        assert isinstance(found, NotSent)
        assert (found.code, len(there.heard("tools/call"))) == ("session-ended", 1)


async def test_a_call_that_is_cancelled_before_it_was_sent_is_not_sent() -> None:
    async with RawSse() as there, reached(there) as (server, _):
        found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        server.cancel(server.call("work", b"{}", found.set_result), "never mind")
        assert isinstance(await asyncio.wait_for(found, DEADLINE), NotSent)
        assert isinstance(await answered(server), Answered)
        assert len(there.heard("tools/call")) == 1
        assert there.heard("notifications/cancelled") == []


async def test_a_call_that_was_sent_is_cancelled_by_a_notification_and_may_still_be_answered() -> None:
    async def late(asked: Asked, say: Say, stream: Stream) -> bool:
        await say.answer(202)
        if asked.method == "notifications/cancelled":
            await stream.message(result_of({"id": asked.message["params"]["requestId"]}))
        elif "id" in asked.message and asked.method != "tools/call":
            await stream.message(there.answer(asked.message))
        return True

    async with RawSse(does=late) as there, reached(there) as (server, _):
        found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
        number = server.call("work", b"{}", found.set_result)
        await there.http.until(lambda: bool(there.heard("tools/call")))
        server.cancel(number, "enough")
        assert isinstance(await asyncio.wait_for(found, DEADLINE), Answered)


# --- streams that end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["end", "reset", "gone", "flood"])
async def test_a_stream_that_ends_makes_all_calls_unknown_and_one_session_is_opened_for_what_follows(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskbound.adapters.upstream.mcp.http.stream.MAX_UNASKED", 100_000)

    async def ends(asked: Asked, say: Say, stream: Stream) -> bool:
        calls = there.heard("tools/call")
        if asked.method != "tools/call" or len(calls) > 2:
            return False
        if how == "gone" and len(calls) == 2:
            await say.answer(404, b"no such session", "text/plain")
        else:
            await say.answer(202)
        if how == "flood" and len(calls) == 2:
            with contextlib.suppress(OSError):
                await stream.say.raw((b":" + b"x" * 1000 + b"\n") * 200)
        elif how != "gone" and len(calls) == 2:
            stream.say.end() if how == "end" else stream.say.reset()
        return True

    async with RawSse(does=ends) as there, reached(there) as (server, events):
        both = await asyncio.wait_for(asyncio.gather(started(server), started(server)), DEADLINE)
        assert [type(one) for one in both] == [NoAnswer, NoAnswer]
        assert (events.changes, server.alive) == (1, True)
        early = await answered(server)
        assert isinstance(early, NotSent)  # nobody has looked at what the server lists now
        assert early.code == "not-reached"
        assert len(await server.list_tools()) == 1
        assert isinstance(await answered(server), Answered)
        assert (len(there.heard("initialize")), len(there.heard("tools/call")), len(there.streams)) == (
            2,
            3,
            2,
        )
        assert there.heard("tools/call")[-1].target == "/messages?session=2"


async def test_a_server_that_ends_every_session_is_given_up() -> None:
    async def ends(asked: Asked, say: Say, stream: Stream) -> bool:
        if asked.method not in {"tools/call", "tools/list"}:
            return False
        await say.answer(202)
        stream.say.end()
        return True

    async with RawSse(does=ends) as there, reached(there) as (server, events):
        assert isinstance(await answered(server), NoAnswer)
        with pytest.raises(Exception, match="stream"):
            await server.list_tools()
        assert "ends every session" in await asyncio.wait_for(events.over, DEADLINE)
        assert not server.alive
        assert isinstance(await answered(server), NotSent)
        assert len(there.heard("initialize")) == 2


async def test_a_session_that_answered_may_end_again() -> None:
    async def ends(asked: Asked, say: Say, stream: Stream) -> bool:
        if asked.method != "tools/call":
            return False
        await say.answer(202)
        stream.say.end()
        return True

    async with RawSse(does=ends) as there, reached(there) as (server, events):
        for turn in range(1, 4):
            assert isinstance(await answered(server), NoAnswer)
            assert events.changes == turn
            assert len(await server.list_tools()) == 1
        assert server.alive


async def test_a_server_that_is_silent_while_it_owes_an_answer_is_left_and_one_that_owes_none_is_not() -> (
    None
):
    loop = asyncio.get_running_loop()
    async with RawSse() as there, reached(there, waits=Waits(silence=0.2)) as (server, events):
        assert isinstance(await answered(server), Answered)
        idle = loop.time() + 0.5
        await until(lambda: loop.time() >= idle)
        assert isinstance(await answered(server), Answered)
        assert events.changes == 0
        there.does = on_call(hangs)
        found = await answered(server)
        assert isinstance(found, NoAnswer)
        assert "silent for 0.2 s" in found.reason


async def test_garbage_that_is_surely_one_call_s_leaves_the_other_open_and_other_garbage_does_not() -> None:
    async def garbles(asked: Asked, say: Say, stream: Stream) -> None:
        await say.answer(202)
        if len(there.heard("tools/call")) == 2:
            number = dump(there.heard("tools/call")[0].message["id"])
            await stream.message(b'{"jsonrpc":"2.0","id":%b,"result":{"a":1,"a":2}}' % number)
            await stream.message(b'{"jsonrpc":"2.0","res' if odd else result_of(asked.message))

    for odd in (False, True):
        async with RawSse(does=on_call(garbles)) as there, reached(there) as (server, _):
            both = await asyncio.wait_for(asyncio.gather(started(server), started(server)), DEADLINE)
            assert [type(one) for one in both] == [NoAnswer, NoAnswer if odd else Answered]


# --- what the server asks -----------------------------------------------------------------------------------


async def test_a_ping_is_answered_all_else_refused_and_a_flood_of_questions_is_no_flood_of_connections() -> (
    None
):
    async def asks(asked: Asked, say: Say, stream: Stream) -> bool:
        if not asked.method:  # answers are held back, so that what is under way adds up
            if asked.message["id"] not in {"p", "s"}:
                await say.gone()
                return True
            return False
        if asked.method != "tools/call" or there.heard("tools/call")[1:]:
            return False
        await say.answer(202, headers="Connection: close\r\n")  # answers come by others than this one
        await stream.message(b'{"jsonrpc":"2.0","id":"p","method":"ping"}')
        await stream.message(b'{"jsonrpc":"2.0","id":"s","method":"sampling/createMessage","params":{}}')
        await there.http.until(lambda: len([one for one in there.asked if not one.method and one.body]) == 2)
        for number in range(500):
            await stream.message(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}' % number)
        await stream.message(result_of(asked.message))
        return True

    async with RawSse(does=asks) as there, reached(there) as (server, _):
        assert isinstance(await answered(server), Answered)
        said = {one.message["id"]: one.message for one in there.asked if not one.method and one.body}
        assert said["p"]["result"] == {}
        assert said["s"]["error"]["code"] == -32601
        assert isinstance(await answered(server), Answered)  # whatever was to be connected is by now
        assert there.http.taken <= 24


# --- which server, which revision ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_whichever_revision_with_a_handshake_the_server_agrees_to_is_pinned_and_spoken(
    version: str,
) -> None:
    async with RawSse(version=version) as there:
        found = await probe(pin_url("x", there.url, headers={}), patience=QUICK)
        assert (found.era, found.transport) == (version, "sse")
        server = await reach_old(there, Events(), era=version)
        assert isinstance(await answered(server), Answered)
        assert there.heard("tools/call")[0].header("mcp-protocol-version") == version
        await server.close()


@pytest.mark.parametrize("version", ["2026-07-28", "2024-10-07"])
async def test_any_other_revision_is_refused_by_its_name(version: str) -> None:
    async with RawSse(version=version) as there:
        with pytest.raises(StartFailedError, match=version):
            await probe(pin_url("x", there.url, headers={}), patience=QUICK)


async def test_a_server_that_agrees_to_another_revision_than_the_pinned_one_is_refused() -> None:
    async with RawSse(version="2024-11-05") as there:
        with pytest.raises(EraChangedError):
            await reach_old(there, Events())
        with pytest.raises(EraChangedError, match="2026-07-28"):
            await reach_old(there, Events(), era="2026-07-28")


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_the_probe_finds_the_older_transport_where_the_newer_one_is_refused(status: int) -> None:
    async with RawSse(refuses=status) as there:
        found = await probe(pin_url("x", there.url, headers={}), patience=QUICK)
        assert found.transport == "sse"
        await there.http.until(lambda: there.http.open == 0)


@pytest.mark.parametrize(
    ("status", "transport"), [(401, ""), (403, ""), (429, ""), (500, ""), (503, ""), (405, "http")]
)
async def test_nothing_else_makes_the_probe_ask_for_the_older_transport(
    status: int, transport: Transport
) -> None:
    async with RawSse(refuses=status) as there:
        with pytest.raises(StartFailedError, match=str(status)):
            await probe(pin_url("x", there.url, headers={}), patience=QUICK, transport=transport)
        assert "GET" not in {one.verb for one in there.asked}


async def test_a_person_who_says_the_older_transport_has_nothing_posted_to_the_url() -> None:
    async with RawSse() as there:
        found = await probe(pin_url("x", there.url, headers={}), patience=QUICK, transport="sse")
        assert found.transport == "sse"
        assert {one.target for one in there.asked if one.verb == "POST"} == {"/messages?session=1"}


async def test_a_server_that_speaks_neither_is_told_so_of_both() -> None:
    async def neither(_asked: Asked, say: Say) -> bool:
        await say.answer(404, b"no", "text/plain")
        return True

    async with RawHttp(does=neither) as there:
        with pytest.raises(
            StartFailedError, match=r"status 404; nor does it speak the older transport: .*404"
        ):
            await probe(pin_url("x", there.url, headers={}), patience=QUICK)
