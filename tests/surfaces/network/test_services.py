from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.wire.connection import Done
from taskbound.wire.identity import LeavePerson, ReturnPerson
from taskbound.wire.workload import ChangeService, RemoveService, RemoveServiceKey
from tests.proofs import CLIENT
from tests.surfaces.network.asking import HOST, Asking, asking
from tests.surfaces.network.certificates import Authority, client_context
from tests.surfaces.network.serving_as import Serving, key_of
from tests.token_world import ISSUER, claims_in
from tests.wiring.running import client, until

if TYPE_CHECKING:
    import pathlib

DOMAIN = "as.example"
NOT = {"active": False}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """An agent whose task goes on for as long as these tests do."""
    with asking(tmp_path_factory.mktemp("services")) as one:
        yield one


@pytest.fixture(scope="module")
def echo(there: Asking) -> Serving:
    """A service that enforces what the agent may call."""
    return Serving(there, "echo", "echo__*", seed=51)


@pytest.fixture(scope="module")
def ledger(there: Asking) -> Serving:
    """Another one, which does not."""
    return Serving(there, "ledger", "ledger__book", seed=52)


def recorded(there: Asking, shown: str) -> int:
    """How many records there are of a proof that was refused: they have its digest."""
    return there.records(sha256(shown.encode()).hexdigest())


def acted(there: Asking, text: str) -> dict[str, Any]:
    """A permit over the network, with its transaction token."""
    body = json.dumps({"tool": "echo__say", "arguments": {"text": text}, "token": True}).encode()
    token = there.token()
    head = there.there.head(
        "POST",
        "/v1/actions",
        **{
            "Host": HOST,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Authorization": f"DPoP {token}",
            "DPoP": there.dpop("/v1/actions", "POST", token),
        },
    )
    answer = there.there.send(head + body)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def test_a_service_gets_a_bound_token_of_its_own_and_reads_with_it_what_is_for_services(
    there: Asking, echo: Serving
) -> None:
    answer = echo.ask()
    assert answer.status == 200, answer.body
    given = answer.json
    token = given.pop("access_token")
    assert given == {"token_type": "DPoP", "expires_in": 300, "scope": "service"}
    claims = claims_in(token)
    assert (claims["sub"], claims["client_id"], claims["service"]) == ("service:echo", "service:echo", "echo")
    assert (claims["aud"], claims["cnf"]) == (ISSUER, {"jkt": CLIENT.jwk.thumbprint})
    assert not {"task", "act"} & claims.keys()
    own = echo.shown("/v1/service", token)
    assert own.status == 200, own.body
    assert (own.json["row"]["name"], own.json["row"]["tools"]) == ("echo", ["echo__*"])
    feed = echo.shown("/v1/revocations", token)
    assert feed.status == 200, feed.body
    assert feed.json["through"] > 0
    assert echo.active(token)["sub"] == "service:echo"
    until(lambda: there.records("token-issued") > 0, "its issue is recorded")


def test_a_services_token_reads_nothing_else_and_is_nobodys_without_its_key(
    there: Asking, echo: Serving
) -> None:
    token = echo.token()
    for path in ("/v1/tasks", "/v1/agents", "/v1/status", "/v1/upstreams", "/v1/services", "/v1/tokens"):
        assert echo.shown(path, token).status == 403, path
    assert there.get("/v1/service", Authorization=f"Bearer {token}").status == 401
    assert echo.shown("/v1/service", token, key_of(60)).status == 401
    for path in ("/v1/service", "/v1/revocations"):
        assert there.shown(path, there.token()).status == 403


def test_an_agent_gets_no_services_token_and_a_service_exchanges_none(there: Asking, echo: Serving) -> None:
    plain = {"grant_type": "client_credentials", **there.proven()}
    refused = there.post("/oauth/token", plain, DPoP=there.dpop())
    assert (refused.status, refused.json["error"]) == (400, "unauthorized_client")
    exchange = there.form(client_assertion=echo.assertion())
    refused = there.post("/oauth/token", exchange, DPoP=there.dpop())
    assert (refused.status, refused.json["error"]) == (400, "unauthorized_client")


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"scope": "operations"}, "invalid_scope"),
        ({"scope": "service task"}, "invalid_scope"),
        ({"resource": "https://echo.example"}, "invalid_target"),
        ({"audience": "https://ledger.example"}, "invalid_target"),
    ],
)
def test_a_service_asks_for_its_own_scope_at_our_issuer(
    echo: Serving, more: dict[str, str], named: str
) -> None:
    answer = echo.ask(**more)
    assert (answer.status, answer.json["error"]) == (400, named)


