from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.claims import SqliteClaims
from taskbound.core.action import canonical
from taskbound.core.clock import Instant, minutes
from taskbound.core.token.shared import Serving
from taskbound.sdk.verify import Verifier
from taskbound.sdk.verify.errors import OtherNamespaceError
from taskbound.sdk.verify.holder import certificate_showing
from taskbound.wire.token import ListTokenKeys, RevokeTokenKey, TokenKeyRows
from taskbound.wire.tool import ListTools, ToolRows
from taskbound.wiring.guarding import ClaimsAheadError, guard, published_keys
from taskbound.wiring.issuer import BadIssuerNameError
from tests.adapters.claims.claiming import descriptors_of
from tests.house.tree import ROOT
from tests.sdk.verify.world import Feed
from tests.surfaces.network.certificates import Authority, client_context
from tests.tokens import es256
from tests.wiring.guarding import NUMBERS, World, opened
from tests.wiring.running import client, until


@pytest.fixture(scope="module")
def permitting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """What permits for all tests that end nothing of it."""
    with opened(tmp_path_factory.mktemp("permitting")) as one:
        yield one


@pytest.fixture
def world(permitting: World, tmp_path: Path) -> Iterator[World]:
    """The same, and services of this test's own."""
    permitting.folder = tmp_path
    yield permitting
    permitting.close()


@pytest.fixture
def ending(tmp_path: Path) -> Iterator[World]:
    """One of which something ends."""
    with opened(tmp_path) as one:
        yield one


KINDS = pytest.mark.parametrize("kind", ["asgi", "wsgi"])


@KINDS
def test_a_service_does_what_was_permitted_once_and_tells_a_repeat_what_it_answered(
    world: World, kind: str
) -> None:
    service = world.service(kind)
    body, token = world.permitted()
    status, headers, told = service.ask(body, token)
    assert (status, told["text"], told["body"]) == (201, json.loads(body)["text"], len(body))
    assert "taskbound-answer" not in headers
    again, marked, same = service.ask(body, token)
    assert (again, same) == (201, told)
    assert (marked["taskbound-answer"], marked.get("set-cookie")) == ("recorded", None)
    assert service.runs() == [told["paid"]]


def test_a_service_refuses_what_is_not_the_request_that_was_permitted_and_says_what_is_missing(
    world: World,
) -> None:
    service = world.service()
    body, token = world.permitted()
    loose = world.permit(f"loose {next(NUMBERS)}")["token"]
    stranger = es256("stranger", seed=77)
    head, payload, signature = token.split(".")
    forged = stranger.raw(b'{"alg":"ES256","kid":"stranger","typ":"txntoken+jwt"}', b"{}")
    asked = {
        "none": service.ask(body),
        "two": service.ask(body, token, token),
        "two in one": service.ask(body, f"{token},{token}"),
        "an access token": service.ask(body, world.one.token()),
        "a changed body": service.ask(b'{"text":"hell"}', token),
        "a longer body": service.ask(body + b" ", token),
        "a changed token": service.ask(body, f"{head}.{payload}.{signature}="),
        "another signature": service.ask(body, f"{head}.{payload}.{forged.split('.')[2]}"),
        "a stranger's": service.ask(body, forged),
        "no request named": service.ask(body, loose),
        "another tool": service.ask(body, token, path="/refund"),
        "an endpoint of nobody": service.ask(body, token, path="/other"),
        "a query": service.ask(body, token, path="/pay?text=bye"),
        "another type": service.ask(body, token, head=("Content-Type: text/plain",)),
        "encoded": service.ask(body, token, head=("Content-Encoding: gzip",)),
        "a wrong digest": service.ask(body, token, head=(f"Content-Digest: sha-256=:{'A' * 43}=:",)),
        "too long": service.ask(b" " * 5000, token),
    }
    told = {name: (status, told["code"], told["missing"]) for name, (status, _, told) in asked.items()}
    assert told == {
        "none": (401, "txn-token-absent", "txn-token"),
        "two": (401, "txn-token-count", "one-txn-token"),
        "two in one": (401, "txn-token-count", "one-txn-token"),
        "an access token": (401, "token-kind", "valid-token"),
        "a changed body": (403, "other-content", "token-for-this-request"),
        "a longer body": (403, "other-content", "token-for-this-request"),
        "a changed token": (401, "token-encoding", "valid-token"),
        "another signature": (401, "token-unproven", "valid-token"),
        "a stranger's": (401, "token-claims", "valid-token"),
        "no request named": (403, "digest-missing", "content-digest-in-token"),
        "another tool": (403, "other-tool", "token-for-this-tool"),
        "an endpoint of nobody": (403, "endpoint-unknown", "declared-endpoint"),
        "a query": (400, "query-not-covered", "everything-in-the-body"),
        "another type": (415, "other-content-type", "declared-content-type"),
        "encoded": (415, "content-encoded", "plain-content"),
        "a wrong digest": (400, "content-digest", "right-content-digest"),
        "too long": (413, "body-large", "smaller-body"),
    }
    for status, headers, problem in asked.values():
        assert headers["www-authenticate"].startswith(f'Taskbound error="{problem["code"]}", missing="')
        assert 'domain="corp.example"' in headers["www-authenticate"]
        assert (headers["content-type"], problem["status"]) == ("application/problem+json", status)
    assert service.runs() == []
    assert service.ask(body, token)[0] == 201  # nothing of all that used it up


