from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from taskbound.wire.mcp.era import MODERN
from tests.surfaces.gateway.http.fronting import BEARER, Near, near

LIST = {"method": "tools/list"}


def plain(there: Near, **more: str) -> bytes:
    return there.modern(BEARER, LIST, **more)


Case = tuple[bytes, int, str]


def foreign(there: Near) -> list[Case]:
    """Who may not ask here, or not so."""
    port = there.port
    return [
        # Another name than the loopback's, as a page has it whose name was turned to this machine.
        (plain(there, Host=f"evil.example:{port}"), 403, "foreign-host"),
        (plain(there, Host="127.0.0.1"), 403, "foreign-host"),
        (plain(there, Host=f"127.0.0.1:{port + 1}"), 403, "foreign-host"),
        (plain(there, Host=f"localhost.evil.example:{port}"), 403, "foreign-host"),
        (plain(there, Origin=f"http://evil.example:{port}"), 403, "foreign-origin"),
        (plain(there, Origin=f"https://127.0.0.1:{port}"), 403, "foreign-origin"),
        (plain(there, Origin="null"), 403, "foreign-origin"),
        (plain(there, Authorization="Basic YTpi"), 400, "bearer-form"),
        (plain(there, Authorization=f"Bearer {BEARER} {BEARER}"), 400, "bearer-form"),
        (plain(there, Authorization="Bearer abc"), 401, "bad-bearer"),
        (there.raw(BEARER, b"{}", without=("Authorization",)), 401, "no-bearer"),
        (there.raw(BEARER, b"{}", path=f"/mcp?bearer={BEARER}"), 404, "unknown-path"),
        (there.raw(BEARER, b"{}", path=f"http://{there.host}/mcp"), 404, "unknown-path"),
        (there.raw(BEARER, b"{}", path="/mcp/../mcp"), 404, "unknown-path"),
        (there.raw(BEARER, b"", verb="GET", Accept="application/json"), 406, "not-acceptable"),
        (there.raw(BEARER, b"", verb="OPTIONS"), 405, "http-method"),
        (there.raw(BEARER, b"", verb="PUT"), 405, "http-method"),
        (plain(there, Content_Type="text/plain"), 415, "content-type"),
        (plain(there, Content_Type="application/json; charset=utf-16"), 415, "content-type"),
        (plain(there, Content_Encoding="gzip"), 415, "content-type"),
        (plain(there, Accept="text/html"), 406, "not-acceptable"),
        (plain(there, Accept="application/json;q=0"), 406, "not-acceptable"),
        (there.raw(BEARER, b"{}", length=1_048_577), 413, "too-large"),
        (there.raw(BEARER, b"{}", length=10**30), 400, "bad-http"),
    ]


def twofold(there: Near) -> list[Case]:
    """What two readers could take in two ways, or what is too much."""
    return [
        # What two readers could cut in two ways.
        (plain(there, Transfer_Encoding="chunked"), 411, "no-length"),
        (plain(there).replace(b"\r\nAccept", b"\r\nContent-Length: 3\r\nAccept"), 400, "bad-http"),
        (plain(there).replace(b"\r\nAccept", b"\nAccept", 1), 400, "bad-http"),
        (plain(there).replace(b"\r\nAccept", b"\r\n Accept", 1), 400, "bad-http"),
        (plain(there).replace(b"Accept: ", b"Accept: \r", 1), 400, "bad-http"),
        (plain(there).replace(b"Accept:", b"Accept :", 1), 400, "bad-http"),
        (plain(there).replace(b"HTTP/1.1", b"HTTP/1.0", 1), 400, "bad-http"),
        (plain(there).replace(b"POST /mcp HTTP/1.1", b"POST /mcp", 1), 400, "bad-http"),
        (plain(there).replace(b"\r\nAccept", b"\r\nHost: evil\r\nAccept"), 400, "bad-http"),
        (
            plain(there).replace(b"\r\nAccept", b"\r\nMcp-Method: tools/call\r\nAccept"),
            400,
            "bad-http",
        ),
        (
            plain(there).replace(b"\r\nAccept", f"\r\nAuthorization: Bearer {BEARER}\r\nAccept".encode()),
            400,
            "bad-http",
        ),
        (plain(there, X_Long="a" * 20_000), 431, "head-too-large"),
        (plain(there, **{f"X_{n}": "a" for n in range(70)}), 431, "head-too-large"),
    ]


