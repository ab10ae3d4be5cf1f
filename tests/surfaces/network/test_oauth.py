from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from taskbound.flows.token import resource_of
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.wire.jose.compact import decode_base64url, encode_base64url
from tests.house.tree import ROOT
from tests.proofs import CLIENT
from tests.surfaces.network.asking import BEARER, Asking, asking
from tests.surfaces.network.certificates import Authority, client_context
from tests.surfaces.network.holding import STRANGER
from tests.token_world import ISSUER, claims_in
from tests.wiring.running import AGENT, until

ACCESS = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """An agent whose task goes on for as long as these tests do."""
    with asking(tmp_path_factory.mktemp("oauth")) as one:
        yield one


def test_an_agent_gets_a_bound_token_of_its_task_that_a_stranger_can_verify_and_that_ends_with_it(
    tmp_path: Path,
) -> None:
    with asking(tmp_path) as one:
        form = one.form()
        answer = one.post("/oauth/token", form, DPoP=one.dpop())
        assert answer.status == 200, answer.body
        assert answer.headers["cache-control"] == "no-store"
        given = answer.json
        token = given.pop("access_token")
        assert 0 < given.pop("expires_in") <= 300
        (granted,) = given.pop("authorization_details")
        assert given == {"issued_token_type": ACCESS, "token_type": "DPoP", "scope": "task"}

        keys = one.get("/.well-known/jwks.json")
        assert keys.headers["content-type"] == "application/jwk-set+json"
        claims = jwt.decode(token, KeySet.import_key_set(keys.json), algorithms=["ES256"]).claims
        assert (claims["iss"], claims["aud"], claims["task"]) == (ISSUER, ISSUER, one.task)
        assert claims["cnf"] == {"jkt": CLIENT.jwk.thumbprint}
        assert claims["act"] == {"sub": "agent:helper"}
        assert granted == {**claims["authorization_details"][0], "heartbeat": 0, "grace": 0}

        target = f"/v1/tasks/{one.task}"
        assert one.shown(target, token).status == 403  # proven, and no person
        assert one.active(token)["active"] is True
        one.end()
        ended = one.shown(target, token)
        assert ended.status == 401
        assert 'error="invalid_token"' in ended.headers["www-authenticate"]
        assert one.active(token) == {"active": False}
        gone = one.post("/oauth/token", one.form(), DPoP=one.dpop())
        assert (gone.status, gone.json["error"]) == (400, "invalid_request")

        listed = claims["status"]["status_list"]
        found = one.get(listed["uri"].removeprefix(ISSUER))
        assert found.headers["content-type"] == "application/statuslist+jwt"
        raw = decode_base64url(claims_in(found.body.decode())["status_list"]["lst"])
        assert raw is not None
        bits = zlib.decompress(raw)
        assert bits[listed["idx"] // 4] >> listed["idx"] % 4 * 2 & 3 == 1
        for secret in (token, form["client_assertion"]):
            assert secret not in one.there.process.words
            assert secret not in one.process.words


def test_what_the_metadata_says_is_so(there: Asking) -> None:
    told = there.get("/.well-known/oauth-authorization-server").json
    assert told["issuer"] == ISSUER
    assert there.get("/.well-known/oauth-protected-resource").json["authorization_servers"] == [ISSUER]
    assert there.get(told["jwks_uri"].removeprefix(ISSUER)).status == 200
    for one in ("token", "introspection", "revocation"):
        path = told[f"{one}_endpoint"].removeprefix(ISSUER)
        assert there.post(path, {}).json["error"] == "invalid_client"
    assert set(told["grant_types_supported"]) == {
        there.form()["grant_type"],
        "authorization_code",
        "client_credentials",
        "refresh_token",
    }
    assert told["response_types_supported"] == ["code"]
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["authorization_response_iss_parameter_supported"] is True
    assert "none" in told["token_endpoint_auth_methods_supported"]
    assert "none" not in told["introspection_endpoint_auth_methods_supported"]
    page = there.get(told["authorization_endpoint"].removeprefix(ISSUER))
    assert (page.status, page.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert set(told["dpop_signing_alg_values_supported"]) == {"ES256"}


def test_a_status_list_that_is_none_is_not_found(there: Asking) -> None:
    for number in ("0", "1", "999999999999999"):
        answer = there.get(f"/oauth/status/{number}")
        assert (answer.status, answer.code) == (404, "unknown-status-list")
    for path in ("/oauth/status/01", "/oauth/status/-1", "/oauth/status/1x", "/oauth/status/"):
        assert there.get(path).status == 404
    assert there.post("/oauth/status/0", {}).status == 405


@pytest.mark.parametrize("grant", ["password", "implicit", "client_credentials", "device_code", ""])
def test_a156_no_other_grant_gives_a_token(there: Asking, grant: str) -> None:
    answer = there.post("/oauth/token", there.form(grant_type=grant), DPoP=there.dpop())
    named = "unsupported_grant_type" if grant else "invalid_request"
    if grant == "client_credentials":  # which is for services
        named = "unauthorized_client"
    assert (answer.status, answer.json["error"]) == (400, named)
    assert "location" not in answer.headers


def test_a139_nothing_is_taken_from_the_url_a_cookie_or_another_kind_of_body(there: Asking) -> None:
    form = there.form()
    cases = [
        there.post(f"/oauth/token?{urlencode(form)}", "", DPoP=there.dpop()),
        there.post("/oauth/token?x=1", form, DPoP=there.dpop()),
        there.post("/oauth/token", json.dumps(form), Content_Type="application/json", DPoP=there.dpop()),
        there.post("/oauth/token", form, Content_Type="multipart/form-data", DPoP=there.dpop()),
        there.post("/oauth/token", form, Content_Encoding="identity", DPoP=there.dpop()),
    ]
    for answer in cases:
        assert (answer.status, answer.json["error"]) == (400, "invalid_request"), answer.body
    cookie = there.post("/oauth/token", "", Cookie=urlencode(form).replace("&", "; "), DPoP=there.dpop())
    assert (cookie.status, cookie.json) == (401, {"error": "invalid_client"})
    assert there.get("/oauth/token").status == 405
    # None of them used the assertion up.
    assert there.post("/oauth/token", form, DPoP=there.dpop()).status == 200


def test_a_form_that_can_be_read_in_two_ways_is_refused(there: Asking) -> None:
    plain = urlencode(there.form())
    for more in (
        "&resource=https%3A%2F%2Fas.example",
        "&grant_type=password",
        "&x=1&x=1",
        "&=1",
        "&&",
        "&x=%zz",
        "&x=%ff",
        "&x=%00",
        "&x=a=b",
        "&x=\xe4",
        "&" + "&".join(f"x{number}=1" for number in range(33)),
    ):
        answer = there.post("/oauth/token", plain + more, DPoP=there.dpop())
        assert (answer.status, answer.json["error"]) == (400, "invalid_request"), more[:20]
    assert there.post("/oauth/token", plain + "&x=" + "a" * 65_536, DPoP=there.dpop()).status == 413
    assert there.post("/oauth/token", plain, DPoP=there.dpop()).status == 200


def test_a152_a_client_that_is_not_proven_in_exactly_one_way_is_none(there: Asking) -> None:
    used = there.assertion()
    assert there.post("/oauth/token", there.form(client_assertion=used), DPoP=there.dpop()).status == 200
    forms = {
        "used": there.form(client_assertion=used),
        "another audience": there.form(client_assertion=there.assertion(aud=f"{ISSUER}/oauth/token")),
        "no algorithm": there.form(client_assertion=there.assertion(header={"alg": "none"})),
        "too long a life": there.form(client_assertion=there.assertion(exp=2_000_000_000)),
        "another agent's name": there.form(client_assertion=there.assertion(iss="agent:x", sub="agent:x")),
        "another client_id": there.form(client_id="agent:other"),
        "a secret": there.form(client_secret="s"),
        "two ways": there.form(actor_token=there.assertion(), actor_token_type=JWT),
        "another type": there.form(client_assertion_type="urn:x"),
        "none": there.form(client_assertion="", client_assertion_type=""),
        "an actor of nobody's": there.form(
            client_assertion="",
            client_assertion_type="",
            actor_token=there.assertion(),
            actor_token_type=JWT,
        ),
        "another namespace": there.form(namespace="acme"),
    }
    for why, form in forms.items():
        answer = there.post("/oauth/token", form, DPoP=there.dpop())
        assert (answer.status, answer.json) == (401, {"error": "invalid_client"}), why
        assert answer.headers["www-authenticate"].startswith("DPoP "), why
    basic = there.post("/oauth/token", there.form(), DPoP=there.dpop(), Authorization="Basic aDpz")
    assert basic.status == 401
    assert there.post("/oauth/token", there.form(client_id="agent:helper"), DPoP=there.dpop()).status == 200


def test_a150_a_proof_of_another_request_or_of_before_binds_nothing(there: Asking) -> None:
    form = there.form()
    used = there.dpop()
    proofs = {
        "another method": there.dpop(htm="GET"),
        "another endpoint": there.dpop("/oauth/revoke"),
        "another host": there.dpop(htu="https://evil.example/oauth/token"),
        "of a token": there.dpop(ath="A" * 43),
        "old": there.dpop(iat=1_700_000_000),
        "no proof at all": "x",
    }
    for why, proof in proofs.items():
        answer = there.post("/oauth/token", form, DPoP=proof)
        assert (answer.status, answer.json["error"]) == (400, "invalid_dpop_proof"), why
    assert there.post("/oauth/token", form, DPoP=used).status == 200  # the assertion was not used up
    again = there.post("/oauth/token", there.form(), DPoP=used)
    assert (again.status, again.json["error"]) == (400, "invalid_dpop_proof")


def test_a151_no_token_without_a_key_for_another_resource_scope_task_or_holder(there: Asking) -> None:
    unbound = there.post("/oauth/token", there.form())
    assert (unbound.status, unbound.json["error"]) == (400, "invalid_request")
    token = there.token()
    for changes, error in (
        ({"scope": "task operations"}, "invalid_scope"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"subject_token": "tsk_none"}, "invalid_request"),
        ({"subject_token": token[:-4] + "AAAA", "subject_token_type": ACCESS}, "invalid_request"),
        ({"requested_token_type": "urn:x"}, "invalid_request"),
        ({"authorization_details": "[]", "subject_token": "", "subject_token_type": ""}, "invalid_request"),
    ):
        answer = there.post("/oauth/token", there.form(**changes), DPoP=there.dpop())
        assert (answer.status, answer.json["error"]) == (400, error), changes
    own = there.form(subject_token=token, subject_token_type=ACCESS)
    assert there.post("/oauth/token", own, DPoP=there.dpop()).status == 200


def test_a_token_is_for_the_gateway_of_its_own_agent_and_for_that_of_no_other(there: Asking) -> None:
    mine = resource_of(DEFAULT_GATEWAY, AGENT)
    token = there.token(resource=mine)
    assert claims_in(token)["aud"] == mine
    assert there.shown(f"/v1/tasks/{there.task}", token).status == 401  # it is not for the API
    for other in (resource_of(DEFAULT_GATEWAY, "other"), f"{mine}/", DEFAULT_GATEWAY):
        answer = there.post("/oauth/token", there.form(resource=other), DPoP=there.dpop())
        assert (answer.status, answer.json["error"]) == (400, "invalid_target"), other


def test_a_token_that_is_handed_on_becomes_one_of_a_child_task_and_ends_with_it(tmp_path: Path) -> None:
    with asking(tmp_path) as one:
        one.add_agent("other", tmp_path)
        one.save_template("part")
        details = json.dumps([{"type": "taskbound_task", "template": "part", "purpose": "the rest"}])
        stolen = {"subject_token_type": ACCESS, "authorization_details": details}
        for text in (one.token(), one.token(requested_actor="agent:third")):
            form = one.form(subject_token=text, **stolen, **one.proven("other"))
            refused = one.post("/oauth/token", form, DPoP=one.dpop(signer=STRANGER))
            assert (refused.status, refused.json["error"]) == (400, "invalid_request")
        asked = {
            "subject_token": one.token(requested_actor="agent:other"),
            "subject_token_type": ACCESS,
            "authorization_details": details,
            **one.proven("other"),
        }
        answer = one.post("/oauth/token", one.form(**asked), DPoP=one.dpop(signer=STRANGER))
        assert answer.status == 200, answer.body
        token = answer.json["access_token"]
        claims = claims_in(token)
        assert claims["act"] == {"sub": "agent:other", "act": {"sub": "agent:helper"}}
        assert claims["task"] != one.task
        assert one.shown(f"/v1/tasks/{one.task}", token, STRANGER).status == 403
        one.end()
        assert one.shown(f"/v1/tasks/{one.task}", token, STRANGER).status == 401


def test_a157_only_the_client_that_a_token_was_issued_to_is_told_of_it_and_gives_it_back(
    tmp_path: Path,
) -> None:
    with asking(tmp_path) as one:
        one.add_agent("other", tmp_path)
        token = one.token()
        assert one.active(token, "other") == {"active": False}
        foreign = one.post("/oauth/revoke", one.proven("other", token=token))
        assert (foreign.status, foreign.json["error"]) == (400, "invalid_request")
        forged = {"client_assertion_type": BEARER, "client_assertion": "not.a.token", "token": token}
        assert one.post("/oauth/revoke", forged).json == {"error": "invalid_client"}
        until(lambda: one.records("proof-refused") == 1, "the refusal has its one record")
        nobody = one.post("/oauth/revoke", {"token": token})
        assert (nobody.status, nobody.json) == (401, {"error": "invalid_client"})
        asked = one.post("/oauth/introspect", {"token": token})
        assert (asked.status, asked.json) == (401, {"error": "invalid_client"})
        found = one.active(token)
        assert (found["active"], found["token_type"], found["task"]) == (True, "DPoP", one.task)

        for unknown in ("nothing", token[:-4] + "AAAA"):
            assert one.post("/oauth/revoke", one.proven(token=unknown)).status == 200
            assert one.active(unknown) == {"active": False}
        assert one.active(token)["active"] is True
        given = one.post("/oauth/revoke", one.proven(token=token))
        assert (given.status, given.body) == (200, b"")
        assert one.active(token) == {"active": False}
        none = one.post("/oauth/revoke", one.proven())
        assert (none.status, none.json["error"]) == (400, "invalid_request")


def test_a_certificate_binds_a_token_and_proves_nobody_that_it_is_not_selected_for(tmp_path: Path) -> None:
    servers, clients = Authority("servers"), Authority("clients")
    own = servers.issue(tmp_path, "own", name="localhost")
    caller = clients.issue(tmp_path, "caller", name="caller")
    roots = clients.write(tmp_path / "clients.pem")
    flags = ("--certificate", str(own.chain), "--key", str(own.key), "--client-roots", str(roots))
    with asking(tmp_path, *flags) as one:
        one.there.tls = client_context(servers, caller)
        answer = one.post("/oauth/token", one.form())
        assert (answer.status, answer.json["token_type"]) == (200, "Bearer")
        token = answer.json["access_token"]
        thumbprint = encode_base64url(sha256(caller.der).digest())
        assert claims_in(token)["cnf"] == {"x5t#S256": thumbprint}
        target = f"/v1/tasks/{one.task}"
        assert one.get(target, Authorization=f"Bearer {token}").status == 403
        alone = one.post("/oauth/token", one.form(client_assertion="", client_assertion_type=""))
        assert (alone.status, alone.json) == (401, {"error": "invalid_client"})
        one.there.tls = client_context(servers)
        assert one.get(target, Authorization=f"Bearer {token}").status == 401


def test_a_token_shown_with_another_key_is_nobodys(there: Asking) -> None:
    token = there.token()
    target = f"/v1/tasks/{there.task}"
    other = there.dpop(target, "GET", token, signer=STRANGER)
    assert there.get(target, Authorization=f"DPoP {token}", DPoP=other).status == 401
    assert there.shown(target, token).status == 403


def test_the_guides_request_is_answered_as_the_guide_says(there: Asking) -> None:
    page = (ROOT / "docs/guides/task-tokens.md").read_text(encoding="utf-8")
    asked, answered = (page.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("http", "json"))
    head, _, form = asked.partition("\n\n")
    assert head.splitlines()[0] == "POST /oauth/token HTTP/1.1"
    told = dict(part.partition("=")[::2] for part in form.replace("\n", "").split("&"))
    assert told["subject_token"] == "tsk_…"
    assert told["client_assertion"] == "eyJ…"
    told |= {"subject_token": there.task, "client_assertion": there.assertion()}
    answer = there.post("/oauth/token", told, DPoP=there.dpop())
    said = json.loads(answered)
    assert (answer.status, answer.json.keys()) == (200, said.keys())
    for name in ("issued_token_type", "token_type", "scope"):
        assert answer.json[name] == said[name]
