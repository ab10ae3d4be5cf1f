"""The guide's service without a library of ours (`docs/examples/introspection`), where things go wrong."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from taskbound.adapters.keys.es256 import Es256Key
from tests.sdk.verify.world import BODY, Place
from tests.wiring.guarding import NUMBERS, World, opened
from tests.wiring.proxying import registered_once
from tests.wiring.running import until
from tests.wiring.shells import Call, Reply, Served, alone, claims_of
from tests.wiring.test_guarding_asking import Issuer, issuing


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened(tmp_path_factory.mktemp("introspecting")) as one:
        yield one


@pytest.fixture
def key(world: World, tmp_path: Path) -> Path:
    registered_once(world, tmp_path / "echo.pem")
    return tmp_path / "echo.pem"


def permitted(world: World) -> Call:
    body, token = world.permitted()
    return Call("POST /say", json.loads(body), body, (token,))


def code(reply: Reply) -> tuple[int, str, str]:
    return reply.status, reply.code, reply.missing


def test_one_that_was_killed_while_it_worked_leaves_what_nobody_knows(
    world: World, tmp_path: Path, key: Path
) -> None:
    (tmp_path / "kept").mkdir()
    said = tmp_path / "kept" / "said"
    os.mkfifo(said)  # who writes there waits for a reader, and none comes
    call = permitted(world)

    def ask(service: Served) -> None:
        with suppress(OSError, ValueError, IndexError):  # it is killed meanwhile
            service.ask(call)

    with alone(world.origin, tmp_path, key) as service:
        asked = threading.Thread(target=ask, args=(service,))
        asked.start()
        until(lambda: any(one.stat().st_size == 64 for one in said.parent.iterdir()), "it has begun")
    asked.join()
    said.unlink()
    with alone(world.origin, tmp_path, key) as service:
        assert code(service.ask(call)) == (409, "outcome-not-known", "known-outcome")
        assert service.runs() == 0


def test_two_that_have_one_folder_do_it_once(world: World, tmp_path: Path, key: Path) -> None:
    call = permitted(world)
    with alone(world.origin, tmp_path, key) as one, alone(world.origin, tmp_path, key) as other:
        assert (one.ask(call).recorded, other.ask(call).recorded) == (False, True)
        elsewhere = replace(call, place="POST /tell")
        assert code(other.ask(elsewhere)) == (409, "other-request", "unused-token")
        assert one.runs() == 1


def test_one_that_can_not_remember_does_nothing(world: World, tmp_path: Path, key: Path) -> None:
    call = permitted(world)
    with alone(world.origin, tmp_path, key) as service:
        (tmp_path / "kept").rename(tmp_path / "moved")
        assert code(service.ask(call)) == (503, "claims-unavailable", "unused-token")
        (tmp_path / "moved").rename(tmp_path / "kept")
        assert service.runs() == 0
        assert service.ask(call).done


def test_what_is_longer_than_it_reads_or_no_json_is_refused_before_or_after_it_asks(
    world: World, tmp_path: Path, key: Path
) -> None:
    with alone(world.origin, tmp_path, key) as service:
        call = permitted(world)
        long = replace(call, body=b'{"text":"%s"}' % (b"x" * 1_100_000))
        assert code(service.ask(long)) in {(413, "body-large", "smaller-body"), (0, "", "")}
        for body in (b"", b"{", b"\xef\xbb\xbf{}", b'{"text":"\xff"}', b"null"):
            found = world.permit(f"bad {next(NUMBERS)}", body or b" ")
            assert found["status"] == 200, found
            asked = replace(call, body=body, tokens=(str(found["token"]),))
            assert service.ask(asked).code in {"other-content", "bad-json", "other-action"}, body
        assert service.runs() == 0


def test_an_answer_of_the_issuers_that_is_none_or_of_another_token_is_no_yes(tmp_path: Path) -> None:
    with closing(Place(tmp_path)) as place:
        token = place.token()
    key = Es256Key.generate().private
    (tmp_path / "echo.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    call = Call("POST /say", {}, BODY, (token,))
    with issuing() as issuer, alone(issuer.origin, tmp_path, tmp_path / "echo.pem") as service:
        own = claims_of(token) | {"active": True, "iss": issuer.origin, "token_type": "N_A"}
        own |= {"scope": "echo__say"}
        told: dict[str, tuple[int, Any, tuple[int, str, str]]] = {
            "of another token": (200, own | {"jti": "tok_2"}, UNKNOWN),
            "of another action": (200, own | {"txn": "act_2"}, UNKNOWN),
            "with another status": (201, own, UNKNOWN),
            "an error": (500, own, UNKNOWN),
            "nothing": (200, None, UNKNOWN),
            "not active": (200, {"active": False}, (401, "token-inactive", "valid-token")),
            "active, in a text": (200, own | {"active": "true"}, (401, "token-inactive", "valid-token")),
            "of another domain": (200, own | {"aud": "other.example"}, (401, "token-kind", "valid-token")),
            "of another issuer": (
                200,
                own | {"iss": "https://a.example"},
                (401, "token-kind", "valid-token"),
            ),
            "an access token": (200, own | {"token_type": "DPoP"}, (401, "token-kind", "valid-token")),
            "of another tool": (
                200,
                own | {"scope": "bank__pay"},
                (403, "other-tool", "token-for-this-tool"),
            ),
        }
        for name, (status, answer, wanted) in told.items():
            issuer.says(status, b"" if answer is None else json.dumps(answer).encode())
            assert code(service.ask(call)) == wanted, name
        elsewhere(issuer, own, service, call)
        assert service.runs() == 0


UNKNOWN = (503, "status-unknown", "fresh-status")


def elsewhere(issuer: Issuer, own: dict[str, Any], service: Served, call: Call) -> None:
    """A redirection is followed nowhere."""
    with issuing() as other:
        other.says(200, json.dumps(own).encode())
        issuer.says(307, b"", f"Location: {other.origin}/oauth/introspect")
        assert code(service.ask(call)) == UNKNOWN
        assert other.asked == []
