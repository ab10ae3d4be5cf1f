"""Tokens in the name of a task's person for its agent (RFC 8693), details, and endpoints that are found."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from taskbound.adapters.targets.oauth import OauthTarget
from taskbound.core.clock import Instant, seconds
from taskbound.core.target import BadKindError, BadTargetError, OauthKind, OauthPlace
from taskbound.core.target.oauth import details_of, is_given
from taskbound.core.tool.oauth.token import ACCESS_TOKEN, EXCHANGE, AssertionParties
from taskbound.ports.target import (
    Gone,
    MintOrder,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from tests.peers.answering import Answering, Asked, Said, answering
from tests.peers.authorizing import CLIENT, client_of, speaking, where_at
from tests.peers.provider import ProviderPeer, provider

PATIENCE = 10.0
LATEST = Instant(seconds(2**31))
RESOURCE = "https://api.example/orders"
OURS = "https://taskbound.example"
WHOM = AssertionParties(subject="person:alice", actor="agent:helper", task="tsk_one")
DETAILS = details_of([{"type": "orders", "tenant": "{tenant}", "actions": ["read"]}])
KIND = OauthKind(resource=RESOURCE, scopes=("orders:{tenant}:read",), details=DETAILS)
ORDER = MintOrder(name="tb_unused", ends=LATEST, context={"tenant": "red"}, whom=WHOM)
TOKEN = "an-access-token-of-somebody"
SCOPE = "orders:red:read"


@dataclass(frozen=True)
class Key:
    """The client's."""

    text: str
    public: Mapping[str, Any]


@pytest.fixture(scope="module")
def key() -> Key:
    made = ECKey.generate_key("P-256", {"kid": "one", "use": "sig", "alg": "ES256"})
    return Key(json.dumps(made.as_dict(private=True)), {"keys": [made.as_dict(private=False)]})


@pytest.fixture(scope="module")
def there(key: Key) -> Iterator[ProviderPeer]:
    asked = client_of(
        "private_key_jwt",
        jwks=key.public,
        grant_types=["client_credentials", EXCHANGE],
        authorization_details_types=["orders"],
    )
    del asked["client_secret"]
    states = {"issuer": OURS, "keys": key.public}
    with provider(client=asked, resources=[RESOURCE], scopes=f"{SCOPE} other", states=states) as found:
        yield found


def declared(base: str, **changes: Any) -> dict[str, Any]:
    mine = {"method": "private_key_jwt", "issuer": base, "subject_issuer": OURS}
    return where_at(base, **{**mine, **changes})


def at(base: str, key: Key, **changes: Any) -> OauthTarget:
    return speaking(OauthPlace(**declared(base, **changes)), key.text)


def found_at(base: str, key: Key, **more: Any) -> OauthTarget:
    """One whose endpoints the issuer says."""
    place = OauthPlace(client=CLIENT, method="private_key_jwt", issuer=base, lasts=600, **more)
    return speaking(place, key.text)


def test_a_token_is_the_person_s_for_its_agent_for_what_the_kind_says_and_is_seen_to_be_over(
    there: ProviderPeer, key: Key
) -> None:
    target = at(there.base, key)
    minted = target.mint(ORDER, KIND, patience=PATIENCE)
    target.use(minted, patience=PATIENCE)
    (token,) = minted.secret.values()
    stored = there.stored[f"ClientCredentials:{token}"]
    assert stored["extra"] == {"sub": "person:alice", "act": {"sub": "agent:helper"}}
    assert (stored["scope"], stored["aud"]) == (SCOPE, RESOURCE)
    assert stored["rar"] == [{"type": "orders", "tenant": "red", "actions": ["read"]}]
    assert target.end_kept(minted.kept, ends=LATEST, patience=PATIENCE) == Gone(cut=0)
    assert there.tokens() == {}


def test_a_canary_is_nobody_s_that_has_a_name(there: ProviderPeer, key: Key) -> None:
    order = MintOrder(name="tb_unused", ends=LATEST, context={"tenant": "red"})
    target = at(there.base, key)
    minted = target.mint(order, KIND, patience=PATIENCE)
    (one,) = (one for name, one in there.stored.items() if name.startswith("ClientCredentials:"))
    assert one["extra"]["sub"] == one["extra"]["act"]["sub"] == "taskbound-canary"
    target.end_kept(minted.kept, ends=LATEST, patience=PATIENCE)


