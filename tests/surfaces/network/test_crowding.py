"""An address that connects or asks without end, and others and its proven clients, before a real API."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.surfaces.network.holding import HOST, Holding, held
from tests.surfaces.network.serving import PATIENCE, Answer, Api, read

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
    tmp_path: Path,
) -> None:
    def work(one: Holding) -> None:
        with ExitStack() as idle:
            for _ in range(ALL):
                idle.enter_context(from_address(one.there, "127.0.0.1"))
            assert livez(one.there, "127.0.0.2").status == 200
            assert one.ask("GET", "/v1/status", one.person()).status == 200

    held(tmp_path, work)


def test_bodies_that_never_arrive_keep_no_other_body_out(tmp_path: Path) -> None:
    def work(one: Holding) -> None:
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

    held(tmp_path, work)


@pytest.mark.parametrize("flood", FLOODS)
def test_address_that_floods_without_proof_takes_nothing_from_a_proven_client_there(
    tmp_path: Path, flood: str
) -> None:
    def work(one: Holding) -> None:
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

    held(tmp_path, work, "--burst", "5", "--rate", "50")


def test_requests_through_a_declared_proxy_count_for_the_forwarded_address(tmp_path: Path) -> None:
    def work(one: Holding) -> None:
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

    held(tmp_path, work, "--burst", "2", "--rate", "1", "--proxies", "127.0.0.1 10.0.0.0/8")
