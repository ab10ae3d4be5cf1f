from __future__ import annotations

import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.wire.connection import Fault, Open, ShowProof
from taskbound.wire.mcp.message import MODERN
from taskbound.wire.network import TellRefused
from tests.surfaces.gateway.http.fronting import TOKEN, Near, near

pytestmark = pytest.mark.anyio

LIST = {"method": "tools/list"}


def plain(there: Near, **more: str) -> bytes:
    return there.modern(TOKEN, LIST, **more)


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
        (plain(there, Authorization="Basic YTpi"), 400, "token-form"),
        (plain(there, Authorization=f"Bearer {TOKEN} {TOKEN}"), 400, "token-form"),
        (plain(there, Authorization="DPoP"), 400, "token-form"),
        (plain(there, Authorization=f"Bearer {TOKEN}\xe9"), 400, "token-form"),
        (there.raw(TOKEN, b"{}", without=("Authorization",)), 401, "token-missing"),
        (there.raw(TOKEN, b"{}", path=f"/mcp/coder?access_token={TOKEN}"), 404, "unknown-path"),
        (there.raw(TOKEN, b"{}", path="/mcp"), 404, "no-agent-named"),
        (there.raw(TOKEN, b"{}", path="/mcp/coder/"), 404, "unknown-path"),
        (there.raw(TOKEN, b"{}", path="/mcp/Coder"), 404, "unknown-path"),
        (there.raw(TOKEN, b"{}", path="/mcp/c%6fder"), 404, "unknown-path"),
        (there.raw(TOKEN, b"{}", path=there.url), 404, "unknown-path"),
        (there.raw(TOKEN, b"{}", path="/mcp/other/../coder"), 404, "unknown-path"),
        (there.raw(TOKEN, b"", verb="GET", Accept="application/json"), 406, "not-acceptable"),
        (there.raw(TOKEN, b"", verb="OPTIONS"), 405, "http-method"),
        (there.raw(TOKEN, b"", verb="PUT"), 405, "http-method"),
        (plain(there, Content_Type="text/plain"), 415, "content-type"),
        (plain(there, Content_Type="application/json; charset=utf-16"), 415, "content-type"),
        (plain(there, Content_Encoding="gzip"), 415, "content-type"),
        (plain(there, Accept="text/html"), 406, "not-acceptable"),
        (plain(there, Accept="application/json;q=0"), 406, "not-acceptable"),
        (there.raw(TOKEN, b"{}", length=1_048_577), 413, "too-large"),
        (there.raw(TOKEN, b"{}", length=10**30), 400, "bad-http"),
    ]


def lengths(there: Near) -> list[bytes]:
    """A length that is said twice, also where both are equal (RFC 9112 §6.3), or is no number."""
    raw = plain(there)
    (line,) = (one for one in raw.split(b"\r\n") if one.lower().startswith(b"content-length:"))
    name, _, value = line.partition(b":")
    value = value.strip()
    forms = [
        line + b"\r\n" + line,
        line + b"\r\ncontent-LENGTH:" + value,
        line + b"\r\nX-More: a\r\n" + line,
        *(
            name + b": " + one
            for one in (value + b", " + value, value + b"," + value, value + b",", b"," + value)
        ),
        *(name + b": " + one for one in (b"," + value, b"+" + value, b"-1", b"0x2", b"", b"\xb2")),
    ]
    return [raw.replace(line, one) for one in forms]


def twofold(there: Near) -> list[Case]:
    """What two readers could take in two ways, or what is too much."""
    return [
        # What two readers could cut in two ways.
        (plain(there, Transfer_Encoding="chunked"), 411, "no-length"),
        (plain(there).replace(b"\r\nAccept", b"\r\nContent-Length: 3\r\nAccept"), 400, "bad-http"),
        *((raw, 400, "bad-http") for raw in lengths(there)),
        (plain(there).replace(b"\r\nAccept", b"\nAccept", 1), 400, "bad-http"),
        (plain(there).replace(b"\r\nAccept", b"\r\n Accept", 1), 400, "bad-http"),
        (plain(there).replace(b"Accept: ", b"Accept: \r", 1), 400, "bad-http"),
        (plain(there).replace(b"Accept:", b"Accept :", 1), 400, "bad-http"),
        (plain(there).replace(b"HTTP/1.1", b"HTTP/1.0", 1), 400, "bad-http"),
        (plain(there).replace(b"POST /mcp/coder HTTP/1.1", b"POST /mcp/coder", 1), 400, "bad-http"),
        (plain(there).replace(b"\r\nAccept", b"\r\nHost: evil\r\nAccept"), 400, "bad-http"),
        (
            plain(there).replace(b"\r\nAccept", b"\r\nMcp-Method: tools/call\r\nAccept"),
            400,
            "bad-http",
        ),
        (
            plain(there).replace(b"\r\nAccept", f"\r\nAuthorization: Bearer {TOKEN}\r\nAccept".encode()),
            400,
            "bad-http",
        ),
        (
            plain(there, DPoP="a.b.c").replace(b"\r\nAccept", b"\r\nDPoP: a.b.c\r\nAccept"),
            400,
            "bad-http",
        ),
        (plain(there, X_Long="a" * 20_000), 431, "head-too-large"),
        (plain(there, **{f"X_{n}": "a" for n in range(70)}), 431, "head-too-large"),
    ]


