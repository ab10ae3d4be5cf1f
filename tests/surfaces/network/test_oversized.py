"""Heads and bodies over their limits, and requests for actions that are not whole: one error, one record.

Issue's list *Bad input*; G8 (A141) at the network's edge. Each case stands beside its twin, which passes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskbound import __version__
from taskbound.sdk.client import AsyncClient, RefusedByDaemonError
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.surfaces.http.connection import _HIGH, Bounds, HttpConnection
from taskbound.surfaces.http.rate import NO_PROXIES, Rates
from taskbound.surfaces.network.problem import Link
from taskbound.surfaces.network.server import Cursors, Server, ServerDependencies, Tracing
from taskbound.wire.connection import Done, Open
from taskbound.wire.network import TellRefused
from tests.surfaces.api.test_operations import Station, station
from tests.surfaces.network.agents import PAY, Acting
from tests.surfaces.network.holding import HOST
from tests.surfaces.network.serving import Answer
from tests.token_world import ISSUER
from tests.wiring.running import until

if TYPE_CHECKING:
    from taskbound.surfaces.network.problem import Connect

pytestmark = pytest.mark.anyio

JSON = {"Content_Type": "application/json"}
FORM = {"Content_Type": "application/x-www-form-urlencoded"}
LONG = "1048577"
SECRET = "eyJzZWNyZXQ"
CASES: list[tuple[str, str, dict[str, str], bytes, int, str, str]] = [
    ("POST", "/v1/actions", {**JSON, "Content_Length": LONG}, b"", 413, "too-large", "action:ask"),
    ("POST", "/access/v1/evaluation", {"Content_Length": LONG}, b"", 413, "too-large", "action:evaluate"),
    (
        *("POST", "/access/v1/evaluations", {**JSON, "Transfer_Encoding": "chunked"}, b""),
        *(411, "no-length", "action:evaluate"),
    ),
    ("POST", "/v1/tasks", {**JSON, "Content_Length": LONG}, b"", 413, "too-large", "task:start"),
    ("POST", "/v1/tasks/tsk_1/end", {**JSON, "Content_Length": LONG}, b"", 413, "too-large", "task:end"),
    ("POST", "/oauth/token", {**FORM, "Content_Length": "65537"}, b"", 413, "too-large", "token:exchange"),
    ("POST", "/oauth/revoke", {**FORM, "Content_Length": LONG}, b"", 413, "too-large", "token:give-back"),
    ("GET", "/v1/status", {"Authorization": f"DPoP {SECRET * 2000}"}, b"", 431, "head-too-large", ""),
    ("POST", "/v1/actions", {"DPoP": SECRET * 2000}, b"", 431, "head-too-large", ""),
    (
        *("GET", "/v1/status", {f"X_{number}": SECRET for number in range(64)}, b""),
        *(431, "head-too-large", "connection:status"),
    ),
    ("POST", "/v1/actions", {**JSON, "Content_Length": "2"}, b'{}{"tool":1}', 400, "bad-http", "action:ask"),
    ("POST", "/v1/actions", {**JSON, "Accept": "text/html"}, b"", 406, "not-acceptable", "action:ask"),
    ("POST", "/v1/actions", {**JSON, "Transfer_Encoding": "chunked"}, b"", 411, "no-length", "action:ask"),
    (
        *("POST", f"/v1/actions?x={SECRET}", {"Content_Type": "text/plain", "Content_Length": "2"}, b""),
        *(415, "content-type", "action:ask"),
    ),
]
"""Method, target, headers and body; status, code and operation of the record."""
UNRECORDED: list[tuple[str, str, dict[str, str], bytes, int, str]] = [
    ("POST", "/v1/tasks", {**JSON, "Content_Length": "2"}, b'{}{"a":1}', 400, "bad-http"),
    ("POST", "/v1/tasks", {"Content_Type": "text/plain", "Content_Length": "2"}, b"", 415, "content-type"),
    ("POST", "/v1/actions", {**JSON, "Host": "evil.example"}, b"", 403, "foreign-host"),
    ("POST", "/v1/actions", {**JSON, "Content_Length": "x"}, b"", 400, "bad-http"),
    ("GET", "/v1/nothing", {}, b"", 404, "unknown-path"),
]
"""What asked for no action and is over no limit; of another site, which asks for nobody; and no head."""


def send(agent: Acting, case: tuple[Any, ...]) -> Answer:
    verb, target, headers, body = case[:4]
    return agent.one.there.send(agent.one.there.head(verb, target, **{"Host": HOST, **headers}) + body)


def test_a141_each_head_and_body_over_its_limit_gets_one_error_and_leaves_one_record(agent: Acting) -> None:
    for number, case in enumerate(CASES):
        twin = agent.ask()
        assert twin.status == 200
        agent.tell(twin.json["action"], "not-sent")
        assert agent.one.ask("GET", "/v1/status", agent.one.person()).status == 200
        answer = send(agent, case)
        assert (answer.status, answer.code) == case[4:6], (case, answer.body)
        until(lambda most=number: len(agent.records("request-refused")) > most, f"{case}")  # type: ignore[misc]  # bound in the loop
        (found,) = agent.records("request-refused")[number:]
        assert found == {
            "kind": "request-refused",
            "surface": "api",
            "code": case[5],
            "operation": case[6],
            "times": 1,
        }
    told = agent.one.there.ask("GET", "/metrics", Host=HOST).body.decode()
    assert "taskbound_api_untold_total 0\n" in told
    assert SECRET not in str(agent.one.world.records()) + agent.one.there.process.words


def test_what_asked_for_no_action_and_who_only_went_away_leave_none(agent: Acting) -> None:
    for case in UNRECORDED:
        answer = send(agent, case)
        assert (answer.status, answer.code) == case[4:6], (case, answer.body)
    there = agent.one.there
    for part in (b"", b'{"tool":'):
        with there.connected() as one:
            one.sendall(there.head("POST", "/v1/actions", Host=HOST, Content_Length="99", **JSON) + part)
            one.shutdown(1)
            assert not one.recv(1)
    send(agent, CASES[0])
    until(lambda: bool(agent.records("request-refused")), "what was over its limit is recorded")
    (found,) = agent.records("request-refused")
    assert found["code"] == "too-large"


@asynccontextmanager
async def serving(
    place: Station, *, connect: Connect | None = None, **bounds: float
) -> AsyncIterator[tuple[Server, int]]:
    """An API within this process, before the daemon of a test, or what is reached by `connect`."""

    async def reach(lost: Any) -> AsyncClient:
        hello = Open(role="api", version=__version__)
        client, _ = await AsyncClient.connect(place.path, hello, pushed=lambda _: None, lost=lost)
        return client

    async with serving_by(connect or reach, **bounds) as served:
        yield served


@asynccontextmanager
async def serving_by(connect: Connect, **bounds: float) -> AsyncIterator[tuple[Server, int]]:
    """An API within this process, before what is reached by `connect`."""
    given: dict[str, Any] = bounds
    loop = asyncio.get_running_loop()
    plugs = ServerDependencies(
        link=Link(connect),
        rates=Rates(burst=10_000, each_second=10_000.0, clock=loop.time),
        cursors=Cursors(b"k" * 32),
        bounds=Bounds(**given),
        proxies=NO_PROXIES,
        tracing=Tracing(None),
        origin=ISSUER,
        hosts=frozenset({HOST}),
    )
    served = Server(plugs)
    server = await loop.create_server(lambda: HttpConnection(served), "127.0.0.1", 0)
    try:
        yield served, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await served.close()


async def status(port: int, raw: bytes) -> int:
    """The status that these bytes are answered with; within seconds, whatever the daemon does."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(raw)
            return int((await reader.readline()).split()[1])
        finally:
            writer.close()