@KINDS
def test_heads_that_two_readers_read_differently_run_nothing_else(world: World, kind: str) -> None:
    service = world.service(kind)
    body, token = world.permitted()
    start = (
        b"POST /pay HTTP/1.1\r\nHost: pay.example\r\nConnection: close\r\nContent-Type: application/json\r\n"
    )
    length = b"Content-Length: %d\r\n" % len(body)
    whole = token.encode()
    sent = [
        start + length + b"Txn-Token: " + whole[:40] + b"\r\n " + whole[40:] + b"\r\n\r\n" + body,
        start + length + b"Txn-Token: " + whole + b"\xe9\r\n\r\n" + body,
        start + length + b"Txn-Token : " + whole + b"\r\n\r\n" + body,
        start + length + b"Txn-Token: " + whole + b"\r\nTXN-TOKEN: " + whole + b"\r\n\r\n" + body,
        start + length + b"Txn-Token:\r\nTxn-Token: " + whole + b"\r\n\r\n" + body,
        start + length + b"Transfer-Encoding: chunked\r\nTxn-Token: " + whole + b"\r\n\r\n0\r\n\r\n",
        start + length + b"Content-Length: 2\r\nTxn-Token: " + whole + b"\r\n\r\n" + body,
        start + b"Content-Length: +%d\r\nTxn-Token: " % len(body) + whole + b"\r\n\r\n" + body,
    ]
    for one in sent:
        status, _, told = service.whole(one)
        assert status in {400, 401, 403, 411, 413} or told["body"] == len(body), one
    assert len(service.runs()) <= 1


def test_a_body_in_chunks_is_the_body_whole_or_nothing(world: World) -> None:
    service = world.service()
    body, token = world.permitted()
    start = (
        "POST /pay HTTP/1.1\r\nHost: pay.example\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Transfer-Encoding: chunked\r\nTxn-Token: {token}\r\n\r\n"
    ).encode()

    def chunks(*parts: bytes) -> bytes:
        return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in parts) + b"0\r\n\r\n"

    assert service.whole(start + chunks(body, b"x"))[2]["code"] == "other-content"
    assert service.whole(start + chunks(*[b"y" * 1000] * 6))[2]["code"] == "body-large"
    with socket.create_connection(("127.0.0.1", int(service.said)), timeout=20) as one:
        one.sendall(start + b"4\r\n" + body[:4] + b"\r\n")  # and it goes away
    assert service.runs() == []
    status, _, told = service.whole(start + chunks(*[body[at : at + 1] for at in range(len(body))]))
    assert (status, told["body"]) == (201, len(body))


