"""A service that asks its issuer in its own name: real API, daemon and signer; rules of `wiring.service`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from taskbound.adapters.keys.es256 import Es256Key
from taskbound.core.errors import TaskboundError
from taskbound.core.revocation import About, Thing
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.sdk.feed import FeedReader, RevokedError, StaleFeedError
from taskbound.sdk.fresh import awake
from taskbound.sdk.verify.errors import StatusUnknownError, TokenInactiveError
from taskbound.sdk.verify.keys import parse_said
from taskbound.wire.connection import Done
from taskbound.wire.jose import TRANSACTION_TOKEN, parse_jws
from taskbound.wire.task import EndTask
from taskbound.wire.token import ListTokens, ReadFeed, RevokeToken, TokenRows
from taskbound.wire.workload import AddService, AddServiceKey, RemoveService, RemoveServiceKey
from taskbound.wiring.issuer import BadIssuerNameError
from taskbound.wiring.service import BadServiceKeyError, IssuerSilentError, ServiceLink, read_key
from tests.peers.ports import free_port
from tests.wiring.guarding import World, opened
from tests.wiring.running import client, start_task, until


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened(tmp_path_factory.mktemp("link")) as one:
        yield one


def registered(world: World, name: str, key: Es256Key) -> ServiceLink:
    with client(world.one.socket) as one:
        order = AddService(name=name, owner="alice", audience=f"https://{name}.example", tools=("echo__*",))
        one.ask(order, Done)
        one.ask(AddServiceKey(name=name, key=key.public.decode()), Done)
    return ServiceLink(issuer=world.origin, name=name, key=key)


def knows(reader: FeedReader, thing: Thing) -> str:
    try:
        reader.require_clear([thing])
    except RevokedError:
        return "revoked"
    except StaleFeedError:
        return "stale"
    return "clear"


def code_of(link: ServiceLink) -> str:
    try:
        link.fetch(ReadFeed())
    except RefusedByDaemonError as error:
        return error.fault.code
    except TaskboundError as error:
        return error.code
    return "told"


def test_a_service_hears_over_http_what_ends_and_asks_what_a_token_is_worth(world: World) -> None:
    link = registered(world, "hears", Es256Key.generate())
    reader, follower = link.follow()
    with client(world.one.socket) as person:
        task = start_task(person)
        thing = Thing(namespace="default", about=About.TASK, id=task)
        until(lambda: knows(reader, thing) == "clear", "fresh")
        person.ask(EndTask(task=task, how="cancelled", reason="enough"), Done)
    until(lambda: knows(reader, thing) == "revoked", "it is known to be over")
    follower.stop()


def test_one_token_serves_many_questions_and_another_is_asked_for_before_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = registered(world, "renews", Es256Key.generate())
    page = link.fetch(ReadFeed())
    again = link.fetch(ReadFeed(after=page.through, mark=page.mark, wait=20))
    assert again.through >= page.through
    assert len(tokens(world, "service:renews")) == 1
    later = awake() + 241
    monkeypatch.setattr("taskbound.wiring.service.awake", lambda: later)
    link.fetch(ReadFeed())
    assert len(tokens(world, "service:renews")) == 2


def tokens(world: World, subject: str) -> list[str]:
    with client(world.one.socket) as one:
        return [row.token for row in one.ask(ListTokens(), TokenRows).rows if row.subject == subject]


def test_a_token_that_was_revoked_is_followed_by_another_and_a_service_that_is_gone_by_none(
    world: World,
) -> None:
    first = Es256Key.generate()
    link = registered(world, "goes", first)
    assert code_of(link) == "told"
    (token,) = tokens(world, "service:goes")
    with client(world.one.socket) as one:
        one.ask(RevokeToken(token=token, why="it was seen"), Done)
        assert code_of(link) == "told"
        one.ask(RemoveServiceKey(name="goes", key=first.kid), Done)
        assert code_of(link) == "invalid_client"
        second = Es256Key.generate()
        one.ask(AddServiceKey(name="goes", key=second.public.decode()), Done)
        assert code_of(ServiceLink(issuer=world.origin, name="goes", key=second)) == "told"
        one.ask(RemoveService(name="goes"), Done)
    assert code_of(ServiceLink(issuer=world.origin, name="goes", key=second)) == "invalid_client"


def test_who_has_no_key_of_the_service_hears_nothing_and_its_log_says_so_once_until_it_has_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="taskbound.wiring.service")
    told: list[str] = []
    registered(world, "kept", Es256Key.generate())
    key, thing = Es256Key.generate(), Thing(namespace="default", about=About.TASK, id="x")
    link = ServiceLink(issuer=world.origin, name="kept", key=key)
    reader, follower = link.follow(failed=lambda error: told.append(error.message))
    until(lambda: len(told) > 1, "it is told so")
    assert knows(reader, thing) == "stale"
    with client(world.one.socket) as one:
        one.ask(AddServiceKey(name="kept", key=key.public.decode()), Done)
    until(lambda: knows(reader, thing) == "clear", "it hears what ended")
    follower.stop()
    unheard, heard = caplog.messages
    assert unheard.startswith("what ended is not heard: ")
    assert "[invalid_client]; what to do: look with `taskbound service show`" in unheard
    assert heard == "what ended is heard again"


def test_an_issuer_that_says_something_else_each_time_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    asked = count()

    class Babbling(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            number = next(asked)
            reason = number % 2 if number < 6 else number  # two of them by turns, and then no two alike
            body = json.dumps({"error": "busy", "error_description": f"reason {reason}"})
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Babbling) as issuer:
        threading.Thread(target=issuer.serve_forever, daemon=True).start()
        link = ServiceLink(issuer=f"http://127.0.0.1:{issuer.server_port}", name="x", key=Es256Key.generate())
        _, follower = link.follow(failed=lambda error: told.append(error.message))
        until(lambda: len(set(told)) > 22, "it says much")
        follower.stop()
        issuer.shutdown()
    said = [one for one in caplog.messages if one.startswith("what ended is not heard: ")]
    assert len(said) == len(set(said)) == 20


def test_f24_another_log_is_said_in_the_issuers_own_code(world: World) -> None:
    link = registered(world, "other", Es256Key.generate())
    with pytest.raises(RefusedByDaemonError) as found:
        link.fetch(ReadFeed(after=0, mark="ab" * 32))
    assert found.value.fault.code == "other-log"


@pytest.mark.parametrize("apart", [-3_600, -720, 720, 3_600])
def test_f17_a_service_whose_clock_is_wrong_hears_nothing_whether_it_has_a_token_or_not(
    world: World, monkeypatch: pytest.MonkeyPatch, apart: int
) -> None:
    name = f"apart{apart}".replace("-", "b")
    key = Es256Key.generate()
    before = registered(world, name, key)
    assert code_of(before) == "told"
    wrong = SimpleNamespace(time=lambda: time.time() + apart)
    monkeypatch.setattr("taskbound.wiring.service.time", wrong)
    begun = ServiceLink(issuer=world.origin, name=name, key=key)
    assert {code_of(before), code_of(begun)} == {"invalid_dpop_proof"}
    _, token = world.permitted()
    with pytest.raises(StatusUnknownError):
        begun.asking().require_active(token, parse_said(parse_jws(token, kind=TRANSACTION_TOKEN)))


def test_the_issuer_says_of_a_permits_token_that_it_holds_until_its_task_ends(world: World) -> None:
    asking = registered(world, "asks", Es256Key.generate()).asking()
    _, token = world.permitted()
    said = parse_said(parse_jws(token, kind=TRANSACTION_TOKEN))
    asking.require_active(token, said)
    with client(world.one.socket) as one:
        one.ask(EndTask(task=said.task, how="cancelled", reason="enough"), Done)
    with pytest.raises(TokenInactiveError):
        asking.require_active(token, said)


def test_an_issuer_that_is_away_or_none_is_said_to_be() -> None:
    port = free_port()
    link = ServiceLink(issuer=f"http://127.0.0.1:{port}", name="x", key=Es256Key.generate())
    with pytest.raises(IssuerSilentError):
        link.fetch(ReadFeed())
    with pytest.raises(BadIssuerNameError):
        ServiceLink(issuer="http://as.example", name="x", key=Es256Key.generate())


def test_a_key_is_read_from_a_file_and_any_other_is_refused(tmp_path: Path) -> None:
    made, path = Es256Key.generate(), tmp_path / "key.pem"

    def write(private: object) -> None:
        path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))  # type: ignore[attr-defined]  # keys of two curves

    write(made.private)
    assert read_key(path).kid == made.kid
    write(generate_private_key(SECP384R1()))
    with pytest.raises(BadServiceKeyError):
        read_key(path)
    for raw in (b"", b"no key", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"):
        path.write_bytes(raw)
        with pytest.raises(BadServiceKeyError):
            read_key(path)
    with pytest.raises(BadServiceKeyError):
        read_key(tmp_path / "none.pem")
