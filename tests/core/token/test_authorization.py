"""Authorization codes for programs that people use (G8: A145, A146, A147, A153)."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.clock import Instant
from taskbound.core.token.authorization.asked import (
    CODE_LIFETIME,
    Code,
    Exchange,
    code_digest,
    require_code,
    require_verifier,
)
from taskbound.core.token.authorization.errors import (
    BadClientDocumentError,
    BadClientIdError,
    BadCodeError,
    BadRedirectError,
    BadVerifierError,
    RedirectedError,
    RepeatedParameterError,
)
from taskbound.core.token.authorization.request import (
    DOCUMENT_BYTES,
    answer_at,
    parse_client_document,
    parse_client_id,
    parse_parameters,
    parse_redirect,
    parse_request,
    refused_at,
    registered_client,
    require_redirect,
)

URL = "https://app.example/oauth/client.json"
PRIVATE = "169.254.169.254"
CALLBACK = "http://127.0.0.1:3000/callback"
RESOURCE = "https://mcp.corp.example/mcp/helper"
ISSUER = "https://as.corp.example"
VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
CODE = "c" * 43
THUMB = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
CLIENT = registered_client("desk", "Desk", (CALLBACK, "https://desk.example/cb?x=1"))
ASKED = {
    "response_type": "code",
    "client_id": "desk",
    "redirect_uri": CALLBACK,
    "state": "s t~",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "resource": RESOURCE,
}


def ask(**changed: str | None) -> dict[str, str]:
    return {name: value for name, value in {**ASKED, **changed}.items() if value is not None}


def document(**changed: object) -> bytes:
    told = {
        "client_id": URL,
        "client_name": "App",
        "redirect_uris": [CALLBACK, "https://app.example/cb"],
        "token_endpoint_auth_method": "none",
        "logo_uri": "https://elsewhere.example/logo.png",
        **changed,
    }
    return json.dumps({name: one for name, one in told.items() if one is not None}).encode()


# --- redirect URIs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "registered"),
    [
        (CALLBACK, "127.0.0.1", False),
        ("http://[::1]:8/cb", "::1", False),
        ("http://localhost:3000/cb", "localhost", False),
        ("https://app.example/cb?x=1", "app.example", False),
        ("cursor://deep/link", "cursor:", True),
        ("com.example.app:/cb", "com.example.app:", True),
    ],
)
def test_a_redirect_uri_is_https_or_of_this_machine_or_a_registered_program_s_own(
    text: str, host: str, *, registered: bool
) -> None:
    found = parse_redirect(text, registered=registered)
    assert (found.text, found.host) == (text, host)


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://app.example/cb",
        "http://127.0.0.2/cb",
        f"http://{PRIVATE}/cb",
        "http://2130706433/cb",
        "http://0x7f.1/cb",
        "http://127.0.0.1.evil.example/cb",
        "https://app.example/cb#frag",
        "https://user@app.example/cb",
        "https://app.example@evil.example/cb",
        "https://app.example/../cb",
        "https://app.example/%2e%2e/cb",
        "https://app.example\\@evil.example/cb",
        "https://app.example/cb?code=1",
        "https://app.example/cb?a=1&iss=x",
        "https://app.example/cb\n",
        "https://*.example/cb",
        "HTTPS://app.example/cb",
        "javascript:alert",
        "data:text/html",
        "file:/etc/passwd",
        "vbscript:x",
        "//app.example/cb",
        "/cb",
        "cursor://a/../b",
        "cursor://a?x#y",
        "https://app.example/" + "a" * 2048,
    ],
)
def test_a145_what_is_no_redirect_uri_is_refused(text: str, *, registered: bool) -> None:
    with pytest.raises(BadRedirectError):
        parse_redirect(text, registered=registered)


def test_only_a_registered_client_has_a_scheme_of_its_own() -> None:
    with pytest.raises(BadRedirectError):
        parse_redirect("cursor://deep/link", registered=False)


@pytest.mark.parametrize(
    "asked",
    [
        "http://127.0.0.1:3000/callback/",
        "http://127.0.0.1:3000/callbackx",
        "http://127.0.0.1:3000/callbac",
        "http://127.0.0.1:3000/Callback",
        "http://127.0.0.1:3000/callback?x=1",
        "http://localhost:3000/callback",
        "http://[::1]:3000/callback",
        "http://127.0.0.1:3000@evil.example/callback",
        "https://127.0.0.1:3000/callback",
        "https://desk.example/cb",
        "https://desk.example/cb?x=2",
        "https://desk.example:444/cb?x=1",
        "https://desk.example:443/cb?x=1",
        "https://DESK.example/cb?x=1",
        "https://evil.example/cb?x=1",
        "",
    ],
)
def test_a145_a_redirect_uri_is_compared_whole(asked: str) -> None:
    with pytest.raises(BadRedirectError):
        require_redirect(asked, CLIENT.redirects)


@pytest.mark.parametrize("port", [":1", ":65535", ""])
def test_the_port_of_a_loopback_address_is_the_program_s_and_of_nothing_else(port: str) -> None:
    asked = f"http://127.0.0.1{port}/callback"
    assert require_redirect(asked, CLIENT.redirects).text == asked
    named = registered_client("x", "X", ("http://localhost:3000/cb",)).redirects
    assert require_redirect("http://localhost:3000/cb", named).text == "http://localhost:3000/cb"
    with pytest.raises(BadRedirectError):
        require_redirect(f"http://localhost{port}/cb", named)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=20))
def test_an_answer_is_read_back_as_it_was_told(value: str) -> None:
    for redirect in CLIENT.redirects:
        address = answer_at(redirect, [("code", "a"), ("state", value)])
        told = parse_qsl(urlsplit(address).query, keep_blank_values=True, strict_parsing=True)
        assert told[-2:] == [("code", "a"), ("state", value)]
        assert address.isascii()
        assert address.startswith(redirect.text)


# --- clients ---------------------------------------------------------------------------------------


def test_a_client_is_a_registered_name_or_the_url_of_its_document() -> None:
    assert parse_client_id("desk").has_document is False
    found = parse_client_id(URL)
    assert (found.has_document, found.host) == (True, "app.example")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Desk",
        "-desk",
        "a" * 64,
        "http://app.example/c.json",
        "https://app.example",
        "https://app.example/",
        "https://app.example/c?x=1",
        "https://app.example/c#x",
        "https://user:pw@app.example/c",
        "https://app.example/../c",
        "https://127.0.0.1/c",
        "https://[::1]/c",
        f"https://{PRIVATE}/latest/meta-data",
        "https://localhost/c",
        "https://2130706433/c",
        "HTTPS://app.example/c",
        "https://app.example/c\r\nX: y",
        "file:///etc/passwd",
        "https://app.example/" + "c" * 512,
    ],
)
def test_a153_what_is_no_client_id_is_refused_before_anything_is_asked(text: str) -> None:
    with pytest.raises(BadClientIdError):
        parse_client_id(text)


def test_a_document_says_what_a_client_is() -> None:
    client = parse_client_document(document(), parse_client_id(URL))
    assert (client.id, client.host, client.name) == (URL, "app.example", "App")
    assert [one.text for one in client.redirects] == [CALLBACK, "https://app.example/cb"]
    assert parse_client_document(document(client_name=None), parse_client_id(URL)).name == "app.example"


@pytest.mark.parametrize(
    "raw",
    [
        document(client_id=URL + "/"),
        document(client_id=None),
        document(client_secret="s3cret"),
        document(token_endpoint_auth_method="client_secret_basic"),
        document(grant_types=["client_credentials"]),
        document(response_types=["token"]),
        document(redirect_uris=None),
        document(redirect_uris=[]),
        document(redirect_uris=[CALLBACK, CALLBACK]),
        document(redirect_uris=[1]),
        document(redirect_uris=["https://evil.example/cb"]),
        document(redirect_uris=["https://app.example.evil.example/cb"]),
        document(redirect_uris=["evil://cb"]),
        document(redirect_uris=["javascript:alert"]),
        document(redirect_uris=[f"http://127.0.0.1:{port}/" for port in range(1, 18)]),
        document(client_name=""),
        document(client_name=" App"),
        document(client_name="App\u202egpj"),
        document(client_name="A\u200bpp"),
        document(client_name="A\npp"),
        document(client_name="A" * 81),
        document(client_name=7),
        document(filler="x" * DOCUMENT_BYTES),
        b'{"client_id":"%b","client_id":"x"}' % URL.encode(),
        b"[]",
        b"<html>",
        b"",
    ],
)
def test_a153_a_document_that_can_t_be_believed_is_refused(raw: bytes) -> None:
    with pytest.raises(BadClientDocumentError):
        parse_client_document(raw, parse_client_id(URL))


# --- requests --------------------------------------------------------------------------------------


def parsed(**changed: str | None) -> object:
    return parse_request(ask(**changed), CLIENT, resources={RESOURCE}, scopes={"task"})


def test_a_request_is_answered_at_the_client_with_state_and_issuer() -> None:
    request = parse_request(
        ask(scope="task", dpop_jkt=THUMB, max_age="0", acr_values="mfa pwd"),
        CLIENT,
        resources={RESOURCE},
        scopes={"task"},
    )
    assert (request.jkt, request.max_age, request.acr, request.scope) == (THUMB, 0, ("mfa", "pwd"), ("task",))
    address = request.answered("CODE", issuer=ISSUER)
    assert address == f"{CALLBACK}?code=CODE&state=s%20t~&iss=https%3A%2F%2Fas.corp.example"
    bare = parse_request(ask(state=None), CLIENT, resources={RESOURCE}, scopes=())
    assert bare.answered("C", issuer=ISSUER) == f"{CALLBACK}?code=C&iss=https%3A%2F%2Fas.corp.example"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": CHALLENGE + "="}, "invalid_request"),
        ({"code_challenge": VERIFIER[:-1]}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"resource": None}, "invalid_target"),
        ({"resource": RESOURCE + "/"}, "invalid_target"),
        ({"resource": RESOURCE.upper()}, "invalid_target"),
        ({"resource": RESOURCE + "x"}, "invalid_target"),
        ({"scope": "operations"}, "invalid_scope"),
        ({"scope": "task  task"}, "invalid_scope"),
        ({"scope": "task\ttask"}, "invalid_scope"),
        ({"scope": "task\u00a0"}, "invalid_scope"),
        ({"scope": "TASK"}, "invalid_scope"),
        ({"scope": "*"}, "invalid_scope"),
        ({"scope": "task,operations"}, "invalid_scope"),
        ({"dpop_jkt": THUMB[:-1]}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "1e3"}, "invalid_request"),
        ({"acr_values": "a  b"}, "invalid_request"),
        ({"request": "eyJ"}, "invalid_request"),
        ({"request_uri": "https://evil.example/r"}, "invalid_request"),
    ],
)
def test_a146_a_refused_request_is_told_to_the_client_with_state_and_issuer(
    changed: dict[str, str | None], error: str
) -> None:
    with pytest.raises(RedirectedError) as caught:
        parsed(**changed)
    told = dict(parse_qsl(urlsplit(refused_at(caught.value, issuer=ISSUER)).query))
    assert told.pop("error_description").isascii()
    assert told == {"error": error, "state": "s t~", "iss": ISSUER}


@pytest.mark.parametrize("state", ["\x00", "a\nb", "é", "s" * 1025])
def test_a148_a_state_that_can_t_go_back_goes_nowhere(state: str) -> None:
    with pytest.raises(RedirectedError) as caught:
        parsed(state=state)
    assert "state" not in dict(parse_qsl(urlsplit(refused_at(caught.value, issuer=ISSUER)).query))


def test_whatever_else_is_wrong_nothing_is_sent_to_an_address_that_is_not_the_client_s() -> None:
    with pytest.raises(BadRedirectError):
        parsed(redirect_uri="https://evil.example/cb", response_type="token", state="\x00")
    with pytest.raises(BadRedirectError):
        parsed(redirect_uri=None)


def test_a_parameter_stands_once_and_an_empty_one_is_none() -> None:
    assert parse_parameters([("a", "1"), ("b", "")]) == {"a": "1"}
    for pairs in ([("a", "1"), ("a", "1")], [("a", ""), ("a", "1")], [(str(n), "1") for n in range(33)]):
        with pytest.raises(RepeatedParameterError):
            parse_parameters(pairs)


# --- codes -----------------------------------------------------------------------------------------

KEPT = Code(
    namespace="default",
    digest=code_digest(CODE),
    client="desk",
    redirect=CALLBACK,
    challenge=CHALLENGE,
    resource=RESOURCE,
    task="tsk_1",
    person="ann",
    expires=Instant(1_000 + CODE_LIFETIME),
)
BROUGHT = Exchange(client="desk", redirect=CALLBACK, verifier=VERIFIER, resource=RESOURCE, jkt="")
LAST = Instant(1_000 + CODE_LIFETIME)


def test_a_code_is_exchanged_by_who_asked_for_it_in_its_time() -> None:
    require_code(KEPT, BROUGHT, Instant(1_000))
    require_code(KEPT, replace(BROUGHT, resource=""), Instant(1_000))
    require_code(replace(KEPT, jkt=THUMB), replace(BROUGHT, jkt=THUMB), Instant(1_000))
    require_code(KEPT, replace(BROUGHT, jkt=THUMB), Instant(1_000))
    with pytest.raises(BadCodeError):
        require_code(KEPT, BROUGHT, LAST)


@pytest.mark.parametrize(
    "changed",
    [
        {"client": "other"},
        {"client": ""},
        {"redirect": "http://127.0.0.1:3001/callback"},
        {"redirect": ""},
        {"resource": RESOURCE + "/"},
    ],
)
def test_a146_a_code_of_another_client_address_or_resource_gives_nothing(changed: dict[str, str]) -> None:
    with pytest.raises(BadCodeError):
        require_code(KEPT, replace(BROUGHT, **changed), Instant(1_000))


@pytest.mark.parametrize("jkt", ["", THUMB[:-1] + "J"])
def test_a_code_that_is_bound_to_a_key_is_exchanged_with_that_key(jkt: str) -> None:
    with pytest.raises(BadCodeError):
        require_code(replace(KEPT, jkt=THUMB), replace(BROUGHT, jkt=jkt), Instant(1_000))


@pytest.mark.parametrize(
    "verifier", ["", "v" * 42, "v" * 44, "v" * 129, "w" * 43, CHALLENGE, "v" * 42 + "\n"]
)
def test_a146_without_the_verifier_a_code_gives_nothing(verifier: str) -> None:
    with pytest.raises(BadVerifierError):
        require_code(KEPT, replace(BROUGHT, verifier=verifier), Instant(1_000))


@pytest.mark.parametrize("verifier", ["v", "v" * 42, "v" * 129, "v" * 42 + "+"])
def test_a_verifier_that_can_be_guessed_or_has_another_form_proves_nothing(verifier: str) -> None:
    made = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with pytest.raises(BadVerifierError):
        require_verifier(verifier, made)


def test_the_vector_of_rfc_7636_appendix_b_holds() -> None:
    require_verifier(
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


@pytest.mark.parametrize("code", ["", "c" * 42, "c" * 44, "c" * 42 + "=", "c" * 42 + "\n", "é" * 43])
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(BadCodeError):
        code_digest(code)


def test_no_verifier_is_ever_shown() -> None:
    assert VERIFIER not in repr(BROUGHT)