def test_what_was_not_permitted_or_is_over_reaches_nothing(ending: World) -> None:
    service = ending.service()
    refused = ending.permit("hello", b"{}", arguments={"loud": True})
    assert (refused["status"], "token" in refused) == (403, False)
    permitted = [ending.permitted(), ending.permitted()]
    ending.one.end()
    for body, token in permitted:
        status, headers, told = service.ask(body, token)
        assert (status, told["code"], told["missing"]) == (403, "test-not-clear", "standing-authority")
        assert 'missing="standing-authority"' in headers["www-authenticate"]
    assert service.runs() == []


def test_a_revoked_key_ends_what_it_signed_also_where_the_keys_were_read_before(ending: World) -> None:
    service = ending.service()
    first, second = ending.permitted(), ending.permitted()
    assert service.ask(*first)[0] == 201
    with client(ending.one.socket) as person:
        rows = person.ask(ListTokenKeys(), TokenKeyRows).rows
        (current,) = [row.key for row in rows if row.state == "current"]
        person.ask(RevokeTokenKey(key=current, why="lost"), TokenKeyRows)
    assert service.ask(*second)[2]["code"] == "test-not-clear"
    assert service.ask(*first)[2]["code"] == "test-not-clear"
    assert len(service.runs()) == 1


def test_where_nobody_says_what_ended_nothing_is_done(ending: World) -> None:
    service = ending.service()
    first, second = ending.permitted(), ending.permitted()
    assert service.ask(*first)[0] == 201
    ending.one.process.process.send_signal(signal.SIGKILL)
    ending.one.process.process.wait()
    status, headers, told = service.ask(*second)
    assert (status, told["missing"], headers["retry-after"]) == (503, "fresh-status", "1")
    assert len(service.runs()) == 1


def test_of_requests_that_come_at_once_to_two_processes_one_runs(world: World) -> None:
    services = [world.service(), world.service()]
    body, token = world.permitted()
    ready = threading.Barrier(10)
    told: list[tuple[int, dict[str, str], Any]] = []

    def ask(number: int) -> None:
        ready.wait()
        told.append(services[number % 2].ask(body, token))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(services[0].runs()) == 1
    done = [one for one in told if one[0] == 201]
    assert sum("taskbound-answer" not in one[1] for one in done) == 1
    assert all(one[2]["code"] == "still-at-it" for one in told if one[0] != 201)
    assert {one[0] for one in told} <= {201, 409}


def test_a_process_that_was_killed_while_it_paid_leaves_what_nobody_knows_and_nobody_pays_again(
    world: World,
) -> None:
    service = world.service()
    body, token = world.permitted("hang")

    def ask() -> None:
        with suppress(OSError, ValueError, IndexError):  # it is killed meanwhile
            service.ask(body, token)

    asked = threading.Thread(target=ask)
    asked.start()
    until(lambda: len(service.runs()) == 1, "it pays")
    other = world.service()
    assert other.ask(body, token)[2]["code"] == "still-at-it"
    service.end()
    asked.join()
    status, _, told = other.ask(body, token)
    assert (status, told["code"], told["missing"]) == (409, "outcome-not-known", "known-outcome")
    assert len(other.runs()) == 1


def test_arguments_are_done_by_their_action_where_the_definition_is_the_services(world: World) -> None:
    text = f"hello {next(NUMBERS)}"
    found = world.permit(text)
    body = canonical({"text": text})
    another = world.service(definition="c" * 64)
    assert another.ask(body, found["token"], path="/say")[2]["code"] == "digest-missing"
    service = world.service(definition=definition_of(world))
    assert service.ask(canonical({"text": "hell"}), found["token"], path="/say")[2]["code"] == "other-action"
    assert world.service().ask(body, found["token"], path="/say")[0] == 201  # as the token says it
    assert service.ask(body, found["token"], path="/say")[1]["taskbound-answer"] == "recorded"
    assert len(service.runs()) == 1