def head(verb: str, target: str, length: int) -> bytes:
    return (
        f"{verb} {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


async def test_a_body_that_never_arrives_is_an_action_that_was_asked_for_where_its_head_asks_for_one(
    tmp_path: Path,
) -> None:
    async with station(tmp_path, issuer=ISSUER) as place, serving(place, body_seconds=0.05) as (_, port):
        assert await status(port, head("POST", "/v1/tasks", 9) + b"{") == 408
        assert await status(port, head("POST", "/v1/actions", 9) + b"{") == 408
        async with asyncio.timeout(10):
            while not (found := place.world.events("request-refused")):
                await place.daemon.first(lambda: None)
        assert [(one["code"], one["operation"]) for one in found] == [("slow-client", "action:ask")]


async def test_no_answer_waits_for_a_daemon_that_hangs_and_what_it_does_not_take_is_counted(
    tmp_path: Path,
) -> None:
    async with station(tmp_path, issuer=ISSUER) as place, serving(place) as (served, port):
        go_on, busy, first = asyncio.Event(), asyncio.Event(), place.daemon.first
        told: list[Any] = []

        async def hanging(work: Any) -> Any:
            told.append(work)
            busy.set()
            await go_on.wait()
            return await first(work)

        place.daemon.first = hanging  # type: ignore[method-assign]  # its worker is busy
        for _ in range(20):
            assert await status(port, head("POST", "/v1/actions", 2_000_000)) == 413
        async with asyncio.timeout(10):
            await busy.wait()
        assert not place.world.events("request-refused")
        go_on.set()
        async with asyncio.timeout(10):
            while sum(one["times"] for one in place.world.events("request-refused")) < 20:
                await first(lambda: None)
        assert len(place.world.events("request-refused")) == len(told) < 20
        assert served._telling.untold == 0  # noqa: SLF001 -- what `/metrics` says


async def test_a_daemon_that_is_gone_takes_no_answer_away_and_what_it_missed_is_counted(
    tmp_path: Path,
) -> None:
    async with station(tmp_path, issuer=ISSUER) as place:
        path = place.path
    place.path = path  # where nobody listens any more
    async with serving(place) as (served, port):
        for number in range(1, 4):
            assert await status(port, head("POST", "/v1/actions", 2_000_000)) == 413
            async with asyncio.timeout(10):
                while served._telling.untold < number:  # noqa: SLF001 -- what `/metrics` says
                    await status(port, b"GET /livez HTTP/1.1\r\nHost: as.example\r\n\r\n")


async def test_strangers_share_one_allowance_and_what_is_beyond_it_is_counted_to_the_last_one(
    tmp_path: Path,
) -> None:
    async with station(tmp_path, issuer=ISSUER) as place:
        api = await place.client("api")
        for _ in range(100):
            await api.ask(TellRefused(code="too-large"), Done)
        await api.ask(TellRefused(code="head-too-large", operation="", times=900), Done)
        assert len(place.world.events("request-refused")) == 100
        place.daemon.refusals.tell(final=True)
        (dropped,) = place.world.events("refusals-dropped")
        assert (dropped["agent"], dropped["count"]) == ("", 900)
        assert dropped["codes"] == ["head-too-large=900"]


LIES = [
    TellRefused(code="no-such-code"),
    TellRefused(code="too-large\n"),
    TellRefused(code="too-large", operation="task:steal"),
    TellRefused(code="too-large", times=0),
    TellRefused(code="too-large", times=10**12),
]


async def test_a_process_that_listens_is_believed_about_codes_and_operations_of_ours_and_nobody_else_is(
    tmp_path: Path,
) -> None:
    async with station(tmp_path, issuer=ISSUER) as place:
        front = await place.client("front", origin=DEFAULT_GATEWAY)
        for role in (await place.client("api"), front):
            await role.ask(TellRefused(code="too-large"), Done)
            for lie in LIES:
                with pytest.raises(RefusedByDaemonError) as caught:
                    await role.ask(lie, Done)
                assert caught.value.fault.code == "malformed"
        for stranger in (await place.client("cli"), await place.client("gateway", agent="coder")):
            with pytest.raises(RefusedByDaemonError) as caught:
                await stranger.ask(TellRefused(code="too-large"), Done)
            assert caught.value.fault.code == "unproven"
        found = [(one["surface"], one["code"]) for one in place.world.events("request-refused")]
        assert found == [("api", "too-large"), ("front", "too-large")]


def test_the_twin_of_a_body_over_its_limit_is_one_that_just_keeps_it(agent: Acting) -> None:
    body = json.dumps(PAY).encode()
    assert agent.ask(body + b" " * (1_048_576 - len(body))).status == 200
    form = ("POST", "/oauth/token", {**FORM, "Content_Length": "65536"}, b"x" * 65_536)
    assert send(agent, form).status == 401  # it was read; it holds no valid proof
    assert not agent.records("request-refused")


async def test_next_request_is_not_read_before_the_last_answer_is(tmp_path: Path) -> None:
    async with station(tmp_path, issuer=ISSUER) as place, serving(place) as (served, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)  # nothing is read from it
        whole = len(served._openapi)  # noqa: SLF001 -- how long the answer is
        async with asyncio.timeout(20):
            while not served._connections:  # noqa: SLF001 -- what it has unread is the point
                await place.daemon.first(lambda: None)
            (one,) = served._connections  # noqa: SLF001 -- the same
            transport = one._transport  # noqa: SLF001 -- whether it reads
            assert transport is not None
            for number in range(1, 60):
                writer.write(f"GET /openapi.json HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                while served.metrics._answers.total() < number and transport.is_reading():  # noqa: SLF001 -- the same
                    await place.daemon.first(lambda: None)
                if not transport.is_reading():
                    break
        assert not transport.is_reading()
        assert not transport.is_closing()
        # The mark that stops reading, and one answer with its head.
        assert one.unread <= _HIGH + whole + 1_024
        writer.transport.abort()
