from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.core.tool import BadSlotError, ServerIdentity, parse_slot
from taskbound.core.tool.identity import Remote
from taskbound.core.tool.oauth.client import (
    BadClientError,
    BadMetadataError,
    OAuthClient,
    OtherIssuerError,
    hidden_in,
)
from taskbound.core.tool.oauth.token import (
    DEFAULT_LIFE,
    parse_metadata,
    parse_token,
    places_of_issuer,
    places_of_resource,
    require_issuer,
    tokens_in,
)
from taskbound.core.tool.slot import KEY_SLOT, SECRET_SLOT, Leaks

ISSUER = "https://login.example.com"
SERVER = Remote(url="https://mcp.example.com/crm", era="2025-11-25")
CLIENT = OAuthClient(
    client="us",
    token=f"{ISSUER}/token",
    method="client_secret_basic",
    resource=SERVER.url,
    issuer=ISSUER,
    revocation=f"{ISSUER}/revoke",
    scopes=("read", "write"),
)
JSON = b"application/json"
TOKEN = "a-token-of-ours"


def identity(client: OAuthClient | None = CLIENT, **more: Any) -> ServerIdentity:
    slots = (client.slot,) if client is not None else ()
    given = {"namespace": "default", "remote": SERVER, "slots": slots, "oauth": client}
    return ServerIdentity(**{**given, **more})


# --- the client ---------------------------------------------------------------------------------


def test_all_that_says_who_is_asked_for_what_is_in_the_digest() -> None:
    others = [
        replace(CLIENT, client="them"),
        replace(CLIENT, token=f"{ISSUER}/token2"),
        replace(CLIENT, method="client_secret_post"),
        replace(CLIENT, method="private_key_jwt"),
        replace(CLIENT, resource="https://mcp.example.com/other"),
        replace(CLIENT, issuer=""),
        replace(CLIENT, revocation=""),
        replace(CLIENT, scopes=("read",)),
    ]
    digests = {identity(one).digest for one in (CLIENT, None, *others)}
    assert len(digests) == len(others) + 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client", ""),
        ("client", "a\nb"),
        ("client", "ghp_0123456789abcdefghij"),
        ("method", "none"),
        ("scopes", ("write", "read")),
        ("scopes", ("read", "read")),
        ("scopes", ("a b",)),
        ("scopes", ('a"',)),
        ("scopes", tuple(f"s{number:02}" for number in range(65))),
        ("resource", "https://mcp.example.com/crm#part"),
        ("resource", "crm"),
        ("token", "http://login.example.com/token"),
        ("token", "https://login.example.com/token?tenant=1"),
        ("token", "https://us:secret@login.example.com/token"),
        ("token", "https://LOGIN.example.com/token"),
        ("token", "ftp://login.example.com/token"),
        ("revocation", "https://other.example.com/revoke"),
        ("revocation", "https://login.example.com:8443/revoke"),
        ("issuer", "https://other.example.com"),
        ("issuer", "http://login.example.com"),
    ],
)
def test_a_client_that_could_be_read_in_two_ways_or_asked_elsewhere_is_none(name: str, value: Any) -> None:
    with pytest.raises(BadClientError):
        replace(CLIENT, **{name: value})


def test_a_client_goes_with_the_slot_of_its_method_and_the_header_of_tokens_is_taken() -> None:
    for slots in ((), (KEY_SLOT,), (KEY_SLOT, SECRET_SLOT)):
        with pytest.raises(BadSlotError):
            identity(slots=tuple(sorted(slots, key=lambda one: one.text)))
    with pytest.raises(BadSlotError):
        identity(None, slots=(SECRET_SLOT,))
    with pytest.raises(BadSlotError, match="taken"):
        identity(slots=(parse_slot("header:authorization"), SECRET_SLOT))
    assert identity(None, slots=(parse_slot("header:authorization"),)).digest


def test_an_endpoint_of_this_machine_may_be_without_tls() -> None:
    there = "http://127.0.0.1:8080"
    assert replace(CLIENT, token=f"{there}/token", revocation="", issuer=there).audience == there


