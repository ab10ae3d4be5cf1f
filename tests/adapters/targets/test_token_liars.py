"""Authorization servers and a GitHub that lie, flood, dawdle, send elsewhere and echo."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from taskbound.adapters.targets.github import GithubTarget
from taskbound.core.clock import Instant, seconds
from taskbound.core.target import GithubAccess, GithubKind, GithubPlace, OauthKind, OauthPlace
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    Minted,
    MintOrder,
    Target,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from tests.peers.answering import Answering, Asked, Said, answering
from tests.peers.authorizing import SECRET, speaking, where_at
from tests.peers.github import APP, INSTALLATION, app_key, instant
from tests.peers.rawhttp import Authority

PATIENCE = 10.0
SHORT = 1.0
"""Seconds that a call has which meets somebody slow."""
LATEST = Instant(seconds(2**31))
RESOURCE = "https://api.example/orders"
TOKEN = "ghs_an-access-token-of-somebody"
ORDER = MintOrder(name="tb_unused", ends=LATEST)
KEPT = json.dumps({"ends": LATEST, "token": TOKEN})
REFUSES = (TargetRefusedError, TargetUnavailableError)
OAUTH_KIND = OauthKind(resource=RESOURCE)
GITHUB_KIND = GithubKind(repositories=("orders",), permissions={"contents": "read"})


class System:
    """One of the two, as a target and as answers that it takes for true."""

    def __init__(self, name: str, key: str) -> None:
        self.name, self.key = name, key

    def target(self, there: Answering) -> Any:
        if self.name == "oauth":
            return speaking(OauthPlace(**where_at(there.base)))
        place = GithubPlace(app=APP, installation=INSTALLATION, address=f"{there.base}/")
        return GithubTarget(place, GithubAccess(key=self.key))

    @property
    def kind(self) -> Any:
        return OAUTH_KIND if self.name == "oauth" else GITHUB_KIND

    def given(self, token: str = TOKEN) -> Said:
        if self.name == "oauth":
            return Said(200, {"access_token": token, "token_type": "Bearer", "expires_in": 300})
        body = {
            "token": token,
            "expires_at": instant(3_600),
            "permissions": {"contents": "read", "metadata": "read"},
            "repository_selection": "selected",
            "repositories": [{"name": "orders"}],
        }
        return Said(201, body)

    def mints(self, asked: Asked) -> bool:
        return asked.path in {"/token", f"/app/installations/{INSTALLATION}/access_tokens"}

    def mint(self, there: Answering, patience: float = PATIENCE) -> Minted:
        made: Minted = self.target(there).mint(ORDER, self.kind, patience=patience)
        return made

    def end(self, there: Answering, patience: float = PATIENCE) -> Gone | ExpiresAt:
        done: Gone | ExpiresAt = self.target(there).end_kept(KEPT, ends=LATEST, patience=patience)
        return done


@pytest.fixture(scope="module", params=["oauth", "github"])
def system(request: pytest.FixtureRequest) -> System:
    return System(request.param, app_key() if request.param == "github" else "")


CALLS: dict[str, Callable[[System, Answering, float], object]] = {
    "mint": System.mint,
    "end": System.end,
}


def endless(over: Event) -> Generator[bytes]:
    yield b'{"message":"'
    while not over.is_set():
        yield b"x" * 65_536


def dripping(over: Event) -> Generator[bytes]:
    yield b"{"
    while not over.wait(0.05):
        yield b" "


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("body", [endless, dripping])
def test_an_answer_without_an_end_is_cut_by_its_bound_or_by_the_call_s_patience(
    system: System, call: str, body: Callable[[Event], Generator[bytes]]
) -> None:
    over = Event()
    with answering(lambda _: Said(200 if system.name == "oauth" else 201, body(over))) as there:
        before = time.monotonic()
        with pytest.raises(REFUSES):
            CALLS[call](system, there, SHORT)
        assert time.monotonic() - before < SHORT + 20  # it would go on for ever
        over.set()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", CALLS)
def test_nobody_is_followed_elsewhere(system: System, call: str, status: int) -> None:
    with answering(lambda _: system.given()) as other:
        elsewhere = answering(lambda asked: Said(status, {}, {"Location": f"{other.base}{asked.path}"}))
        with elsewhere as there, pytest.raises(REFUSES):
            CALLS[call](system, there, PATIENCE)
        assert other.asked == []


def sent_by(asked: Asked) -> str:
    """What an asker proved itself with."""
    return asked.headers["authorization"].partition(" ")[2]


@pytest.mark.parametrize("wraps", ["{}", "x{}", "{}x"])
def test_what_proves_the_asker_comes_back_and_is_handed_to_nobody(system: System, wraps: str) -> None:
    def echo(asked: Asked) -> Said:
        return system.given(wraps.format(sent_by(asked))) if system.mints(asked) else Said(200)

    with answering(echo) as there, pytest.raises(REFUSES):
        system.mint(there)


def test_a_client_s_secret_is_no_token() -> None:
    system = System("oauth", "")
    with answering(lambda _: system.given(SECRET)) as there, pytest.raises(REFUSES) as caught:
        system.mint(there)
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize("status", [200, 201, 302, 400, 401, 403, 422, 500])
def test_no_error_says_a_word_of_an_answer(system: System, status: int) -> None:
    said: list[str] = []

    def echo(asked: Asked) -> Said:
        said.append(sent_by(asked))
        words = f"planted {sent_by(asked)} {TOKEN}"
        body = {"error": words, "error_description": words, "message": words, "token_type": words}
        return Said(status, body, {"WWW-Authenticate": words})

    with answering(echo) as there:
        for call in CALLS.values():
            with suppress(*REFUSES):
                call(system, there, PATIENCE)
                continue
        with pytest.raises(REFUSES) as caught:
            system.mint(there)
    text = f"{caught.value!r} {caught.value} {getattr(caught.value, 'advice', '')}"
    assert not [one for one in (*said, TOKEN, "planted", SECRET) if one in text]


def test_a_server_that_calls_what_it_takes_over_fails_the_preflight() -> None:
    system = System("oauth", "")
    answers = {"/token": system.given(), "/token/introspection": Said(200, {"active": False})}
    with answering(lambda asked: answers.get(asked.path, Said(200))) as there:
        made = system.mint(there)
        target: Target[OauthKind] = system.target(there)
        with pytest.raises(TargetRefusedError, match="does not know the token"):
            target.use(made, patience=PATIENCE)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'"token"', b"{", b'{"token":1}', b'{"access_token":1}', b"\xff\xfe", b"[" * 9_000],
)
def test_what_is_no_answer_is_no_token(system: System, body: bytes) -> None:
    status = 200 if system.name == "oauth" else 201
    with answering(lambda _: Said(status, body)) as there, pytest.raises(REFUSES):
        system.mint(there)


@pytest.mark.parametrize("token", ["", "short", "with space and more", "line\nbreak-and-more", "é" * 20])
def test_a_token_that_can_not_stand_in_a_header_is_none(system: System, token: str) -> None:
    gives = answering(lambda asked: system.given(token) if system.mints(asked) else Said(200))
    with gives as there, pytest.raises(REFUSES):
        system.mint(there)


LIVES = (
    "-1",
    "-0",
    "0.5",
    "300.5",
    "1e9",
    "1e400",
    "NaN",
    "Infinity",
    "true",
    "[300]",
    '"300"',
    "9007199254740993",
)
"""What is no number of seconds within bounds."""


@pytest.mark.parametrize(
    "more",
    [
        *(f'"expires_in":{life}' for life in LIVES),
        '"expires_in":9,"expires_in":300',
        '"expires_in":300,"\\u0065xpires_in":9',
        '"expires_in":300,"scope":"","scope":"admin"',
        '"expires_in":300,"x":' + "[" * 65 + "]" * 65,
        '"expires_in":300,"x":"\\ud800"',
        '"expires_in":300}{"x":1',
        '"expires_in":300,"scope":"a\\u00a0admin"',
        '"expires_in":300,"scope":["admin"]',
        '"expires_in":300,"authorization_details":[{"type":"x"}]',
        '"expires_in":300,"authorization_details":{}',
        '"expires_in":300,"refresh_token":null',
    ],
)
def test_an_answer_without_a_life_in_bounds_or_read_in_two_ways_or_that_says_more_is_no_token(
    more: str,
) -> None:
    system = System("oauth", "")
    body = f'{{"access_token":"{TOKEN}","token_type":"Bearer",{more}}}'.encode()
    with answering(lambda asked: Said(200, body if system.mints(asked) else {})) as there:
        with pytest.raises(REFUSES) as caught:
            system.mint(there)
        assert TOKEN not in f"{caught.value!r}"


HEADS: dict[str, Callable[[], Generator[bytes]]] = {
    "many": lambda: (b"X-%d: y\r\n" % one for one in range(100_000)),
    "long": lambda: (b"X: " + b"y" * 65_536 if one == 0 else b"y" * 65_536 for one in range(1_000_000)),
    "interim": lambda: (b"\r\nHTTP/1.1 103 X\r\n" for _ in range(1_000_000)),
    "slow": lambda: (b"X" for _ in range(1_000_000)),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("call", CALLS)
def test_a_head_without_an_end_is_cut_by_its_bound_or_by_the_call_s_patience(
    system: System, call: str, head: str
) -> None:
    over = Event()

    def serve(listening: socket.socket) -> None:
        while not over.is_set():
            try:
                one, _ = listening.accept()
            except OSError:
                return
            with one, suppress(OSError):
                one.recv(65_536)
                one.sendall(b"HTTP/1.1 200 OK\r\n")
                for piece in HEADS[head]():
                    one.sendall(piece)
                    if over.wait(0.05 if head == "slow" else 0):
                        return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = Thread(target=serve, args=[listening])
        serving.start()
        there: Any = SimpleNamespace(base=f"http://127.0.0.1:{listening.getsockname()[1]}")
        before = time.monotonic()
        try:
            with pytest.raises(REFUSES):
                CALLS[call](system, there, SHORT)
            assert time.monotonic() - before < SHORT + 20  # it would go on for ever
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()


def test_who_does_not_prove_to_be_the_declared_server_is_sent_nothing(tmp_path: Path) -> None:
    heard: list[bytes] = []
    context, _ = Authority(tmp_path).context("elsewhere.example")

    def serve(listening: socket.socket) -> None:
        one, _ = listening.accept()
        with one, suppress(OSError), context.wrap_socket(one, server_side=True) as inside:
            heard.append(inside.recv(65_536))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = Thread(target=serve, args=[listening])
        serving.start()
        there: Any = SimpleNamespace(base=f"https://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(TargetUnreachedError, match="does not prove who it is"):
            System("oauth", "").mint(there)
        serving.join()
    assert heard in ([], [b""])
