from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from taskbound.sdk.verify import Opened
from taskbound.sdk.verify.errors import StatusUnknownError, TokenInactiveError
from taskbound.sdk.verify.keys import Said
from taskbound.wiring.guarding import introspection, published_keys
from tests.peers.ports import free_port
from tests.sdk.verify.world import Place
from tests.wiring.guarding import opened


class Issuer(ThreadingHTTPServer):
    """A server that answers what it is told to, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answer: bytes = b""
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def says(self, status: int, body: bytes, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Told", *headers, f"Content-Length: {len(body)}", "Connection: close"]
        self.answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Answering(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        self.answered("")

    def do_POST(self) -> None:
        self.answered(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def answered(self, form: str) -> None:
        self.server.asked.append((self.command, self.path, parse_qs(form)))
        self.wfile.write(self.server.answer)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def issuing() -> Iterator[Issuer]:
    with Issuer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as one:
        yield one


@pytest.fixture
def shown(tmp_path: Path) -> tuple[str, Said]:
    """A token, and what it says."""
    with closing(Place(tmp_path)) as place:
        token = place.token()
        found = place.opened(token)
    assert isinstance(found, Opened)
    return token, found.said


def active(**more: Any) -> bytes:
    plain: dict[str, Any] = {"active": True, "jti": "tok_1", "txn": "act_1"}
    return json.dumps(plain | more).encode()


def test_the_issuer_is_asked_with_the_token_and_what_proves_the_service(
    issuer: Issuer, shown: tuple[str, Said]
) -> None:
    issuer.says(200, active(scope="bank__pay"))
    proofs = iter(["first", "second"])
    asking = introspection(issuer.origin, lambda: {"client_assertion": next(proofs)})
    for _ in range(2):
        asking.require_active(*shown)
    assert issuer.asked == [
        ("POST", "/oauth/introspect", {"token": [shown[0]], "client_assertion": [each]})
        for each in ("first", "second")
    ]
    issuer.says(200, b'{"active":false}')
    with pytest.raises(TokenInactiveError):
        introspection(issuer.origin, dict).require_active(*shown)


def test_an_answer_that_is_none_lets_nothing_pass_and_is_followed_nowhere(
    issuer: Issuer, shown: tuple[str, Said]
) -> None:
    with issuing() as elsewhere:
        elsewhere.says(200, active())
        answers: list[tuple[Any, ...]] = [
            (302, b"", f"Location: {elsewhere.origin}/oauth/introspect"),
            (307, b"", f"Location: {elsewhere.origin}/oauth/introspect"),
            (201, active()),
            (401, active()),
            (500, active()),
            (200, active(more="x" * 300_000)),
            (200, b""),
        ]
        asking = introspection(issuer.origin, dict)
        for one in answers:
            issuer.says(*one)
            with pytest.raises(StatusUnknownError):
                asking.require_active(*shown)
        for raw in (
            b"",
            b"nothing of HTTP\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + active(),
        ):
            issuer.answer = raw
            with pytest.raises(StatusUnknownError):
                asking.require_active(*shown)
        assert elsewhere.asked == []


def test_keys_are_asked_for_at_the_issuers_own_place(issuer: Issuer) -> None:
    issuer.says(200, b'{"keys":[]}')
    assert published_keys(issuer.origin)() == b'{"keys":[]}'
    assert issuer.asked == [("GET", "/.well-known/jwks.json", {})]
    for status in (204, 301, 404, 503):
        issuer.says(status, b'{"keys":[]}', f"Location: {issuer.origin}/keys")
        with pytest.raises(OSError, match=str(status)):
            published_keys(issuer.origin)()


def test_an_issuer_that_is_away_says_nothing(shown: tuple[str, Said]) -> None:
    port = free_port()
    with pytest.raises(StatusUnknownError):
        introspection(f"http://127.0.0.1:{port}", dict).require_active(*shown)


def test_a_real_issuer_tells_a_stranger_nothing_and_an_agent_that_it_is_worth_nothing(
    tmp_path: Path, shown: tuple[str, Said]
) -> None:
    with opened(tmp_path) as world:
        _, token = world.permitted()
        stranger = introspection(world.origin, lambda: {"client_assertion": "x"})
        with pytest.raises(StatusUnknownError):
            stranger.require_active(token, shown[1])
        agent = introspection(world.origin, world.one.proven)
        with pytest.raises(TokenInactiveError):
            agent.require_active(token, shown[1])