def test_each_secret_part_of_a_key_and_each_way_a_secret_is_sent_is_looked_for() -> None:
    secret = "hunter2 /+ü:hunter"
    leaks = Leaks(hidden_in(SECRET_SLOT, secret))
    assert leaks.found_in("hunter2+%2F%2B%C3%BC%3Ahunter")
    key = {"kty": "RSA", "n": "public-modulus", "d": "private-exponent", "p": "first-prime"}
    leaks = Leaks(hidden_in(KEY_SLOT, json.dumps(key)))
    assert [leaks.found_in(f"x {one} y") for one in key.values()] == [False, False, True, True]
    assert hidden_in(KEY_SLOT, "no-json-at-all") == {"no-json-at-all"}
    assert hidden_in(KEY_SLOT, '"no-object"') == {'"no-object"'}


# --- what a token endpoint answers --------------------------------------------------------------


def answer(**changes: Any) -> bytes:
    value = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 60, **changes}
    return json.dumps({name: one for name, one in value.items() if one is not None}).encode()


def code(status: int, body: bytes, kind: bytes = JSON, asked: tuple[str, ...] = ("read", "write")) -> str:
    try:
        parse_token(status, kind, body, asked=asked)
    except TaskboundError as error:
        return "said" if TOKEN in error.message + error.advice else error.code
    return "ok"


def test_a_token_is_taken_with_its_life_and_what_it_is_for() -> None:
    found = parse_token(200, JSON, answer(), asked=("write", "read"))
    assert (found.value, found.seconds, found.scopes) == (TOKEN, 60, ("read", "write"))
    assert TOKEN not in repr(found)
    lax = parse_token(
        200, JSON, answer(token_type="bEARER", scope="read", expires_in=None), asked=("read", "x")
    )
    assert (lax.seconds, lax.scopes) == (DEFAULT_LIFE, ("read",))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"access_token": None}, "bad-token"),
        ({"access_token": 7}, "bad-token"),
        ({"access_token": "short"}, "bad-token"),
        ({"access_token": "a-token\r\nX-Admin: yes"}, "bad-token"),
        ({"access_token": "a token of ours"}, "bad-token"),
        ({"access_token": "a-tokén-of-ours"}, "bad-token"),
        ({"access_token": "a" * 8_193}, "bad-token"),
        ({"token_type": None}, "bad-token"),
        ({"token_type": "DPoP"}, "bad-token"),
        ({"token_type": "mac"}, "bad-token"),
        ({"expires_in": 0}, "bad-token"),
        ({"expires_in": -1}, "bad-token"),
        ({"expires_in": 10**18}, "bad-token"),
        ({"expires_in": 31_536_001}, "bad-token"),
        ({"expires_in": 1.5}, "bad-token"),
        ({"expires_in": True}, "bad-token"),
        ({"expires_in": "3600"}, "bad-token"),
        ({"expires_in": float("nan")}, "bad-token"),
        ({"refresh_token": "another-credential"}, "bad-token"),
        ({"scope": ["read"]}, "bad-token"),
        ({"scope": "read write admin"}, "token-too-wide"),
        ({"scope": "read"}, "ok"),
        ({"scope": ""}, "ok"),
        ({"id_token": "x", "more": [1]}, "ok"),
    ],
)
def test_what_is_no_token_that_can_be_used_has_a_name(changes: dict[str, Any], expected: str) -> None:
    assert code(200, answer(**changes)) == expected


def test_without_scopes_asked_for_any_scope_is_too_wide() -> None:
    assert code(200, answer(scope="profile"), asked=()) == "token-too-wide"
    assert code(200, answer(), asked=()) == "ok"


@pytest.mark.parametrize(
    ("status", "body", "kind", "expected"),
    [
        (200, b"<html>", b"text/html", "bad-token"),
        (200, answer(), b"text/html", "bad-token"),
        (200, answer(), b"", "bad-token"),
        (200, b"[]", JSON, "bad-token"),
        (200, answer()[:-1] + b',"access_token":"another-token"}', JSON, "bad-token"),
        (200, b"\xff", JSON, "bad-token"),
        (201, answer(), JSON, "bad-token"),
        (302, b"", b"", "bad-token"),
        (400, b'{"error":"invalid_client","error_description":"a-token-of-ours"}', JSON, "token-refused"),
        (401, b'{"error":"a-token-of-ours"}', JSON, "token-refused"),
        (400, b'{"error":"temporarily_unavailable"}', JSON, "no-token"),
        (403, b"<html>", b"text/html", "bad-token"),
        (429, b"", b"", "no-token"),
        (503, b'{"error":"invalid_client"}', JSON, "no-token"),
    ],
)
def test_an_answer_that_is_no_token_has_a_name_and_is_not_quoted(
    status: int, body: bytes, kind: bytes, expected: str
) -> None:
    assert code(status, body, kind) == expected