def definition_of(world: World) -> str:
    """The digest of the tool's pinned definition, as the daemon tells it."""
    with client(world.one.socket) as person:
        (row,) = person.ask(ListTools(), ToolRows).rows
    return row.definition


def test_a_token_is_held_by_the_certificate_that_the_connection_proved(world: World) -> None:
    authority = Authority("tests")
    server = authority.issue(world.folder, "server", name="localhost")
    own = authority.issue(world.folder, "own", name="helper.example")
    other = authority.issue(world.folder, "other", name="other.example")
    service = world.service(
        "wsgi",
        holding={"shown_by": {"agent:helper": [certificate_showing(own.der)]}},
        tls={
            "authority": str(authority.write(world.folder / "ca.pem")),
            "certificate": str(server.chain),
            "key": str(server.key),
        },
    )
    body, token = world.permitted()
    for certificate in (None, other):
        service.tls = client_context(authority, certificate)
        assert service.ask(body, token)[2]["code"] == "holder-not-shown"
    service.tls = client_context(authority, own)
    assert service.ask(body, token)[0] == 201
    assert len(service.runs()) == 1


def guard_at(claims: Path, **more: Any) -> Verifier:
    return guard(
        name="v",
        issuer="https://as.example",
        domain="corp.example",
        claims=claims,
        holding="whoever-has-the-token",
        **more,
    )


def test_closed_verifier_has_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "claims.db"
    with closing(guard_at(path)):
        assert descriptors_of(path) == 1
    assert descriptors_of(path) == 0


def test_refused_guard_closes_its_claims(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "claims.db"
    with pytest.raises(OtherNamespaceError) as refused:
        guard_at(path, status=Feed("acme"))
    assert refused.tb is not None  # it holds the frames in which the claims were opened
    assert descriptors_of(path) == 0


def test_a_service_with_a_clock_that_was_ahead_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "claims.db"
    claims = SqliteClaims(path)
    later = Instant(4_000_000_000_000_000)
    claims.begin(Serving(verifier="v", txn="act_1", request="r", until=Instant(later + minutes(1))), later)
    claims.close()
    with pytest.raises(ClaimsAheadError):
        guard_at(path)


@pytest.mark.parametrize(
    "issuer",
    [
        "http://as.example",
        "https://as.example/",
        "https://as.example/path",
        "https://user@as.example",
        "https://",
        "as.example",
        "file:///etc/passwd",
        "https://as.example?x",
        "https://as.example#x",
        "HTTPS://as.example",
    ],
)
def test_an_issuer_that_can_not_be_asked_safely_is_not_taken(issuer: str) -> None:
    with pytest.raises(BadIssuerNameError):
        published_keys(issuer)


def test_what_a_service_installs_brings_nothing_of_a_server() -> None:
    program = (
        "import sys, taskbound.wiring.guarding, taskbound.sdk.verify.asgi, taskbound.sdk.verify.wsgi,"
        " taskbound.sdk.verify.function;"
        "print(*sorted({one.partition('.')[0] for one in sys.modules} - set(sys.stdlib_module_names)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    third = {one for one in found.stdout.split() if not one.startswith("_")} - {"sitecustomize"}
    third -= {"typing_extensions"}  # msgspec takes it where it happens to be
    assert third <= {"taskbound", "cryptography", "joserfc", "msgspec", "cffi"}


def test_law_2_a_service_does_not_do_what_an_agent_names_beside_what_was_decided(world: World) -> None:
    service = world.service()
    text = f"asked {next(NUMBERS)}"
    other = canonical({"text": "something that nobody decided on"})
    found = world.permit(text, other)
    assert found["status"] == 200, found
    status, _, told = service.ask(other, str(found["token"]))
    assert (status, told["code"]) == (403, "other-action")
    assert service.runs() == []