def test_who_is_not_known_to_state_subjects_is_given_nothing(there: ProviderPeer, key: Key) -> None:
    with pytest.raises(TargetRefusedError, match="invalid_request"):
        at(there.base, key, subject_issuer="https://other.example").mint(ORDER, KIND, patience=PATIENCE)
    wide = OauthKind(resource=RESOURCE, scopes=("admin",))
    with pytest.raises(TargetRefusedError, match="invalid_scope"):
        at(there.base, key).mint(ORDER, wide, patience=PATIENCE)
    assert there.tokens() == {}


def test_details_are_given_for_client_credentials_too(there: ProviderPeer, key: Key) -> None:
    target = at(there.base, key, subject_issuer=None)
    minted = target.mint(ORDER, KIND, patience=PATIENCE)
    (token,) = minted.secret.values()
    assert there.stored[f"ClientCredentials:{token}"]["rar"][0]["tenant"] == "red"
    assert target.end_kept(minted.kept, ends=LATEST, patience=PATIENCE) == Gone(cut=0)
    other = OauthKind(resource=RESOURCE, details=details_of([{"type": "payments"}]))
    with pytest.raises(TargetRefusedError, match="invalid_authorization_details"):
        target.mint(ORDER, other, patience=PATIENCE)


def test_the_issuer_says_its_endpoints_and_all_is_asked_there(there: ProviderPeer, key: Key) -> None:
    target = found_at(there.base, key, subject_issuer=OURS)
    minted = target.mint(ORDER, KIND, patience=PATIENCE)
    later = found_at(there.base, key, subject_issuer=OURS)  # a broker that was started anew
    assert later.end_kept(minted.kept, ends=LATEST, patience=PATIENCE) == Gone(cut=0)
    assert there.tokens() == {}


# --- servers that lie ----------------------------------------------------------------------------


def given(**changes: Any) -> Said:
    body = {
        "access_token": TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
        "issued_token_type": ACCESS_TOKEN,
        "scope": SCOPE,
        "authorization_details": [{"type": "orders", "tenant": "red", "actions": ["read"]}],
        **changes,
    }
    return Said(200, {name: one for name, one in body.items() if one is not None})


def about(**changes: Any) -> Said:
    body = {"active": True, "sub": "person:alice", "act": {"sub": "agent:helper"}, "scope": SCOPE, **changes}
    return Said(200, {name: one for name, one in body.items() if one is not None})


def lying(token: Said, introspection: Said) -> Any:
    said = {"/token": token, "/token/introspection": introspection, "/token/revocation": Said(200)}
    return answering(lambda asked: said.get(asked.path, Said(404, {})))


def given_back(there: Answering) -> set[str]:
    back = [one for one in there.asked if one.path == "/token/revocation"]
    return {parse_qs(one.body.decode())["token"][0] for one in back}