def test_what_is_refused_is_still_given_back() -> None:
    assert tokens_in(JSON, answer(refresh_token="another-one")) == ("another-one", TOKEN)
    assert tokens_in(b"text/html", answer()) == tokens_in(JSON, answer(access_token=7)) == ()


# --- what an issuer and a server say of themselves ----------------------------------------------


def metadata(**changes: Any) -> bytes:
    value = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token", "revocation_endpoint": f"{ISSUER}/revoke"}
    return json.dumps({name: one for name, one in {**value, **changes}.items() if one is not None}).encode()


def test_metadata_is_looked_for_where_mcp_says() -> None:
    assert places_of_issuer(ISSUER) == (
        f"{ISSUER}/.well-known/oauth-authorization-server",
        f"{ISSUER}/.well-known/openid-configuration",
    )
    assert places_of_issuer(f"{ISSUER}/tenant") == (
        f"{ISSUER}/.well-known/oauth-authorization-server/tenant",
        f"{ISSUER}/.well-known/openid-configuration/tenant",
        f"{ISSUER}/tenant/.well-known/openid-configuration",
    )
    assert places_of_resource(SERVER) == (
        "https://mcp.example.com/.well-known/oauth-protected-resource/crm",
        "https://mcp.example.com/.well-known/oauth-protected-resource",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": f"{ISSUER}/"},
        {"issuer": "https://other.example.com"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": 7},
        {"token_endpoint": "http://login.example.com/token"},
        {"token_endpoint": "https://login.example.com.evil.example/token"},
        {"token_endpoint": "https://127.0.0.1/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"revocation_endpoint": "https://other.example.com/revoke"},
        {"revocation_endpoint": 7},
        {"grant_types_supported": ["authorization_code"]},
        {"grant_types_supported": "client_credentials"},
        {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
    ],
)
def test_metadata_that_leads_elsewhere_or_is_anothers_is_not_believed(changes: dict[str, Any]) -> None:
    with pytest.raises(BadMetadataError):
        parse_metadata(metadata(**changes), issuer=ISSUER, method=CLIENT.method)


def test_metadata_says_where_tokens_are_given_and_taken_back() -> None:
    listed = {
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": [CLIENT.method],
    }
    found = parse_metadata(metadata(**listed), issuer=ISSUER, method=CLIENT.method)
    assert (found.token, found.revocation) == (CLIENT.token, CLIENT.revocation)
    assert not parse_metadata(
        metadata(revocation_endpoint=None), issuer=ISSUER, method=CLIENT.method
    ).revocation
    nothing = metadata().replace(f'"{ISSUER}/revoke"'.encode(), b"null")
    assert not parse_metadata(nothing, issuer=ISSUER, method=CLIENT.method).revocation
    with pytest.raises(BadMetadataError):
        parse_metadata(b"<html>", issuer=ISSUER, method=CLIENT.method)


@pytest.mark.parametrize(
    ("resource", "issuers"),
    [
        ("https://mcp.example.com/crm", ["https://other.example.com"]),
        ("https://mcp.example.com/crm", []),
        ("https://mcp.example.com/crm", [7, "nothing"]),
        ("https://mcp.example.com/crm", None),
        ("https://evil.example.com/crm", [ISSUER]),
        ("https://mcp.example.com/cr", [ISSUER]),
        ("https://mcp.example.com/crm/deeper", [ISSUER]),
        (None, [ISSUER]),
    ],
)
def test_a_server_whose_tokens_others_issue_or_that_is_another_is_not_given_ours(
    resource: Any, issuers: Any
) -> None:
    body = json.dumps({"resource": resource, "authorization_servers": issuers}).encode()
    with pytest.raises(OtherIssuerError):
        require_issuer(body, server=SERVER, issuer=ISSUER)


@pytest.mark.parametrize("resource", ["https://mcp.example.com/crm", "https://mcp.example.com"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_server_may_be_named_with_all_of_its_host_and_an_issuer_with_a_slash(
    resource: str, slash: str
) -> None:
    body = json.dumps({"resource": resource, "authorization_servers": ["x", f"{ISSUER}{slash}"]}).encode()
    require_issuer(body, server=SERVER, issuer=ISSUER)