async def test_what_is_refused_by_its_head_is_refused_before_anything_else_is_asked(there: Near) -> None:
    cases = [*foreign(there), *twofold(there)]
    for raw, status, code in cases:
        found = await there.send(raw)
        assert (found.status, found.code) == (status, code), raw[:300]
        assert TOKEN not in found.body.decode()
        assert found.headers["connection"] == "close", raw[:300]
    told = [one for one in there.daemon.asks if not isinstance(one, TellRefused | Open)]
    assert told == []  # that something was too large is told, and nobody is asked about


async def test_its_own_names_and_origins_are_served(there: Near) -> None:
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        origin = f"http://{name}:{there.port}"
        found = await there.send(plain(there, Host=f"{name}:{there.port}", Origin=origin))
        assert found.status == 200
    again = await there.send(plain(there, Content_Type='application/json; charset="UTF-8"'))
    assert again.status == 200


def _said(answer: Fault, _: ShowProof) -> Fault:
    return answer


async def test_a_challenge_says_how_to_prove_oneself_and_an_allowance_which_methods_are(
    tmp_path: Path,
) -> None:
    where = f'resource_metadata="{DEFAULT_GATEWAY}/.well-known/oauth-protected-resource/mcp/coder"'
    both = f'Bearer scope="task", {where}{{0}}, DPoP algs="ES256", scope="task", {where}{{1}}'
    async with near(tmp_path) as there:
        none = await there.send(there.raw(TOKEN, b"{}", without=("Authorization",)))
        assert (none.status, none.headers["www-authenticate"]) == (401, both.format("", ""))
        for code, status, words in (
            ("unknown-token", 401, ("invalid_token", "invalid_token")),
            ("dpop-uri", 401, ("invalid_token", "invalid_dpop_proof")),
            ("replayed", 401, ("invalid_token", "invalid_dpop_proof")),
            ("other-token-kind", 403, ("insufficient_scope", "insufficient_scope")),
        ):
            fault = Fault(code=code, message="no", family="unproven")
            there.daemon.on[ShowProof] = partial(_said, fault)
            wrong = await there.send(plain(there))
            told = both.format(*(f', error="{one}"' for one in words))
            assert (wrong.status, wrong.code) == (status, code)
            assert wrong.headers["www-authenticate"] == told
        put = await there.send(there.raw(TOKEN, b"", verb="PUT"))
        assert put.headers["allow"] == "GET, POST, DELETE"


async def test_what_is_published_of_a_gateway_is_the_same_for_every_name_and_needs_no_token(
    there: Near,
) -> None:
    for name in ("coder", "nobody"):
        path = f"/.well-known/oauth-protected-resource/mcp/{name}"
        found = await there.send(there.raw("", b"", verb="GET", path=path, without=("Authorization",)))
        assert (found.status, found.headers["content-type"]) == (200, "application/json")
        assert found.json == {
            "resource": f"{DEFAULT_GATEWAY}/mcp/{name}",
            "authorization_servers": ["https://as.example"],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["task"],
            "dpop_signing_alg_values_supported": ["ES256"],
            "resource_name": "Taskbound",
        }
    for path in (
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
    ):
        assert (await there.send(there.raw(TOKEN, b"", verb="GET", path=path))).status == 404
    assert [type(one) for one in there.daemon.asks] == [Open]


async def test_a_connection_goes_on_after_a_request_without_a_body(there: Near) -> None:
    async with await there.wire() as wire:
        for _ in range(3):
            wire.send(there.raw(TOKEN, b"", verb="DELETE"))
            assert (await wire.answer()).code == "no-session"
            wire.send(plain(there))
            assert (await wire.answer()).status == 200


