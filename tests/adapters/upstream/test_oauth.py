"""Tokens: what is asked of an issuer, and what comes of an issuer or a server that means no good."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import int_to_base64

from taskbound.adapters.keys.assertion import assertion
from taskbound.adapters.upstream.mcp.http.issuer import authorize, is_issued_by, look_at_issuer
from taskbound.adapters.upstream.mcp.http.oauth import TokenEndpoint, TokenReply
from taskbound.adapters.upstream.mcp.http.probe import pin_url
from taskbound.adapters.upstream.mcp.http.server import HttpStarter
from taskbound.adapters.upstream.mcp.server import fill
from taskbound.core.errors import TaskboundError
from taskbound.core.tool import BadSecretError
from taskbound.core.tool.identity import Remote
from taskbound.core.tool.oauth.client import (
    BadClientError,
    BadMetadataError,
    OAuthClient,
    OtherIssuerError,
    TokenUnavailableError,
)
from taskbound.ports.upstream import Answered, NoAnswer, NotSent
from taskbound.wire.tool import OAuthSpec, identity_of
from tests.adapters.upstream.reaching import ERAS, QUICK, Events, answered
from tests.peers.issuing import RESOURCE, SECRET, Issuing
from tests.peers.rawhttp import Asked, Authority, RawHttp, Say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio


def sign(key: str, client: str, audience: str) -> str:
    return assertion(key, client=client, audience=audience)


def asking(client: OAuthClient, secret: str = SECRET, *, patience: float = 5.0) -> TokenEndpoint:
    return TokenEndpoint(client, secret, sign, patience=patience)


async def code(endpoint: TokenEndpoint) -> str:
    try:
        await endpoint.ask()
    except TaskboundError as error:
        return "said" if SECRET in error.message + error.advice else error.code
    return "ok"


def small() -> dict[str, Any]:
    """A private key of RSA that is too small to be believed."""
    found = rsa.generate_private_key(65_537, 1_024).private_numbers()  # noqa: S505 -- to see it refused
    public = found.public_numbers
    parts = {"n": public.n, "e": public.e, "d": found.d, "p": found.p, "q": found.q}
    parts |= {"dp": found.dmp1, "dq": found.dmq1, "qi": found.iqmp}
    return {"kty": "RSA"} | {name: int_to_base64(value) for name, value in parts.items()}


# --- what is asked ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_secret_goes_in_one_place_and_the_resource_with_each_request(method: str) -> None:
    async with Issuing() as there:
        endpoint = asking(there.client(method=method))
        assert (await endpoint.ask()).value == there.token(1)
        await endpoint.revoke(there.token(1))
        (form,), (back,) = there.posted("/token"), there.posted("/revoke")
        heads = [one.header("authorization") for one in there.asked]
    basic = method == "client_secret_basic"
    wanted = {"grant_type": "client_credentials", "scope": "read", "resource": RESOURCE}
    ours = {} if basic else {"client_id": "us", "client_secret": SECRET}
    assert form == wanted | ours
    assert back == {"token": there.token(1), "token_type_hint": "access_token"} | ours
    if basic:
        assert b64decode(str(heads[0]).removeprefix("Basic ")) == b"us:hunter2%2Bof%2Four%3Aclient"
    else:
        assert heads == [None, None]


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(ECKey.generate_key("P-256"), "ES256"), (RSAKey.generate_key(2_048), "PS256")],
    ids=["P-256", "RSA"],
)
async def test_a_statement_is_for_the_issuer_lives_a_minute_and_is_made_anew_each_time(
    key: ECKey | RSAKey, algorithm: str
) -> None:
    async with Issuing() as there:
        client = there.client(method="private_key_jwt", issuer=there.issuer)
        endpoint = asking(client, json.dumps(key.as_dict(private=True)))
        await endpoint.ask()
        await endpoint.ask()
        forms = there.posted("/token")
    seen = [jwt.decode(one["client_assertion"], key, algorithms=[algorithm]) for one in forms]
    for one in seen:
        claims = one.claims
        assert (claims["iss"], claims["sub"], claims["aud"]) == ("us", "us", there.issuer)
        assert claims["exp"] - claims["iat"] == 60
    assert seen[0].claims["jti"] != seen[1].claims["jti"]
    assert "d" not in forms[0]


@pytest.mark.parametrize(
    "key",
    [
        "no-key-at-all",
        "[]",
        json.dumps(ECKey.generate_key("P-256").as_dict(private=False)),
        json.dumps(ECKey.generate_key("P-384").as_dict(private=True)),
        json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True)),
        json.dumps({**ECKey.generate_key("P-256").as_dict(private=True), "alg": "RS256"}),
        json.dumps({**ECKey.generate_key("P-256").as_dict(private=True), "x": "AAAA"}),
        json.dumps({**ECKey.generate_key("P-256").as_dict(private=True), "kid": 7}),
        json.dumps(small()),
        json.dumps({"kty": "oct", "k": "aHVudGVyMi1odW50ZXIy"}),
    ],
)
async def test_a_key_that_can_t_sign_is_named_and_nothing_is_asked(key: str) -> None:
    async with Issuing() as there:
        with pytest.raises(BadSecretError) as caught:
            await asking(there.client(method="private_key_jwt"), key).ask()
        assert there.asked == []
    assert key not in str(caught.value)


# --- an issuer that means no good ----------------------------------------------------------------


async def huge(_: Asked, say: Say) -> bool:
    await say.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not say.over:
        await say.raw(b"10000\r\n" + b" " * 65_536 + b"\r\n")
    return True


async def silent(_: Asked, say: Say) -> bool:
    await say.gone()
    return True


async def halting(_: Asked, say: Say) -> bool:
    await say.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n{")
    await say.gone()
    return True


def answers(status: int, body: bytes, kind: str = "application/json", headers: str = "") -> Any:
    async def does(_: Asked, say: Say) -> bool:
        await say.answer(status, body, kind, headers)
        return True

    return does


GOOD = b'{"access_token":"token-1-of-the-issuer","token_type":"Bearer","expires_in":60}'


@pytest.mark.parametrize(
    ("does", "expected"),
    [
        (huge, "no-token"),
        (silent, "no-token"),
        (halting, "no-token"),
        (answers(302, GOOD, headers="Location: /elsewhere\r\n"), "bad-token"),
        (answers(307, GOOD, headers="Location: /elsewhere\r\n"), "bad-token"),
        (answers(200, b"<html>hunter2+of/our:client</html>", "text/html"), "bad-token"),
        (answers(200, GOOD, headers="Content-Encoding: gzip\r\n"), "no-token"),
        (answers(200, GOOD, headers="Transfer-Encoding: chunked\r\n"), "no-token"),
        (answers(200, GOOD, headers="Content-Type: text/html\r\n"), "no-token"),
        (answers(400, b'{"error":"hunter2+of/our:client"}'), "token-refused"),
        (
            answers(400, b'{"error":"invalid_client","error_description":"hunter2+of/our:client"}'),
            "token-refused",
        ),
        (answers(200, GOOD), "ok"),
    ],
)
async def test_what_an_endpoint_does_has_a_name_within_bounds_and_is_asked_once(
    does: Any, expected: str
) -> None:
    tracemalloc.start()
    try:
        async with Issuing(takes=does) as there:
            assert await code(asking(there.client(revocation=""), patience=1.0)) == expected
            assert [one.target for one in there.asked] == ["/token"]
        assert tracemalloc.get_traced_memory()[1] < 8 * 1_048_576
    finally:
        tracemalloc.stop()


async def test_an_endpoint_that_does_not_prove_who_it_is_is_sent_nothing(tmp_path: Path) -> None:
    context, _ = Authority(tmp_path).context()
    async with Issuing(context=context) as there:
        assert await code(asking(there.client())) == "no-token-endpoint"
        assert there.asked == []


async def test_an_endpoint_whose_name_leads_into_a_private_network_is_sent_nothing() -> None:
    async def inside(_host: str, _port: int) -> list[str]:
        return ["10.0.0.7"]

    client = OAuthClient(
        client="us", token="https://login.example.com/token", method="client_secret_post", resource=RESOURCE
    )
    with pytest.raises(TokenUnavailableError, match="not public"):
        await TokenEndpoint(client, SECRET, sign, look=inside).ask()


@pytest.mark.parametrize(
    "says", [{"scope": "read admin"}, {"refresh_token": "another-credential"}, {"expires_in": -1}]
)
async def test_a_token_that_is_not_used_is_given_back(says: dict[str, Any]) -> None:
    async with Issuing() as there:
        there.says = says
        assert await code(asking(there.client())) in {"bad-token", "token-too-wide"}
        back = [one["token"] for one in there.posted("/revoke")]
    assert back == [*([says["refresh_token"]] if "refresh_token" in says else []), there.token(1)]


async def test_a_token_is_given_back_only_when_the_issuer_says_so() -> None:
    async with Issuing() as there:
        for status in (204, 302, 400, 503):
            there.revoke_status = status
            with pytest.raises(TokenUnavailableError):
                await asking(there.client()).revoke(there.token(1))
        with pytest.raises(TokenUnavailableError, match="no tokens back"):
            await asking(there.client(revocation="")).revoke(there.token(1))


# --- what an issuer and a server say of themselves -----------------------------------------------


async def test_an_issuer_is_looked_at_in_its_places_and_what_leads_elsewhere_is_not_followed() -> None:
    async with Issuing() as there:
        said = {"issuer": there.issuer, "token_endpoint": f"{there.issuer}/token"}
        with pytest.raises(BadMetadataError, match="no metadata"):
            await look_at_issuer(there.issuer, method="client_secret_basic")
        there.documents["/.well-known/openid-configuration"] = said
        found = await look_at_issuer(there.issuer, method="client_secret_basic")
        assert (found.token, found.revocation) == (said["token_endpoint"], "")
        there.documents["/.well-known/oauth-authorization-server"] = {**said, "issuer": "https://x.example"}
        with pytest.raises(BadMetadataError):
            await look_at_issuer(there.issuer, method="client_secret_basic")
    async with Issuing(takes=answers(302, b"", headers="Location: http://127.0.0.1/\r\n")) as there:
        with pytest.raises(BadMetadataError, match="not followed"):
            await look_at_issuer(there.issuer, method="client_secret_basic")
        assert len(there.asked) == 1


def us(**said: Any) -> OAuthSpec:
    """The client that a person wants to pin, as far as it is said."""
    return OAuthSpec(**{"client": "us", "token": "", "method": "client_secret_basic", "resource": "", **said})


async def test_a_server_that_names_another_issuer_is_refused_before_anybody_is_asked_for_a_token() -> None:
    async with Issuing() as there:
        server = Remote(url=there.url, era="2025-11-25")
        assert not await is_issued_by(server, "https://login.example.com")
        place = "/.well-known/oauth-protected-resource"
        there.documents[place] = {"resource": there.url, "authorization_servers": ["https://evil.example"]}
        asked = us(token=f"{there.issuer}/token", issuer=there.issuer)
        with pytest.raises(OtherIssuerError):
            await asyncio.to_thread(authorize, there.url, asked)
        there.documents[place]["authorization_servers"] = [there.issuer]
        found, notes = await asyncio.to_thread(authorize, there.url, asked)
        assert (found.resource, found.token, len(notes)) == (there.url, asked.token, 1)
        assert there.posted("/token") == []


async def test_where_the_person_says_that_tokens_are_given_back_they_are() -> None:
    async with Issuing() as there:
        said = {"issuer": there.issuer, "token_endpoint": f"{there.issuer}/token"}
        there.documents["/.well-known/openid-configuration"] = said
        asked = us(issuer=there.issuer, revocation=f"{there.issuer}/back")
        for named in ({}, {"revocation_endpoint": f"{there.issuer}/revoke"}):
            said.update(named)
            found, _ = await asyncio.to_thread(authorize, there.url, asked)
            assert found.revocation == asked.revocation


async def test_a_server_says_who_issues_its_tokens_to_who_knows_its_authorities(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context, _ = authority.context()
    async with Issuing() as issuer, Issuing(context=context) as there:
        place = "/.well-known/oauth-protected-resource"
        there.documents[place] = {"resource": there.url, "authorization_servers": [issuer.issuer]}
        asked = us(token=f"{issuer.issuer}/token", issuer=issuer.issuer)
        with pytest.raises(TokenUnavailableError, match="does not prove who it is"):
            await asyncio.to_thread(authorize, there.url, asked)
        with pytest.raises(TokenUnavailableError, match="key"):
            await asyncio.to_thread(
                authorize, there.url, asked, key="0" * 64, authorities=str(authority.file)
            )
        found, _ = await asyncio.to_thread(authorize, there.url, asked, authorities=str(authority.file))
        assert found.issuer == issuer.issuer


@pytest.mark.parametrize(
    ("resource", "noted"),
    [("", 0), ("https://bank.example.com", 1), ("urn:bank", 1)],
)
async def test_a_person_is_told_that_tokens_are_for_somebody_else_than_is_shown_them(
    resource: str, noted: int
) -> None:
    async with Issuing() as there:
        asked = us(token=f"{there.issuer}/token", resource=resource, revocation=f"{there.issuer}/revoke")
        _, notes = await asyncio.to_thread(authorize, there.url, asked)
    assert len([one for one in notes if "not where the server is" in one]) == noted


async def test_nothing_of_an_answer_is_in_an_error_or_a_repr() -> None:
    async with Issuing() as there:
        there.says = {"scope": f"read {there.token(1)} {SECRET}"}
        with pytest.raises(TaskboundError) as caught:
            await asking(there.client()).ask()
        said = f"{caught.value!r} {caught.value.message} {caught.value.advice}"
        assert (there.token(1) in said, SECRET in said) == (False, False)
    assert "token" not in repr(
        TokenReply(status=200, kind=b"application/json", body=b'{"access_token":"token"}')
    )


def test_who_names_neither_an_issuer_nor_an_endpoint_is_told_so() -> None:
    asked = us()
    with pytest.raises(BadClientError, match="neither"):
        authorize(RESOURCE, asked)


# --- on the way to a server ----------------------------------------------------------------------


class Numbered:
    """Another token after each that was not taken."""

    def __init__(self) -> None:
        self.number = 1
        self.untaken: list[str] = []
        self.over = False

    async def current(self) -> str:
        if self.over:
            raise TokenUnavailableError("there is no token now")
        return f"token-{self.number}"

    def refused(self, token: str) -> None:
        self.untaken.append(token)
        self.number += 1


def wants(good: Callable[[str, str], bool]) -> Callable[[Asked, Say], Awaitable[bool]]:
    """A server that takes a token for a method, or answers 401."""

    async def does(asked: Asked, say: Say) -> bool:
        token = str(asked.header("authorization")).removeprefix("Bearer ")
        if good(asked.method, token):
            return False
        await say.answer(401, b"", headers='WWW-Authenticate: Bearer error="invalid_token"\r\n')
        return True

    return does


async def reached(there: RawHttp, tokens: Numbered) -> Any:
    era = ERAS[there.era]
    spec = pin_url("x", there.url, headers={})
    start = HttpStarter(patience=QUICK)
    identity = identity_of(spec.__class__(**{**_fields(spec), "era": era}), namespace="default")
    return await start(identity, era=era, events=Events(), filling=fill({}, tokens))


def _fields(spec: Any) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__struct_fields__}


@pytest.mark.parametrize("modern", [False, True])
async def test_a_call_whose_token_is_not_taken_is_sent_once_and_a_list_is_asked_for_again(
    *, modern: bool
) -> None:
    tokens = Numbered()
    taken = {"tools/list": "token-2", "tools/call": "token-3"}

    def good(method: str, token: str) -> bool:
        return taken.get(method, token) == token

    async with RawHttp(era="modern" if modern else "legacy", does=wants(good)) as there:
        server = await reached(there, tokens)
        assert len(await server.list_tools()) == 1
        assert [str(one.header("authorization")) for one in there.heard("tools/list")] == [
            "Bearer token-1",
            "Bearer token-2",
        ]
        first = await answered(server)
        assert isinstance(first, NoAnswer)
        assert "401" in first.reason
        assert len(there.heard("tools/call")) == 1  # never a second time
        assert isinstance(await answered(server), Answered)
        assert tokens.untaken == ["token-1", "token-2"]
        tokens.over = True
        last = await answered(server)
        assert isinstance(last, NotSent)
        assert "[no-token]" in last.reason
        await server.close()
    assert len(there.heard("tools/call")) == 2
    assert all(one.header("authorization") for one in there.asked)
