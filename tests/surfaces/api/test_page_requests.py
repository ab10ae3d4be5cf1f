from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.surfaces.api.page.request import BadRequestError, Request, RequestBuffer
from taskbound.surfaces.api.page.server import (
    Page,
    PageLimits,
    Pages,
    PageUnavailableError,
    bind_both,
    listen_at,
    own_network,
)
from taskbound.wire.connection import Done, Ping

if TYPE_CHECKING:
    from pathlib import Path


from tests.surfaces.api.visitor import Asked, Visitor, asked, raw

FOREIGN: dict[str, dict[str, str]] = {
    "no host": {"Host": ""},
    "a name that was made to point here": {"Host": "evil.example:PORT"},
    "the address": {"Host": "127.0.0.1:PORT"},
    "the other address": {"Host": "[::1]:PORT"},
    "no address": {"Host": "0.0.0.0:PORT"},
    "a dot behind": {"Host": "localhost.:PORT"},
    "another case": {"Host": "LOCALHOST:PORT"},
    "a name behind": {"Host": "localhost.evil.example:PORT"},
    "another port": {"Host": "localhost:1"},
    "no port": {"Host": "localhost"},
    "no origin": {"Origin": ""},
    "an origin of nobody": {"Origin": "null"},
    "another site": {"Origin": "https://evil.example"},
    "another port's page": {"Origin": "http://localhost:1"},
    "the address's page": {"Origin": "http://127.0.0.1:PORT"},
    "an encrypted page": {"Origin": "https://localhost:PORT"},
    "another site, as the browser says": {"Sec_Fetch_Site": "cross-site"},
    "another port, as the browser says": {"Sec_Fetch_Site": "same-site"},
    "a form's kind": {"Content_Type": "text/plain"},
    "a form": {"Content_Type": "application/x-www-form-urlencoded"},
    "JSON with more": {"Content_Type": "application/json; charset=utf-8"},
    "no kind": {"Content_Type": ""},
    "ahead of its time": {"Sec_Purpose": "prefetch"},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a077_a168_a230_a_request_of_another_page_or_name_is_refused_and_uses_nothing_up(
    name: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            wrong = {one.replace("_", "-"): text for one, text in FOREIGN[name].items()}
            changes = {one: text.replace("PORT", str(visitor.port)) for one, text in wrong.items()}
            status, said = await visitor.post("/begin", {"token": visitor.token}, **changes)
            assert (status, said["code"]) == (403, "page-foreign")
            await visitor.begin()

    asyncio.run(story())


def test_a191_looking_at_the_address_changes_nothing_and_shows_nothing_of_the_question(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            host = f"Host: localhost:{visitor.port}\r\n"
            for path in ("/", "/page.js", "/page.css"):
                status, fields, body = await raw(visitor.port, f"GET {path} HTTP/1.1\r\n{host}\r\n".encode())
                assert (status, len(body) > 100) == (200, True)
                assert place.action.encode() not in body
                assert fields["Cache-Control"] == "no-store"
            for line, status in (
                ("HEAD / HTTP/1.1", 400),
                ("PUT /sign HTTP/1.1", 400),
                ("OPTIONS /sign HTTP/1.1", 400),
                ("GET /sign HTTP/1.1", 404),
                ("GET /begin HTTP/1.1", 404),
                ("GET /favicon.ico HTTP/1.1", 404),
                ("GET /page.html HTTP/1.1", 404),
                ("GET /../secret HTTP/1.1", 400),
                ("GET http://localhost/ HTTP/1.1", 400),
                ("GET / HTTP/1.0", 400),
            ):
                assert (await raw(visitor.port, f"{line}\r\n{host}\r\n".encode()))[0] == status, line
            await visitor.begin()

    asyncio.run(story())


def test_a231_a235_every_answer_forbids_frames_scripts_of_others_and_being_kept(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            host = f"Host: localhost:{visitor.port}\r\n"
            asked_for = (
                f"GET / HTTP/1.1\r\n{host}\r\n".encode(),
                f"GET /none HTTP/1.1\r\n{host}\r\n".encode(),
                b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                b"nonsense\r\n\r\n",
                visitor.request("/begin", b"{}"),
            )
            for one in asked_for:
                _, fields, _ = await raw(visitor.port, one)
                policy = fields["Content-Security-Policy"]
                for part in (
                    "default-src 'none'",
                    "frame-ancestors 'none'",
                    "base-uri 'none'",
                    "form-action 'none'",
                ):
                    assert part in policy
                assert "unsafe" not in policy
                assert fields["X-Frame-Options"] == "DENY"
                assert fields["X-Content-Type-Options"] == "nosniff"
                assert fields["Referrer-Policy"] == "no-referrer"
                assert fields["Cross-Origin-Opener-Policy"] == "same-origin"
                assert fields["Cross-Origin-Resource-Policy"] == "same-origin"
                assert not {"Set-Cookie", "Access-Control-Allow-Origin", "Server"} & set(fields)

    asyncio.run(story())


@pytest.mark.parametrize("goal", ["iframe", "frame", "embed", "object", "script", "empty", "image"])
def test_a231_the_page_is_nothing_for_a_frame_and_its_parts_are_nothing_for_other_pages(
    goal: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            host = f"Host: localhost:{visitor.port}\r\n"
            page = f"GET / HTTP/1.1\r\n{host}Sec-Fetch-Dest: {goal}\r\n\r\n".encode()
            part = f"GET /page.js HTTP/1.1\r\n{host}Sec-Fetch-Site: cross-site\r\n\r\n".encode()
            for one in (page, part):
                status, _, body = await raw(visitor.port, one)
                assert (status, json.loads(body)["code"]) == (403, "page-foreign")

    asyncio.run(story())


MANY = b"".join(b"x%d: y\r\n" % one for one in range(64))
MALFORMED: dict[str, bytes] = {
    "chunks": b"POST /begin HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"POST /begin HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "two hosts": b"GET / HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n",
    "no length": b"POST /begin HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "a huge length": b"POST /begin HTTP/1.1\r\nHost: HOST\r\nContent-Length: 16385\r\n\r\n",
    "a length with a sign": b"POST /begin HTTP/1.1\r\nHost: HOST\r\nContent-Length: +2\r\n\r\n{}",
    "more than it says": b"POST /begin HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\n\r\n{}",
    "a body where none is": b"GET / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2\r\n\r\n{}",
    "a folded field": b"GET / HTTP/1.1\r\nHost: HOST\r\n x: y\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\nHost: HOST\n\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : HOST\r\n\r\n",
    "a zero byte": b"GET / HTTP/1.1\r\nHost: HOST\r\nX: \0\r\n\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\nHost: HOST\r\nUpgrade: h2c\r\n\r\n",
    "a promise to go on": b"GET / HTTP/1.1\r\nHost: HOST\r\nExpect: 100-continue\r\n\r\n",
    "many fields": b"GET / HTTP/1.1\r\nHost: HOST\r\n"
    + b"".join(b"x%d: y\r\n" % one for one in range(64))
    + b"\r\n",
    "a long head": b"GET / HTTP/1.1\r\nHost: HOST\r\nCookie: " + b"x" * 40_000,
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303") + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_request_of_a_browser_is_refused(name: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            data = MALFORMED[name].replace(b"HOST", f"localhost:{visitor.port}".encode())
            status, _, body = await raw(visitor.port, data)
            assert (status, json.loads(body)["code"]) == (400, "page-request")
            await visitor.begin()

    asyncio.run(story())


BODIES: dict[str, tuple[str, bytes]] = {
    "two tokens": ("duplicate-key", b'{"token":"TOKEN","token":"TOKEN"}'),
    "one member more": ("passkey-unreadable", b'{"token":"TOKEN","x":1}'),
    "a token that is a number": ("passkey-unreadable", b'{"token":1}'),
    "a list": ("not-an-object", b"[]"),
    "nothing": ("empty-document", b""),
    "no JSON": ("not-json", b"token=TOKEN"),
    "a tower": ("too-deep", b"[" * 4096),
}


@pytest.mark.parametrize("name", BODIES)
def test_what_the_page_brings_is_one_strict_object(name: str, tmp_path: Path) -> None:
    code, body = BODIES[name]

    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            data = visitor.request("/begin", body.replace(b"TOKEN", visitor.token.encode()))
            _, _, answer = await raw(visitor.port, data)
            assert json.loads(answer)["code"] == code
            await visitor.begin()

    asyncio.run(story())


def test_a_request_may_come_in_single_bytes(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            reader, writer = await asyncio.open_connection("127.0.0.1", visitor.port)
            with contextlib.closing(writer):
                for one in visitor.request("/begin", json.dumps({"token": visitor.token}).encode()):
                    writer.write(bytes([one]))
                    await writer.drain()
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")

    asyncio.run(story())


def limit(place: Asked, **more: Any) -> PageLimits:
    """Pages from now on have other limits."""
    limits = PageLimits(**more)
    place.place.daemon.pages = Pages(asyncio.get_running_loop(), limits)
    return limits


def test_who_is_slow_ends_and_holds_up_neither_the_page_nor_the_daemon(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place, contextlib.AsyncExitStack() as ends:
            limits = limit(place, patience=0.2)
            visitor = await place.visit()
            slow: list[asyncio.StreamReader] = []
            for _ in range(limits.at_once):
                reader, writer = await asyncio.open_connection("127.0.0.1", visitor.port)
                ends.callback(writer.close)
                writer.write(b"POST /begin HTTP/1.1\r\nHost: ")
                slow.append(reader)
            gateway = await place.place.gateway()
            await gateway.ask(Ping(), Done)
            assert (await raw(visitor.port, b"GET / HTTP/1.1\r\n\r\n"))[0] == 0  # there is room for no more
            for reader in slow:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            await visitor.begin()

    asyncio.run(story())


def test_a_flood_ends_the_page_and_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            limit(place, in_all=3)
            first, second = await place.visit(), await place.visit()
            await first.begin()
            statuses = [(await raw(first.port, b"nonsense\r\n\r\n"))[0] for _ in range(3)]
            assert statuses == [400, 400, 0]
            with pytest.raises(OSError, match=r".*"):
                await asyncio.open_connection("127.0.0.1", first.port)
            await second.begin()

    asyncio.run(story())


def test_a_page_is_over_after_its_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            over = asyncio.Event()
            page = Page(await desk_of(place), lambda _: over.set(), PageLimits(life=0.01))
            await page.open(asyncio.get_running_loop())
            await asyncio.wait_for(over.wait(), 5)
            with pytest.raises(OSError, match=r".*"):
                await asyncio.open_connection("127.0.0.1", page.port)

    asyncio.run(story())


async def desk_of(place: Asked) -> Any:
    """What a page of this question is for."""
    found: list[Any] = []

    class Taking(Pages):
        async def open(self, desk: Any, *, network: str = "") -> str:
            del network
            found.append(desk)
            return "http://localhost:1/#x"

    place.place.daemon.pages = Taking(asyncio.get_running_loop())
    await place.visit()
    return found[0]


def test_a_person_has_few_pages_and_the_oldest_gives_way(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            first, *others = [await place.visit() for _ in range(5)]
            with pytest.raises(OSError, match=r".*"):
                await asyncio.open_connection("127.0.0.1", first.port)
            for one in others:
                await one.begin()

    asyncio.run(story())


class Nobody:
    """A desk of somebody who never comes."""

    def __init__(self, person: str, namespace: str = "default") -> None:
        self.person, self.namespace = person, namespace

    async def begin(self) -> Any:
        raise PageUnavailableError("nobody comes")

    async def make(self, made: Any, origin: str) -> Any:
        raise PageUnavailableError(f"{made} {origin}")

    async def sign(self, choice: str, assertion: Any) -> Any:
        raise PageUnavailableError(f"{choice} {assertion}")


def test_who_has_the_same_name_in_another_namespace_takes_no_page_away() -> None:
    async def story() -> None:
        pages = Pages(asyncio.get_running_loop(), PageLimits(life=30))
        first = Visitor(await pages.open(Nobody("ann")))
        for _ in range(4):
            await pages.open(Nobody("ann", namespace="acme"))
        line = f"GET / HTTP/1.1\r\nHost: localhost:{first.port}\r\n\r\n"
        assert (await raw(first.port, line.encode()))[0] == 200
        for _ in range(4):
            await pages.open(Nobody("ann"))
        with pytest.raises(OSError, match=r".*"):
            await asyncio.open_connection("127.0.0.1", first.port)
        pages.close()

    asyncio.run(story())


def test_together_people_have_so_many_pages_and_one_that_is_over_makes_room() -> None:
    async def story() -> None:
        pages = Pages(asyncio.get_running_loop(), PageLimits(life=30))
        addresses = [await pages.open(Nobody(f"person{number}")) for number in range(16)]
        with pytest.raises(PageUnavailableError):
            await pages.open(Nobody("late"))
        pages.close()
        for one in addresses:
            with pytest.raises(OSError, match=r".*"):
                await asyncio.open_connection("127.0.0.1", Visitor(one).port)
        await pages.open(Nobody("late"))
        pages.close()

    asyncio.run(story())


def test_no_page_is_served_to_somebody_in_another_network() -> None:
    async def story() -> None:
        pages = Pages(asyncio.get_running_loop())
        with pytest.raises(PageUnavailableError):
            await pages.open(Nobody("ann"), network="net:[1]")
        for told in ("", own_network()):
            await pages.open(Nobody("ann"), network=told)
        pages.close()

    asyncio.run(story())


def test_nobody_else_has_the_port_of_a_page_while_it_is_served() -> None:
    async def story() -> None:
        pages = Pages(asyncio.get_running_loop())
        port = Visitor(await pages.open(Nobody("ann"))).port
        for family, address in (
            (socket.AF_INET, "127.0.0.1"),
            (socket.AF_INET, "0.0.0.0"),  # noqa: S104  # what somebody else would try
            (socket.AF_INET6, "::1"),
            (socket.AF_INET6, "::"),
        ):
            with socket.socket(family, socket.SOCK_STREAM) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                with pytest.raises(OSError, match=r"in use|Cannot assign"):
                    one.bind((address, port))
        pages.close()

    asyncio.run(story())


PIECES = [
    *(b"GET / HTTP/1.1", b"POST /sign HTTP/1.1", b"Host: localhost:1", b"Transfer-Encoding: chunked"),
    *(b"Content-Length: 2", b"Content-Length: 02", b"{}", b": ", b" ", b"\0", b"\n", b"\r\n", b"\r\n\r\n"),
]
HEADS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=12).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(data=HEADS, cut=st.integers(0, 100))
def test_a_request_is_read_alike_in_one_piece_and_in_two_and_nothing_else_is_raised(
    data: bytes, cut: int
) -> None:
    whole: list[Request | None] = []
    with contextlib.suppress(BadRequestError):
        whole.append(RequestBuffer().feed(data))
    parts: list[Request | None] = []
    with contextlib.suppress(BadRequestError):
        buffer = RequestBuffer()
        first = buffer.feed(data[:cut])
        parts.append(first if first is not None else buffer.feed(data[cut:]))
    if whole and whole[0] is not None:
        assert parts == whole
    if not whole and parts and parts[0] is not None:  # it was whole before what made it none came
        assert cut < len(data)


def test_a_page_has_both_addresses_of_localhost_or_neither() -> None:
    sockets = bind_both(1)
    names = [one.getsockname()[:2] for one in sockets]
    six = listen_at(socket.AF_INET6, 0, 1)  # a machine may have no such address
    assert {name for name, _ in names} == {"127.0.0.1"} | ({"::1"} if six else set())
    assert len({port for _, port in names}) == 1
    for one in (*sockets, *filter(None, [six])):
        one.close()
    opened = []

    def taken(family: socket.AddressFamily, port: int, backlog: int) -> socket.socket | None:
        if family is socket.AF_INET6:
            raise OSError(errno.EADDRINUSE, "somebody has the other address")
        found = listen_at(family, port, backlog)
        opened.append(found)
        return found

    with pytest.raises(PageUnavailableError):
        bind_both(1, listen=taken)
    assert len(opened) > 1
    assert all(one is not None and one.fileno() == -1 for one in opened)