@pytest.mark.parametrize(
    ("token", "introspection"),
    [
        (given(issued_token_type=None), about()),
        (given(issued_token_type="urn:ietf:params:oauth:token-type:refresh_token"), about()),
        (given(issued_token_type="urn:ietf:params:oauth:token-type:jwt"), about()),
        (given(token_type="N_A"), about()),
        (given(scope=None), about()),
        (given(scope=f"{SCOPE} admin"), about()),
        (given(expires_in=601), about()),
        (given(), about(active=False)),
        (given(), about(active="true")),
        (given(), about(sub="person:mallory")),
        (given(), about(sub=None)),
        (given(), about(act=None)),
        (given(), about(act={"sub": "agent:other"})),
        (given(), about(act={"sub": "agent:other", "act": {"sub": "agent:helper"}})),
        (given(), about(act="agent:helper")),
        (given(), about(scope=f"{SCOPE} admin")),
        (given(), about(scope=["admin"])),
        (given(), about(aud=[RESOURCE, "https://api.example/payments"])),
        (given(), about(aud="https://api.example/payments")),
        (given(), about(aud={"https://api.example/payments": True})),
        (given(), about(aud=[[RESOURCE]])),
        (given(), about(aud="")),
        (given(), about(client_id="another-client")),
        (given(), about(client_id=[CLIENT])),
        (given(), Said(503, {})),
        (given(authorization_details=None), about()),
        (given(authorization_details=[]), about()),
        (given(authorization_details=[{"type": "orders", "tenant": "blue", "actions": ["read"]}]), about()),
        (given(authorization_details=[{"type": "orders", "tenant": "red"}]), about()),
        (given(authorization_details=[{"type": "orders"}, {"type": "admin"}]), about()),
        (given(authorization_details="all"), about()),
    ],
)
def test_what_is_another_s_or_wider_or_says_nothing_is_given_back_and_handed_to_nobody(
    key: Key, token: Said, introspection: Said
) -> None:
    with lying(token, introspection) as there:
        with pytest.raises((TargetRefusedError, TargetUnavailableError)) as caught:
            at(there.base, key).mint(ORDER, KIND, patience=PATIENCE)
        assert given_back(there) == {TOKEN}
    assert TOKEN not in repr(caught.value)


@pytest.mark.parametrize(
    "more", [{}, {"client_id": CLIENT, "aud": RESOURCE}, {"aud": ["orders", RESOURCE]}, {"aud": []}]
)
def test_a_server_that_says_it_all_as_it_was_asked_is_believed(key: Key, more: dict[str, Any]) -> None:
    kind = OauthKind(resource=RESOURCE, scopes=KIND.scopes, details=DETAILS, audience="orders")
    with lying(given(), about(**more)) as there:
        assert at(there.base, key).mint(ORDER, kind, patience=PATIENCE).secret == {
            "OAUTH_ACCESS_TOKEN": TOKEN
        }


def test_details_that_nobody_asked_for_are_refused(key: Key) -> None:
    with lying(given(), about()) as there:
        kind = OauthKind(resource=RESOURCE, scopes=KIND.scopes)
        with pytest.raises(TargetRefusedError, match="other authorization details"):
            at(there.base, key).mint(ORDER, kind, patience=PATIENCE)
        assert given_back(there) == {TOKEN}


@pytest.mark.parametrize("name", ["subject_token", "actor_token", "client_assertion"])
def test_what_was_sent_is_not_handed_out_as_a_token(key: Key, name: str) -> None:
    def echo(asked: Asked) -> Said:
        if asked.path == "/token":
            return given(access_token=parse_qs(asked.body.decode())[name][0])
        return about() if asked.path == "/token/introspection" else Said(200)

    with answering(echo) as there, pytest.raises(TargetUnavailableError, match="what was sent"):
        at(there.base, key).mint(ORDER, KIND, patience=PATIENCE)


def test_a_question_that_finds_nobody_after_the_token_was_given_is_no_word_that_none_was(key: Key) -> None:
    body = json.dumps(given().body).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    listening = socket.create_server(("127.0.0.1", 0))

    def once() -> None:
        one, _ = listening.accept()
        listening.close()
        with one:
            one.recv(1 << 16)
            one.sendall(head + body)

    serving = threading.Thread(target=once, daemon=True)
    serving.start()
    target = at(f"http://127.0.0.1:{listening.getsockname()[1]}", key)
    with pytest.raises(TargetUnavailableError) as caught:
        target.mint(ORDER, KIND, patience=PATIENCE)
    serving.join()
    assert not isinstance(caught.value, TargetUnreachedError)  # which says that nothing was sent


def test_statements_are_signed_for_the_issuer_of_the_task_s_own_and_no_two_are_alike(key: Key) -> None:
    with lying(given(), about()) as there:
        for _ in range(2):
            at(there.base, key).mint(ORDER, KIND, patience=PATIENCE)
        asked = [parse_qs(one.body.decode()) for one in there.asked if one.path == "/token"]
    public = ECKey.import_key(dict(key.public["keys"][0]))
    said = [
        jwt.decode(one[f"{name}_token"][0], public, algorithms=["ES256"]).claims
        for one in asked
        for name in ("subject", "actor")
    ]
    assert len({one["jti"] for one in said}) == 4
    assert {(one["iss"], one["aud"], one["exp"] - one["iat"]) for one in said} == {(OURS, there.base, 60)}
    assert [one["sub"] for one in said[:2]] == ["person:alice", "agent:helper"]
    assert [one.get("may_act") for one in said[:2]] == [{"sub": "agent:helper"}, None]
    assert {one["task"] for one in said} == {"tsk_one"}