def test_what_is_refused_by_its_head_is_refused_before_anything_else_is_asked(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there:
            cases = [*foreign(there), *twofold(there)]
            for raw, status, code in cases:
                found = await there.send(raw)
                assert (found.status, found.code) == (status, code), raw[:300]
                assert BEARER not in found.body.decode()
                assert found.headers["connection"] == "close", raw[:300]
            assert there.daemon.asks == []

    asyncio.run(story())


def test_its_own_names_and_origins_are_served(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there:
            for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
                origin = f"http://{name}:{there.port}"
                found = await there.send(plain(there, Host=f"{name}:{there.port}", Origin=origin))
                assert found.status == 200
            again = await there.send(plain(there, Content_Type='application/json; charset="UTF-8"'))
            assert again.status == 200

    asyncio.run(story())


def test_a_challenge_says_that_a_bearer_is_wanted_and_an_allowance_which_methods_are(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there:
            none = await there.send(there.raw(BEARER, b"{}", without=("Authorization",)))
            assert none.headers["www-authenticate"] == 'Bearer realm="taskbound"'
            wrong = await there.send(plain(there, Authorization="Bearer abc"))
            assert wrong.headers["www-authenticate"] == 'Bearer realm="taskbound", error="invalid_token"'
            put = await there.send(there.raw(BEARER, b"", verb="PUT"))
            assert put.headers["allow"] == "GET, POST, DELETE"

    asyncio.run(story())


def test_a_connection_goes_on_after_a_request_without_a_body(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there, await there.wire() as wire:
            for _ in range(3):
                wire.send(there.raw(BEARER, b"", verb="DELETE"))
                assert (await wire.answer()).code == "no-session"
                wire.send(plain(there))
                assert (await wire.answer()).status == 200

    asyncio.run(story())


def test_what_stands_behind_a_request_is_never_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there:
            hidden = there.calling(BEARER, "echo__echo", {"text": "hidden"})
            # With it in one piece nothing of either is run.
            found = await there.send(plain(there) + hidden)
            assert (found.status, found.code) == (400, "bad-http")
            assert there.daemon.asks == []
            # A length that lies: what is beyond it refuses the whole.
            body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
            found = await there.send(there.raw(BEARER, body + hidden, length=len(body)))
            assert (found.status, found.code) == (400, "bad-http")
            assert there.daemon.asks == []
            # After the request, while it is open: the connection ends, unheard.
            there.daemon.silent = True
            async with await there.wire() as wire:
                wire.send(plain(there))
                await there.until(lambda: bool(there.daemon.asks))
                wire.send(hidden)
                assert await wire.closed() == b""

    asyncio.run(story())


def test_who_sends_slowly_is_told_so_and_closed(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path, head_seconds=0.05, body_seconds=0.05) as there:
            for part in (b"POST /mcp HT", plain(there)[:-5]):
                async with await there.wire() as wire:
                    wire.send(part)
                    found = await wire.answer()
                    assert (found.status, found.code) == (408, "slow-client")
                    assert await wire.closed() == b""
            assert there.daemon.asks == []

    asyncio.run(story())


def test_who_says_nothing_at_all_is_closed(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path, idle=0.05) as there, await there.wire() as wire:
            assert await wire.closed() == b""

    asyncio.run(story())


def test_half_a_request_is_never_run(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there:
            whole = plain(there)
            for cut in (10, len(whole) - 200, len(whole) - 1):
                async with await there.wire() as wire:
                    wire.send(whole[:cut])
                    wire.writer.write_eof()
                    assert await wire.closed() == b""
            assert there.daemon.asks == []

    asyncio.run(story())


def test_so_many_connections_are_served_and_no_more_and_room_is_given_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path, connections=50, linger=0.05) as there:
            held = [await there.wire() for _ in range(50)]
            for _ in range(200):
                async with await there.wire() as one:
                    found = await one.answer()
                    assert (found.status, found.code) == (503, "front-full")
            held[0].send(plain(there))
            assert (await held[0].answer()).status == 200
            for one in held:
                one.writer.close()
            await there.until(lambda: not there.front._connections)  # noqa: SLF001 -- that room is free is the point
            assert (await there.send(plain(there))).status == 200

    asyncio.run(story())


def test_bodies_that_are_being_read_have_a_bound_together(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path, bodies=2_000) as there:
            async with await there.wire() as one:
                one.send(there.raw(BEARER, b"{", length=1_900, MCP_Protocol_Version=MODERN))
                await there.until(lambda: there.front._reserved == 1_900)  # noqa: SLF001 -- the bound is the point
                found = await there.send(plain(there))
                assert (found.status, found.code) == (503, "front-full")
            await there.until(lambda: there.front._reserved == 0)  # noqa: SLF001 -- the same
            assert (await there.send(plain(there))).status == 200
            assert there.front._reserved == 0  # noqa: SLF001 -- the same

    asyncio.run(story())


def test_the_second_piece_of_an_answer_does_not_wait_until_the_first_was_acknowledged(tmp_path: Path) -> None:
    async def story() -> None:
        async with near(tmp_path) as there, await there.wire() as wire:
            wire.send(plain(there))
            assert (await wire.answer()).status == 200
            (one,) = there.front._connections  # noqa: SLF001 -- how its socket is set is the point
            assert one._transport is not None  # noqa: SLF001 -- the same
            own = one._transport.get_extra_info("socket")  # noqa: SLF001 -- the same
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    asyncio.run(story())


@pytest.mark.parametrize("told", ["application/json", "*/*", "application/*;q=0.1", ""])
def test_who_takes_json_gets_json(tmp_path: Path, told: str) -> None:
    async def story() -> None:
        async with near(tmp_path) as there:
            found = await there.send(plain(there, Accept=told))
            assert found.headers["content-type"] == "application/json"

    asyncio.run(story())


@pytest.mark.parametrize(
    "told", ["text/event-stream", "text/event-stream, application/json", "application/json;q=0.5, text/*"]
)
def test_who_would_rather_have_a_stream_gets_one(tmp_path: Path, told: str) -> None:
    async def story() -> None:
        async with near(tmp_path) as there:
            found = await there.send(plain(there, Accept=told))
            assert found.headers["content-type"] == "text/event-stream"
            assert found.headers["x-accel-buffering"] == "no"
            assert [one["id"] for one in found.events] == [1]

    asyncio.run(story())