def test_a_service_that_shows_no_key_gets_no_token(there: Asking, echo: Serving) -> None:
    form = {"grant_type": "client_credentials", **echo.proven()}
    answer = there.post("/oauth/token", form)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


def test_who_says_to_be_another_than_the_key_proves_is_nobody_with_one_record_each(
    there: Asking, echo: Serving, ledger: Serving
) -> None:
    used = echo.assertion()
    assert there.post("/oauth/introspect", echo.proven(client_assertion=used, token="x")).status == 200
    liars = [
        used,  # replayed
        echo.assertion(iss="agent:helper", sub="agent:helper"),
        echo.assertion(iss="agent:echo", sub="agent:echo"),
        echo.assertion(iss="service:ledger", sub="service:ledger"),
        echo.assertion(iss="service:acme/echo", sub="service:acme/echo"),
        there.assertion(iss="service:echo", sub="service:echo"),
        ledger.assertion(iss="service:echo", sub="service:echo"),
        echo.assertion(aud=f"{ISSUER}/oauth/token"),
        echo.assertion(aud="https://other.example"),
        echo.assertion(signer=key_of(61)),  # nobody's key
    ]
    for one in liars:
        answer = there.post("/oauth/introspect", echo.proven(client_assertion=one, token="x"))
        assert (answer.status, answer.json) == (401, {"error": "invalid_client"})
    until(lambda: list(map(partial(recorded, there), liars)) == [1] * len(liars), "each has one record")
    other = echo.proven(token="x", namespace="acme")
    assert there.post("/oauth/introspect", other).status == 401
    named = echo.proven(token="x", client_id="agent:helper")
    assert there.post("/oauth/introspect", named).status == 401


def test_a_service_is_told_what_a_tasks_token_is_worth_that_is_meant_for_it_and_of_no_other(
    there: Asking, echo: Serving, ledger: Serving
) -> None:
    token = there.token(resource=echo.audience)
    found = echo.active(token)
    assert (found["active"], found["aud"], found["task"]) == (True, echo.audience, there.task)
    assert (found["token_type"], found["cnf"]) == ("DPoP", {"jkt": CLIENT.jwk.thumbprint})
    assert ledger.active(token) == NOT
    assert echo.active(there.token()) == NOT  # for our issuer
    assert ledger.active(echo.token()) == NOT
    for text in ("x", "", token[:-4] + "AAAA", f"{token}.x"):
        if text:
            assert echo.active(text) == NOT
    assert there.shown("/v1/service", token).status == 401  # no token for our issuer
    assert there.active(token)["active"] is True  # its own client asks, as ever
    refused = there.post("/oauth/token", there.form(resource="https://nobody.example"), DPoP=there.dpop())
    assert (refused.status, refused.json["error"]) == (400, "invalid_target")


def test_a_service_is_told_what_a_transaction_token_is_worth_whose_tool_it_enforces_until_it_is_done(
    there: Asking, echo: Serving, ledger: Serving
) -> None:
    told = acted(there, "one")
    found = echo.active(told["token"])
    assert (found["active"], found["token_type"], found["aud"]) == (True, "N_A", DOMAIN)
    assert (found["txn"], found["scope"]) == (told["action"], "echo__say")
    assert found["tctx"]["action_digest"] == told["digest"]
    assert found == {**claims_in(told["token"]), "active": True, "token_type": "N_A"}
    assert ledger.active(told["token"]) == NOT
    with client(there.socket) as one:
        one.ask(ChangeService(name="echo", tools=("echo__other",)), Done)
        try:
            assert echo.active(told["token"]) == NOT
        finally:
            one.ask(ChangeService(name="echo", tools=("echo__*",)), Done)
    assert echo.active(told["token"])["active"] is True
    body = json.dumps({"outcome": "succeeded", "answer": {"ok": True}}).encode()
    token, path = there.token(), f"/v1/actions/{told['action']}/outcome"
    proof = there.dpop(path, "POST", token)
    head = there.there.head(
        "POST",
        path,
        **{
            "Host": HOST,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Authorization": f"DPoP {token}",
            "DPoP": proof,
        },
    )
    assert there.there.send(head + body).status == 200
    assert echo.active(told["token"]) == NOT


