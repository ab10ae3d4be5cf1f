"""The guard's server with a real verifier, asked over connections of this test's own: rules of `server`."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.clock import Instant
from taskbound.core.token.shared import Beginning, Serving
from taskbound.sdk.verify import Endpoints
from taskbound.surfaces.http.connection import Bounds, HttpConnection
from taskbound.surfaces.proxied.proxy import Proxy
from taskbound.surfaces.proxied.reading import ProtectedServices
from taskbound.surfaces.proxied.server import GuardServer
from tests.sdk.verify.world import BODY, Place
from tests.sdk.verify.world import answer as kept
from tests.wiring.running import DEADLINE, until

pytestmark = pytest.mark.anyio
ENDPOINTS = Endpoints({"POST /pay": "bank__pay"}, public=["GET /livez"])


class Asked:
    """A guard that listens, and what it answers."""

    def __init__(self, server: GuardServer, port: int) -> None:
        self.server, self.port = server, port

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def told(self, *sent: bytes) -> tuple[int, dict[str, str], Any]:
        """The answer to these bytes, on a connection of its own."""
        reader, writer = await self.connected()
        writer.write(b"".join(sent))
        found = await answer(reader)
        writer.close()
        return found


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    """The next answer on a connection."""
    raw = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE)
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(first.split()[1]), headers, json.loads(body) if body else None


def request(
    token: str = "", body: bytes = BODY, *, line: str = "POST /pay", host: str = "pay.example"
) -> bytes:
    lines = [f"{line} HTTP/1.1", f"Host: {host}", *([f"Txn-Token: {token}"] if token else [])]
    if body:
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def listening(place: Place, proxy: Proxy = Proxy.NGINX) -> AsyncIterator[Asked]:
    before = ProtectedServices(proxy=proxy, hosts=frozenset({"pay.example"}), endpoints=ENDPOINTS)
    server = GuardServer(place.verifier, before, bounds=Bounds(body=1000, idle=30.0))
    heard = await asyncio.get_running_loop().create_server(lambda: HttpConnection(server), "127.0.0.1", 0)
    try:
        yield Asked(server, heard.sockets[0].getsockname()[1])
    finally:
        heard.close()
        await server.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with closing(Place(tmp_path)) as made:
        yield made


async def test_what_can_not_be_read_is_refused_with_a_challenge_and_nothing_more_is_read(
    place: Place,
) -> None:
    async with listening(place) as one:
        token = place.token()
        for sent, status, code in (
            (b"POST /pay HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-http"),
            (b"nothing of HTTP\r\n\r\n", 400, "bad-http"),
            (request(token, b"x" * 1001), 413, "body-large"),
            (
                b"POST /pay HTTP/1.1\r\nHost: pay.example\r\nTransfer-Encoding: chunked\r\n\r\n",
                411,
                "body-length",
            ),
        ):
            reader, writer = await one.connected()
            writer.write(sent)
            told = await answer(reader)
            assert (told[0], told[2]["code"]) == (status, code)
            assert told[1]["www-authenticate"].startswith(f'Taskbound error="{code}", missing="')
            assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
            writer.close()
    assert place.accepted(place.token()).said.txn == "act_1"


@pytest.mark.parametrize("proxy", Proxy)
async def test_a_yes_is_in_the_form_of_its_proxy_and_can_be_kept_by_nobody(
    place: Place, proxy: Proxy
) -> None:
    async with listening(place, proxy) as one:
        status, headers, body = await one.told(request(line="GET /livez", body=b""))
        assert (status, body) == (200, None)
        keeping = {
            name: headers.get(name) for name in ("x-accel-redirect", "x-accel-expires", "cache-control")
        }
        nginx = proxy is Proxy.NGINX  # which would hand `Cache-Control` to the client, as if of the service
        assert keeping == {
            "x-accel-redirect": "@permitted" if nginx else None,
            "x-accel-expires": "0" if nginx else None,
            "cache-control": None if nginx else "no-store",
        }


async def test_a_refusal_of_what_was_read_whole_leaves_the_connection_for_the_next_request(
    place: Place,
) -> None:
    async with listening(place) as one:
        reader, writer = await one.connected()
        asked = [
            (request("", host="other.example"), 403, "other-host"),
            (request(line="POST /other"), 403, "endpoint-unknown"),
            (request(), 401, "txn-token-absent"),
            (request(place.token(), BODY + b" "), 403, "other-content"),
            (request(place.token()), 200, ""),
            (request(place.token()), 409, "outcome-not-known"),
        ]
        for sent, status, code in asked:
            writer.write(sent)
            told = await answer(reader)
            assert (told[0], told[2]["code"] if told[2] else "") == (status, code)
            if status != 200:
                assert told[1]["cache-control"] == "no-store"
        writer.close()


async def test_what_another_process_answered_under_the_services_name_is_no_yes(place: Place) -> None:
    place.verifier.answer(place.accepted(place.token()), kept())

    async with listening(place) as one:
        status, headers, problem = await one.told(request(place.token()))
        assert (status, problem["code"]) == (409, "outcome-not-known")
        assert "x-accel-redirect" not in headers


def held(place: Place, begun: threading.Event, go: threading.Event) -> None:
    """Claims that begin nothing before they are told to go on."""
    begin = place.claims.begin

    def waiting(serving: Serving, now: Instant) -> Beginning:
        begun.set()
        assert go.wait(DEADLINE)
        return begin(serving, now)

    place.claims.begin = waiting  # type: ignore[method-assign]  # the seam of the test


async def test_whose_proxy_has_gone_by_then_is_not_begun(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    reading, go = threading.Event(), threading.Event()
    fetch = place.keys._fetch  # noqa: SLF001 - what is waited for before the claim

    def slow() -> bytes:
        reading.set()
        assert go.wait(DEADLINE)
        return fetch()

    place.keys._fetch = slow  # noqa: SLF001 - the same

    with caplog.at_level(logging.INFO):
        async with listening(place) as one:
            _, writer = await one.connected()
            writer.write(request(place.token()))
            await asyncio.to_thread(reading.wait, DEADLINE)
            writer.close()
            rooms = vars(one.server)["_connections"]
            await asyncio.to_thread(until, lambda: not rooms, "it is known that the proxy is gone")
            go.set()
            await asyncio.to_thread(until, lambda: "asker-left" in caplog.text, "it is in the log")
    assert "could not be looked at" not in caplog.text
    assert place.accepted(place.token()).said.txn == "act_1"  # nothing was begun


async def test_what_is_being_looked_at_is_looked_at_to_its_end_when_the_guard_ends(place: Place) -> None:
    begun, go = threading.Event(), threading.Event()
    begin = place.claims.begin
    held(place, begun, go)

    async with listening(place) as one:
        reader, writer = await one.connected()
        idle, other = await one.connected()
        writer.write(request(place.token()))
        await asyncio.to_thread(begun.wait, DEADLINE)
        closing = asyncio.create_task(one.server.close())
        for each in (reader, idle):  # each connection ends at once: no proxy is told yes
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(each.readexactly(1), DEADLINE)
        assert not closing.done()
        go.set()
        await asyncio.wait_for(closing, DEADLINE)
        writer.close()
        other.close()
    place.claims.begin = begin  # type: ignore[method-assign]  # the seam is put back
    assert place.why(place.token())[1] == "outcome-not-known"


async def test_nothing_is_kept_of_a_request_that_was_answered(place: Place) -> None:
    async with listening(place) as one:
        for _ in range(3):
            assert (await one.told(request()))[0] == 401
        gc.collect()
        tasks = [one for one in gc.get_objects() if isinstance(one, asyncio.Task)]
        assert not [one for one in tasks if one.done() and "GuardServer" in repr(one)]


async def test_what_nobody_foresaw_is_a_refusal_of_that_request_and_of_no_other(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    begin = place.claims.begin

    def broken(serving: Serving, now: Instant) -> Beginning:
        del serving, now
        raise ZeroDivisionError("a mistake")

    async with listening(place) as one:
        place.claims.begin = broken  # type: ignore[method-assign]  # the seam of the test
        status, headers, problem = await one.told(request(place.token()))
        assert (status, problem["code"]) == (503, "guard-failed")
        assert headers["retry-after"] == "1"
        assert "mistake" not in json.dumps(problem)
        place.claims.begin = begin  # type: ignore[method-assign]  # the seam is put back
        assert (await one.told(request(place.token())))[0] == 200
    assert "a mistake" in caplog.text