async def test_what_stands_behind_a_request_is_never_one(there: Near) -> None:
    hidden = there.calling(TOKEN, "echo__echo", {"text": "hidden"})
    # With it in one piece nothing of either is run.
    found = await there.send(plain(there) + hidden)
    assert (found.status, found.code) == (400, "bad-http")
    assert there.daemon.asks == []
    # A length that lies: what is beyond it refuses the whole.
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    found = await there.send(there.raw(TOKEN, body + hidden, length=len(body)))
    assert (found.status, found.code) == (400, "bad-http")
    assert there.daemon.asks == []
    # After the request, while it is open: the connection ends, unheard.
    there.daemon.silent = True
    async with await there.wire() as wire:
        wire.send(plain(there))
        await there.until(lambda: bool(there.daemon.asks))
        wire.send(hidden)
        assert await wire.closed() == b""


async def test_who_sends_slowly_is_told_so_and_closed(tmp_path: Path) -> None:
    async with near(tmp_path, head_seconds=0.05, body_seconds=0.05) as there:
        for part in (b"POST /mcp HT", plain(there)[:-5]):
            async with await there.wire() as wire:
                wire.send(part)
                found = await wire.answer()
                assert (found.status, found.code) == (408, "slow-client")
                assert await wire.closed() == b""
        assert there.daemon.asks == []


@pytest.mark.parametrize("bounds", [{"idle": 0.05}, {"first": 0.05}])
async def test_connection_without_a_first_request_is_closed_in_time(tmp_path: Path, bounds: Any) -> None:
    async with near(tmp_path, **bounds) as there, await there.wire() as wire:
        assert await wire.closed() == b""


async def test_half_a_request_is_never_run(there: Near) -> None:
    whole = plain(there)
    for cut in (10, len(whole) - 200, len(whole) - 1):
        async with await there.wire() as wire:
            wire.send(whole[:cut])
            wire.writer.write_eof()
            assert await wire.closed() == b""
    assert there.daemon.asks == []


async def test_idle_connections_make_room_for_newcomers_and_those_with_a_proven_task_stay(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, connections=50, each=20) as there, await there.wire() as proven:
        proven.send(plain(there))
        assert (await proven.answer()).status == 200
        idle = [await there.wire() for _ in range(200)]
        for one in idle[:100]:
            assert await one.closed() == b""
        assert (await there.send(plain(there))).status == 200
        proven.send(plain(there))
        assert (await proven.answer()).status == 200
        for one in idle:
            one.writer.close()
        await there.until(lambda: len(there.front._connections) == 1)  # noqa: SLF001 -- that room is free is the point


async def test_newcomer_is_refused_where_its_network_has_its_part_and_waits_for_answers(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, each=2, linger=0.05) as there:
        there.daemon.silent = True
        async with await there.wire() as first, await there.wire() as second:
            for one in (first, second):
                one.send(plain(there))
            await there.until(lambda: all(one.is_answering for one in there.front._connections))  # noqa: SLF001 -- the same
            async with await there.wire() as newcomer:
                found = await newcomer.answer()
                assert (found.status, found.code) == (503, "front-full")


async def test_bodies_that_are_being_read_have_a_bound_together(tmp_path: Path) -> None:
    async with near(tmp_path, bodies=2_000) as there:
        async with await there.wire() as one:
            one.send(plain(there))
            assert (await one.answer()).status == 200  # it is proven, and makes no room
            one.send(there.raw(TOKEN, b"{", length=1_900, MCP_Protocol_Version=MODERN))
            await there.until(lambda: there.front._reserved == 1_900)  # noqa: SLF001 -- the bound is the point
            found = await there.send(plain(there))
            assert (found.status, found.code) == (503, "front-full")
        await there.until(lambda: there.front._reserved == 0)  # noqa: SLF001 -- the same
        assert (await there.send(plain(there))).status == 200
        assert there.front._reserved == 0  # noqa: SLF001 -- the same


async def test_the_second_piece_of_an_answer_does_not_wait_until_the_first_was_acknowledged(
    there: Near,
) -> None:
    async with await there.wire() as wire:
        wire.send(plain(there))
        assert (await wire.answer()).status == 200
        (one,) = there.front._connections  # noqa: SLF001 -- how its socket is set is the point
        assert one._transport is not None  # noqa: SLF001 -- the same
        own = one._transport.get_extra_info("socket")  # noqa: SLF001 -- the same
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@pytest.mark.parametrize("told", ["application/json", "*/*", "application/*;q=0.1", ""])
async def test_who_takes_json_gets_json(there: Near, told: str) -> None:
    found = await there.send(plain(there, Accept=told))
    assert found.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "told", ["text/event-stream", "text/event-stream, application/json", "application/json;q=0.5, text/*"]
)
async def test_who_would_rather_have_a_stream_gets_one(there: Near, told: str) -> None:
    found = await there.send(plain(there, Accept=told))
    assert found.headers["content-type"] == "text/event-stream"
    assert found.headers["x-accel-buffering"] == "no"
    assert [one["id"] for one in found.events] == [1]