def test_a_key_that_is_removed_ends_what_it_proved_and_what_was_issued_by_it(
    there: Asking, echo: Serving
) -> None:
    one = Serving(there, "rotating", seed=53)
    token, assertion = one.token(), one.assertion()
    follows = key_of(54)
    one.add_key(follows)
    assert one.shown("/v1/service", token).status == 200
    with client(there.socket) as person:
        person.ask(RemoveServiceKey(name="rotating", key=one.key.kid), Done)
    ended = one.shown("/v1/service", token)
    assert ended.status == 401
    assert one.shown("/v1/revocations", token).status == 401
    form = one.proven(client_assertion=assertion, token="x")
    assert there.post("/oauth/introspect", form).status == 401
    one.key = follows
    assert one.active(token) == NOT
    assert one.shown("/v1/service", one.token()).status == 200
    assert echo.shown("/v1/service", echo.token()).status == 200


def test_a_service_that_is_removed_is_nobody_and_so_is_what_it_was_given(there: Asking) -> None:
    one = Serving(there, "leaving", seed=55)
    token = one.token()
    with client(there.socket) as person:
        person.ask(RemoveService(name="leaving"), Done)
    assert one.shown("/v1/service", token).status == 401
    assertion = one.assertion()
    assert one.introspect(token, client_assertion=assertion).status == 401
    assert one.ask().status == 401
    until(lambda: recorded(there, assertion) == 1, "it has its one record")


def test_a_service_gives_its_own_token_back_and_no_other(
    there: Asking, echo: Serving, ledger: Serving
) -> None:
    token = echo.token()
    foreign = there.post("/oauth/revoke", ledger.proven(token=token))
    assert foreign.status == 400
    assert echo.shown("/v1/service", token).status == 200
    assert there.post("/oauth/revoke", echo.proven(token=token)).status == 200
    assert echo.shown("/v1/service", token).status == 401


def test_a_service_is_refused_as_long_as_its_owner_is_gone(tmp_path: pathlib.Path) -> None:
    with asking(tmp_path) as there:
        one = Serving(there, "echo", "echo__*", seed=56)
        token = one.token()
        with client(there.socket) as person:
            person.ask(LeavePerson(name="alice", reason="left"), Done)
        assert one.shown("/v1/service", token).status == 401
        assert one.introspect(token).status == 401
        assert one.ask().status == 401
        with client(there.socket) as person:
            person.ask(ReturnPerson(name="alice"), Done)
        assert one.shown("/v1/service", token).status == 200


def test_a_certificate_binds_a_services_token_and_proves_no_service(tmp_path: pathlib.Path) -> None:
    servers, clients = Authority("servers"), Authority("clients")
    own = servers.issue(tmp_path, "own", name="localhost")
    caller = clients.issue(tmp_path, "caller", name="caller")
    roots = clients.write(tmp_path / "clients.pem")
    flags = ("--certificate", str(own.chain), "--key", str(own.key), "--client-roots", str(roots))
    with asking(tmp_path, *flags) as there:
        there.there.tls = client_context(servers, caller)
        one = Serving(there, "echo", "echo__*", seed=57)
        form = {"grant_type": "client_credentials", **one.proven()}
        answer = there.post("/oauth/token", form)
        assert (answer.status, answer.json["token_type"]) == (200, "Bearer")
        token = answer.json["access_token"]
        assert claims_in(token)["cnf"].keys() == {"x5t#S256"}
        assert there.get("/v1/service", Authorization=f"Bearer {token}").status == 200
        alone = there.post("/oauth/token", {"grant_type": "client_credentials"})
        assert (alone.status, alone.json) == (401, {"error": "invalid_client"})
        there.there.tls = client_context(servers)
        assert there.get("/v1/service", Authorization=f"Bearer {token}").status == 401