def metadata(base: str, **changes: Any) -> dict[str, Any]:
    whole = {
        "issuer": base,
        "token_endpoint": f"{base}/token",
        "revocation_endpoint": f"{base}/token/revocation",
        "introspection_endpoint": f"{base}/token/introspection",
        **changes,
    }
    return {name: one for name, one in whole.items() if one is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://other.example"},
        {"issuer": None},
        {"token_endpoint": "https://other.example/token"},
        {"token_endpoint": None},
        {"token_endpoint": ["x"]},
        {"revocation_endpoint": "http://127.0.0.1:9/token/revocation"},
        {"introspection_endpoint": "https://other.example/introspect"},
        {"revocation_endpoint": None},
        {"introspection_endpoint": None},
        {"introspection_endpoint": 7},
        {"grant_types_supported": ["authorization_code"]},
        {"token_endpoint_auth_methods_supported": ["client_secret_basic"]},
    ],
)
def test_an_issuer_that_says_another_or_names_places_elsewhere_is_sent_nothing(
    key: Key, changes: dict[str, Any]
) -> None:
    with answering(lambda _: Said(200, metadata(liar.base, **changes))) as liar:
        with pytest.raises(TargetRefusedError):
            found_at(liar.base, key).mint(ORDER, KIND, patience=PATIENCE)
        assert {one.verb for one in liar.asked} == {"GET"}


def test_metadata_that_is_elsewhere_is_not_followed(key: Key) -> None:
    with (
        answering(lambda _: Said(200, metadata(liar.base))) as other,
        answering(lambda _: Said(302, {}, {"Location": f"{other.base}/"})) as liar,
    ):
        with pytest.raises((TargetRefusedError, TargetUnavailableError)):
            found_at(liar.base, key).mint(ORDER, KIND, patience=PATIENCE)
        assert other.asked == []


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": None},
        {"introspection": None},
        {"method": "client_secret_basic"},
        {"subject_issuer": CLIENT},
        {"subject_issuer": "http://plain.example"},
        {"token": None},
    ],
)
def test_who_states_subjects_has_a_key_an_issuer_and_can_ask(changes: dict[str, Any]) -> None:
    whole = {**declared("https://id.example"), **changes}
    with pytest.raises(BadTargetError):
        OauthPlace(**{name: one for name, one in whole.items() if one is not None})
    with pytest.raises(BadTargetError):
        OauthPlace(**declared("https://taskbound.example"))  # the server itself


@pytest.mark.parametrize(
    "values",
    [
        ["orders"],
        [{"tenant": "x"}],
        [{"type": ""}],
        [{"type": "{tenant}"}],
        [{"type": "orders", "{tenant}": "x"}],
        [{"type": "orders", "tenant": "{Tenant}"}],
        [{"type": "orders"}] * 17,
        [{"type": "orders", "text": "x" * 9_000}],
    ],
)
def test_details_have_a_type_and_places_in_texts_alone(values: list[Any]) -> None:
    with pytest.raises(BadKindError):
        OauthKind(resource=RESOURCE, details=details_of(values))


def test_what_is_put_in_details_stays_in_its_text() -> None:
    assert KIND.parameters == ("tenant",)
    assert json.loads(KIND.asked_details({"tenant": "red"}))[0]["tenant"] == "red"
    for value in ('red","actions":["write"]', "{tenant}", "red blue", ""):
        with pytest.raises(BadKindError):
            KIND.asked_details({"tenant": value})
    first, second = '{"a":1,"type":"x"}', '{"type":"y"}'
    assert is_given(f"[{first},{second}]", f"[{second},{first}]")
    assert not is_given(f"[{first}]", f"[{first},{first}]")
    assert (is_given("", ""), is_given("", "[]"), is_given("", '"x"')) == (True, True, False)
