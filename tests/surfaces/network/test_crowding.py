"""An address that connects or asks without end, and others and its proven clients, before a real API."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.token import TokenKeyState
from taskbound.flows.identity import register_person
from taskbound.surfaces.network.oauth import identity_of
from taskbound.wire.authorization import Published
from taskbound.wire.connection import Ping
from tests.surfaces.network.edge import parts
from tests.surfaces.network.holding import HOST, Holding, held
from tests.surfaces.network.serving import PATIENCE, Answer, Api, read
from tests.surfaces.network.test_oversized import serving_by
from tests.tokens import es256
from tests.world import ANN

pytestmark = pytest.mark.anyio

WAITING = 70
"""More than the requests of one network that wait for their turn (`http.rate`)."""
ALL = 520
"""More connections than the API has for all clients."""
FLOODS = {
    "no proof": {},
    "made-up tokens": {"Authorization": "DPoP e30.e30.AAAA", "DPoP": "e30.e30.AAAA"},
}


def from_address(there: Api, address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", there.port), PATIENCE, source_address=(address, 0))


def livez(there: Api, address: str) -> Answer:
    with from_address(there, address) as one:
        one.sendall(there.head("GET", "/livez", Host=HOST))
        return read(one)


def test_idle_connections_of_one_address_keep_no_other_address_and_no_proven_client_out(
    one: Holding,
) -> None:
    with ExitStack() as idle:
        for _ in range(ALL):
            idle.enter_context(from_address(one.there, "127.0.0.1"))
        assert livez(one.there, "127.0.0.2").status == 200
        assert one.ask("GET", "/v1/status", one.person()).status == 200


def test_bodies_that_never_arrive_keep_no_other_body_out(one: Holding) -> None:
    head = one.there.head(
        "POST", "/v1/tasks", Host=HOST, Content_Type="application/json", Content_Length="1048576"
    )
    with ExitStack() as held_back:
        for _ in range(40):
            line = held_back.enter_context(from_address(one.there, "127.0.0.1"))
            line.sendall(head)
        answer = one.say("GET", "/livez")
        assert answer.status == 200  # what was sent before has been read
        body = b" " * 1_000_000 + b"{}"
        assert one.there.ask("POST", "/v1/tasks", body, Host=HOST).code == "no-proof"
        assert one.ask("POST", "/v1/tasks", one.person(), body).status == 400


@pytest.mark.parametrize("flood", FLOODS)
def test_address_that_floods_without_proof_takes_nothing_from_a_proven_client_there(
    tmp_path: Path, flood: str
) -> None:
    with held(tmp_path, "--burst", "5", "--rate", "50") as one:
        over, refused = threading.Event(), threading.Event()

        def ask_without_end() -> None:
            while not over.is_set():
                answer = one.say("GET", "/v1/status", **FLOODS[flood])
                if answer.status == 429 or flood != "no proof":
                    refused.set()

        threads = [threading.Thread(target=ask_without_end) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            assert refused.wait(PATIENCE)
            token = one.person()
            assert [one.ask("GET", "/v1/status", token).status for _ in range(20)] == [200] * 20
        finally:
            over.set()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("made_up", ["no token", "another issuer", "unknown key"])
def test_made_up_tokens_keep_no_new_token_of_their_address_waiting(tmp_path: Path, made_up: str) -> None:
    with held(tmp_path, "--burst", "1", "--rate", "1") as one:
        token = one.person()
        key = one.tokens.kid(TokenKeyState.CURRENT)
        header, claims = parts(token)
        shown = {
            "no token": "e30.e30.AAAA",
            "another issuer": es256(key, seed=22).token(
                header["typ"], **claims | {"iss": "https://other.example"}
            ),
            "unknown key": es256("stranger", seed=22).token(header["typ"], **claims),
        }[made_up]
        with ExitStack() as flood:
            for _ in range(WAITING):
                line = flood.enter_context(from_address(one.there, "127.0.0.1"))
                line.sendall(one.there.head("GET", "/v1/status", Host=HOST, Authorization=f"DPoP {shown}"))
            assert one.ask("GET", "/v1/status", token).status == 200


def test_two_tokens_of_one_person_are_one_identity(one: Holding) -> None:
    register_person(one.world.adapters, "default", "eve", uid=os.geteuid() + 1001, actor=ANN)
    first, second, other = one.person(), one.person(), one.person(person="eve")
    assert first != second
    assert identity_of(f"DPoP {first}") == identity_of(f"Bearer {second}") != ""
    assert identity_of(f"DPoP {other}") != identity_of(f"DPoP {first}")


def test_bad_heads_count_for_their_address_and_livez_does_not(tmp_path: Path) -> None:
    with held(tmp_path, "--burst", "2", "--rate", "1") as one:
        bad = one.there.head("GET", "/v1/nothing", Host=HOST)
        assert [one.there.send(bad).status for _ in range(3)] == [404, 404, 429]
        assert one.say("GET", "/v1/status").status == 429
        assert [livez(one.there, "127.0.0.1").status for _ in range(5)] == [200] * 5


class Slow:
    """A daemon's connection that answers no `Ping`, and at once what anybody may read."""

    def __init__(self, events: asyncio.Queue[bytes]) -> None:
        self.events, self.over = events, asyncio.Event()

    async def ask_any(self, ask: Any, **_: Any) -> Published:
        if isinstance(ask, Ping):
            self.events.put_nowait(b"")
            await self.over.wait()
        return Published(text='{"keys":[]}')

    def close(self) -> None:
        """Nothing is open."""


async def test_slow_answers_to_three_addresses_leave_room_for_a_fourth() -> None:
    events: asyncio.Queue[bytes] = asyncio.Queue()
    slow = Slow(events)

    async def reach(_: Any) -> Any:
        return slow

    async def ask(port: int, address: str, path: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        events.put_nowait(answer)
        writer.close()
        return answer

    async with asyncio.timeout(20), serving_by(reach) as (_, port):
        flood = [
            asyncio.create_task(ask(port, f"127.0.0.{number % 3 + 1}", "/readyz")) for number in range(300)
        ]
        refused = [one for one in [await events.get() for _ in flood] if one]
        assert all(one.startswith(b"HTTP/1.1 503 ") for one in refused)
        assert all(b"\r\nRetry-After: 1\r\n" in one for one in refused)
        answer = await ask(port, "127.0.0.4", "/.well-known/jwks.json")
        assert answer.startswith(b"HTTP/1.1 200 ")
        slow.over.set()
        await asyncio.gather(*flood)


def test_requests_through_a_declared_proxy_count_for_the_forwarded_address(tmp_path: Path) -> None:
    with held(tmp_path, "--burst", "2", "--rate", "1", "--proxies", "127.0.0.1 10.0.0.0/8") as one:

        def asked(address: str, forwarded: str, count: int) -> list[int]:
            head = one.there.head("GET", "/v1/status", Host=HOST, X_Forwarded_For=forwarded)
            found = []
            for _ in range(count):
                with from_address(one.there, address) as line:
                    line.sendall(head)
                    found.append(read(line).status)
            return found

        assert asked("127.0.0.1", "127.0.0.3, 192.0.2.1", 3) == [401, 401, 429]
        assert asked("127.0.0.1", "192.0.2.2", 1) == [401]
        assert asked("127.0.0.2", "192.0.2.3", 2) == [401, 401]
        assert asked("127.0.0.2", "192.0.2.4", 1) == [429]  # no proxy: what it writes is not read
        near, far = (
            one.say("GET", "/metrics", **told).status for told in ({}, {"X_Forwarded_For": "192.0.2.5"})
        )
        assert (near, far) == (200, 401)
