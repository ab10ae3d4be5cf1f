"""Codes and refresh tokens at the token endpoint (G8: A146, A149, A152)."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import pytest

from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.task import TaskEvent
from taskbound.flows.token import add_client
from taskbound.surfaces.api.auth.client import ClientGrants
from tests.client_world import CALLBACK, RESOURCE, VERIFIER, Desk
from tests.proofs import CLIENT, proof
from tests.surfaces.network.holding import HOST, STRANGER, Holding
from tests.surfaces.network.serving import Answer
from tests.surfaces.network.test_tokens import the_task
from tests.token_world import ISSUER, claims_in
from tests.tokens import Signer
from tests.world import ANN


class Shop:
    """A client that people use, before a real API."""

    def __init__(self, one: Holding) -> None:
        self.one = one
        adapters = one.world.adapters
        one.place.daemon.network.grants = ClientGrants(adapters, one.tokens.tokens)  # it has a signer
        add_client(adapters, "default", "desk", shown="Desk", redirects=(CALLBACK,), actor=ANN, owns=True)
        self.desk = Desk(one.world, the_task(one))
        self._proofs = 0

    def post(self, form: dict[str, str], **headers: str) -> Answer:
        told = {"Host": HOST, "Content_Type": "application/x-www-form-urlencoded", **headers}
        body = urlencode({name: value for name, value in form.items() if value}).encode()
        return self.one.there.ask("POST", "/oauth/token", body, **told)

    def form(self) -> dict[str, str]:
        return {
            "grant_type": "authorization_code",
            "client_id": "desk",
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "code": self.desk.code(),
        }

    def by_code(self, key: Signer | None = None) -> Answer:
        return self.post(self.form(), DPoP=self.proof(key))

    def by_refresh(self, refresh: str, key: Signer | None = None) -> Answer:
        plain = {"grant_type": "refresh_token", "client_id": "desk", "refresh_token": refresh}
        return self.post(plain, DPoP=self.proof(key))

    def give_back(self, token: str, **more: str) -> Answer:
        told = {"Host": HOST, "Content_Type": "application/x-www-form-urlencoded"}
        body = urlencode({"token": token, "client_id": "desk", **more}).encode()
        return self.one.there.ask("POST", "/oauth/revoke", body, **told)

    def proof(self, key: Signer | None) -> str:
        if key is None:
            return ""
        self._proofs += 1
        now = self.one.world.clock.now() // 1_000_000
        return proof(key, jti=f"shop-{self._proofs}", htm="POST", htu=f"{ISSUER}/oauth/token", iat=now)


def test_a_code_gives_a_token_and_what_brings_the_next_one(one: Holding) -> None:
    shop = Shop(one)
    given = shop.by_code()
    assert given.status == 200, given.body
    assert given.headers["cache-control"] == "no-store"
    told: dict[str, Any] = given.json
    assert told.keys() == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    claims = claims_in(told["access_token"])
    assert (claims["aud"], claims["task"]) == (RESOURCE, shop.desk.task.id)
    assert (told["token_type"], told["scope"]) == ("Bearer", "task")
    after = shop.by_refresh(told["refresh_token"])
    assert after.status == 200, after.body
    again = shop.by_refresh(told["refresh_token"])
    assert (again.status, again.json["error"]) == (400, "invalid_grant")
    ended = shop.by_refresh(after.json["refresh_token"])
    assert (ended.status, ended.json["error"]) == (400, "invalid_grant")
    for secret in (told["access_token"], told["refresh_token"]):
        assert secret not in one.there.process.words


def test_a_client_with_a_key_gets_tokens_of_that_key_alone(one: Holding) -> None:
    shop = Shop(one)
    given = shop.by_code(CLIENT).json
    assert given["token_type"] == "DPoP"
    assert claims_in(given["access_token"])["cnf"] == {"jkt": CLIENT.jwk.thumbprint}
    other = shop.by_refresh(given["refresh_token"], STRANGER)
    assert (other.status, other.json["error"]) == (400, "invalid_grant")


def test_a_certificate_binds_nothing_that_a_client_gets_which_nothing_proves(one: Holding) -> None:
    shop = Shop(one)
    form = shop.form()
    shown = Binding(kind=BindingKind.MTLS, thumbprint="c" * 43)
    given = asyncio.run(one.place.daemon.network.grants.give("default", form, shown))
    assert (given.token_type, "cnf" in claims_in(given.access_token)) == ("Bearer", False)
    assert shop.by_refresh(given.refresh_token).status == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"code_verifier": "w" * 43}, 400, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1/other"}, 400, "invalid_grant"),
        ({"resource": "https://gate.example/mcp/other"}, 400, "invalid_grant"),
        ({"code": "x"}, 400, "invalid_grant"),
        ({"code_verifier": ""}, 400, "invalid_request"),
        ({"client_id": ""}, 400, "invalid_request"),
        ({"client_secret": "s"}, 401, "invalid_client"),
        ({"client_assertion": "x.y.z"}, 401, "invalid_client"),
        ({"namespace": "acme"}, 401, "invalid_client"),
    ],
)
def test_a146_a152_a_code_that_is_not_brought_as_it_was_asked_for_gives_nothing(
    one: Holding, changes: dict[str, str], status: int, error: str
) -> None:
    shop = Shop(one)
    answer = shop.post(shop.form() | changes)
    assert (answer.status, answer.json["error"]) == (status, error), answer.body


def test_a149_the_end_of_a_task_is_the_end_of_what_was_let_in_to_it(one: Holding) -> None:
    shop = Shop(one)
    refresh = shop.by_code().json["refresh_token"]
    one.world.tasks.end("default", shop.desk.task.id, TaskEvent.CANCEL, ANN, reason="done")
    answer = shop.by_refresh(refresh)
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")


def test_a_client_gives_back_what_it_has_and_its_admission_or_its_token_ends(one: Holding) -> None:
    shop = Shop(one)
    given, other = shop.by_code(CLIENT).json, shop.by_code().json
    person = one.person()
    assert shop.give_back(given["access_token"]).status == 200
    jti = claims_in(given["access_token"])["jti"]
    (row,) = [each for each in one.tokens.rows() if each.id == jti]
    assert row.revoked
    assert shop.by_refresh(given["refresh_token"], CLIENT).status == 200
    answer = shop.give_back(given["refresh_token"], token_type_hint="access_token")
    assert (answer.status, answer.body) == (200, b"")
    assert shop.by_refresh(other["refresh_token"]).status == 200
    listed = one.ask("GET", "/v1/admissions", person).json["rows"]
    assert [each["state"] for each in listed] == ["stands", "ended"]
    (told,) = one.world.events("admission-ended")
    assert told["by"] == "client:desk"
    # Nothing of ours is nothing to give back, and nobody is told so (RFC 7009 §2.2).
    for text in ("x" * 43, "x.y.z", person[:-4]):
        assert shop.give_back(text).status == 200
    foreign = shop.give_back(person)
    assert (foreign.status, foreign.json["error"]) == (400, "invalid_request")
    assert one.ask("GET", "/v1/status", person).status == 200
    for more in ({"client_id": ""}, {"client_secret": "s"}, {"client_assertion": "x.y.z"}):
        assert shop.give_back(other["refresh_token"], **more).status == 401
    logged = one.there.process.words + str(one.world.records())
    for secret in (given["refresh_token"], other["refresh_token"], given["access_token"]):
        assert secret not in logged


def test_admissions_are_listed_page_by_page_and_ended_by_who_may(one: Holding) -> None:
    shop = Shop(one)
    refresh = [shop.by_code().json["refresh_token"] for _ in range(3)][-1]
    token = one.person()
    first = one.ask("GET", "/v1/admissions?limit=2&client=desk", token).json
    rest = one.ask("GET", f"/v1/admissions?limit=2&client=desk&cursor={first['next']}", token).json
    assert (len(first["rows"]), len(rest["rows"]), "next" in rest) == (2, 1, False)
    newest = first["rows"][0]["admission"]
    ended = one.ask("POST", f"/v1/admissions/{newest}/end", token, b'{"why":"lost"}')
    assert ended.status == 200, ended.body
    assert shop.by_refresh(refresh).json["error"] == "invalid_grant"
    assert one.ask("POST", "/v1/admissions/adm_none/end", token, b"{}").status == 404
    tokens = one.ask("GET", "/v1/tokens?limit=2", token).json
    assert one.ask("GET", f"/v1/tokens?limit=2&cursor={tokens['next']}", token).status == 200
