"""Proxies whose guard fails, or that are configured otherwise than the guide says: what passes then."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskbound.wire.jose import token_hash
from tests.proofs import CLIENT, proof
from tests.tokens import es256
from tests.wiring.guarding import NUMBERS, World
from tests.wiring.proxying import KINDS, Front, Told, optional, proxied
from tests.wiring.running import Running, until

EACH = pytest.mark.parametrize("kind", KINDS)
SOON = {
    "nginx": {"proxy_read_timeout 15s": "proxy_read_timeout 1s"},
    "nginx-auth-request": {"proxy_read_timeout 15s": "proxy_read_timeout 1s"},
    "envoy": {"timeout: 15s": "timeout: 1s"},
}
FAILED = {500, 502, 503, 504}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with optional(tmp_path_factory.mktemp("failing")) as one:
        yield one


@EACH
def test_a_guard_that_hangs_or_is_gone_lets_nothing_pass_and_what_it_let_pass_never_passes_again(
    world: World, tmp_path: Path, kind: str
) -> None:
    with proxied(world, tmp_path, kind, SOON[kind]) as front:
        done, hung, gone = front.permitted(), front.permitted(), front.permitted()
        assert asked(front, done).status == 201
        front.guard.process.send_signal(signal.SIGSTOP)
        assert asked(front, hung).status in FAILED
        assert front.ran(hung[2]) == []
        front.guard.process.send_signal(signal.SIGCONT)
        until(lambda: front.ask("GET /livez").status == 201, "it goes on")
        asked(front, hung)  # it may have been begun for nobody meanwhile, and then it never runs
        assert len(front.ran(hung[2])) <= 1
        front.guard.end(signal.SIGKILL)
        assert asked(front, gone).status in FAILED
        assert front.ask("GET /livez").status in FAILED
        with Running("proxied", str(front.file)):
            until(lambda: front.ask("GET /livez").status == 201, "another one is asked")
            for one in (done, hung):
                told = asked(front, one)
                if told.status != 201:
                    assert told.error == "outcome-not-known"
            assert asked(front, gone).status == 201
        assert [len(front.ran(one[2])) for one in (done, gone)] == [1, 1]
        assert len(front.ran(hung[2])) <= 1


def asked(front: Front, permitted: tuple[str, bytes, str]) -> Told:
    line, body, token = permitted
    return front.ask(line, body, token)


@EACH
def test_a_guard_that_can_not_write_its_claims_refuses_also_where_a_proxy_passes_what_fails(
    world: World, tmp_path: Path, kind: str
) -> None:
    careless = {"failure_mode_allow: false": "failure_mode_allow: true"} if kind == "envoy" else {}
    with proxied(world, tmp_path, kind, careless) as front:
        claims = tmp_path / "claims" / "claims.db"
        claims.rename(tmp_path / "moved.db")
        line, body, token = front.permitted()
        told = front.ask(line, body, token)
        assert (told.status, told.error) == (503 if kind == "nginx" else 403, "claims-unavailable")
        assert told.all("retry-after") == ([] if kind == "nginx-auth-request" else ["1"])
        assert told.all("taskbound-status") == (["503"] if kind == "envoy" else [])
        assert front.ran(token) == []


@pytest.mark.parametrize("kind", [one for one in KINDS if one != "envoy"])
def test_a_yes_that_nginx_would_like_to_keep_is_for_one_request(
    world: World, tmp_path: Path, kind: str
) -> None:
    keeping = (
        "proxy_cache kept; proxy_cache_valid any 5m; proxy_cache_methods GET HEAD POST; proxy_cache_key x;"
    )
    of_guard = "proxy_connect_timeout 2s;"
    with proxied(world, tmp_path, kind, {of_guard: f"{of_guard} {keeping}"}) as front:
        line, body, token = front.permitted()
        assert front.ask(line, body, token).status == 201
        assert front.ask(line, body, token).error == "outcome-not-known"
        assert front.ask(line, body).error == "txn-token-absent"
        other = front.permitted()
        assert asked(front, other).status == 201
        assert (len(front.ran(token)), len(front.ran(other[2]))) == (1, 1)


@EACH
def test_a_token_passes_with_the_proof_of_its_holders_key_alone(
    world: World, tmp_path: Path, kind: str
) -> None:
    holders = (
        '[holders]\norigin = "https://echo.example"\n[holders.shown_by]\n'
        f'"agent:helper" = ["jkt:{CLIENT.jwk.thumbprint}"]\n'
    )
    with proxied(world, tmp_path, kind, holders=holders) as front:
        line, body, token = front.permitted()
        method, path = line.split()

        def proven(**claims: Any) -> tuple[str, ...]:
            plain: dict[str, Any] = {
                "htm": method,
                "htu": f"https://echo.example{path}",
                "iat": int(time.time()),
                "jti": f"proxies-{next(NUMBERS)}",
                "ath": token_hash(token),
            }
            return (f"DPoP: {proof(claims.pop('signer', CLIENT), **(plain | claims))}",)

        once = proven()
        found = {
            "none": front.ask(line, body, token),
            "a stranger's": front.ask(line, body, token, head=proven(signer=es256("stranger", seed=41))),
            "of no token": front.ask(line, body, token, head=proven(ath=...)),
            "of another method": front.ask(line, body, token, head=proven(htm="PUT")),
            "of another place": front.ask(line, body, token, head=proven(htu="https://other.example/say")),
            "two": front.ask(line, body, token, head=(*proven(), *proven())),
            "one that is right": front.ask(line, body, token, head=once),
            "it again": front.ask(line, body, token, head=once),
        }
        assert found.pop("two").error in {"dpop-count", "token-segments"}  # as two, or joined by a comma
        assert {name: one.error for name, one in found.items()} == {
            "none": "holder-not-shown",
            "a stranger's": "holder-not-shown",
            "of no token": "dpop-token",
            "of another method": "dpop-method",
            "of another place": "dpop-uri",
            "one that is right": "",
            "it again": "replayed",
        }
        assert len(front.ran(token)) == 1
