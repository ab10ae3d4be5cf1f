from __future__ import annotations

import asyncio
import hashlib
import json
from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from taskbound.adapters.identity.oidc import IssuerKeys, OidcRelyingParty, SecretFiles
from taskbound.adapters.identity.oidc.relying import FRESH, PAUSE
from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.upstream.mcp.http.document import HttpDocuments
from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.issuer import IdentityIssuer, IssuerUse
from taskbound.core.identity.sign_in import UNSAID
from taskbound.ports.identity import AuthorizationParameters
from tests.peers.issuing import Issuing
from tests.tokens import NOW, Signer, es256

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from taskbound.core.identity.sign_in import PersonClaims
    from tests.peers.rawhttp import Asked, Say

OPENID = "/.well-known/openid-configuration"
FIRST, OTHER = es256("k1", seed=7), es256("k2", seed=8)
START = Instant(NOW * 1_000_000)
ACCESS = "token-1-of-the-issuer"
"""The access token that `Issuing` gives first."""


class Relying:
    """An issuer of people, and who asks it."""

    def __init__(self, there: Issuing, *, patience: float = 5.0, **changes: Any) -> None:
        self.there, self.now = there, START
        plain = IdentityIssuer(
            namespace="default", name="corp", issuer=there.issuer, audience="us", use=IssuerUse.PEOPLE
        )
        self.issuer = replace(plain, **changes)
        web = HttpDocuments(patience=patience)
        self.party = OidcRelyingParty(web, web, IssuerKeys(web), JoserfcCheck(), SecretFiles())
        self.publish()

    def publish(self, **metadata: Any) -> None:
        at = self.there.issuer
        said = {
            "issuer": self.issuer.issuer,
            "jwks_uri": f"{at}/jwks",
            "authorization_endpoint": f"{at}/auth",
            "token_endpoint": f"{at}/token",
            **metadata,
        }
        self.there.documents[OPENID] = {name: one for name, one in said.items() if one is not None}
        self.there.documents["/jwks"] = {"keys": [FIRST.members]}

    def says(self, by: Signer = FIRST, header: dict[str, Any] | None = None, **claims: Any) -> None:
        """What the ID token is from now on; a claim that is `...` is left out."""
        now = self.now // 1_000_000
        plain: dict[str, Any] = {
            "iss": self.issuer.issuer,
            "sub": "subject",
            "aud": "us",
            "iat": now,
            "exp": now + 60,
            "nonce": "n",
            "jti": ...,
        }
        self.there.says = {"id_token": by.token("JWT", header=header, **plain | claims)}

    async def redeem(self) -> PersonClaims:
        return await asyncio.to_thread(
            self.party.redeem, self.issuer, "the-code", "the-verifier", "https://us.example/back", self.now
        )

    async def refused(self) -> str:
        with pytest.raises(TaskboundError) as caught:
            await self.redeem()
        for secret in ("the-code", "the-verifier", ACCESS, str(self.there.says.get("id_token", "eyJ"))):
            assert secret not in caught.value.message
        return caught.value.code

    async def address(self, **more: Any) -> tuple[str, bool]:
        wanted = AuthorizationParameters(
            redirect="https://us.example/back", state="s", nonce="n", challenge="c", **more
        )
        return await asyncio.to_thread(self.party.address, self.issuer, wanted, self.now)


def played(story: Callable[[Issuing], Awaitable[None]], *, takes: Any = None) -> None:
    async def play() -> None:
        async with Issuing(takes=takes) as there:
            await story(there)

    asyncio.run(play())


def half(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).rstrip(b"=").decode()


def test_a_browser_is_sent_to_the_issuers_own_page_with_what_ties_its_answer_to_it() -> None:
    async def story(there: Issuing) -> None:
        relying = Relying(there)
        url, promised = await relying.address(max_age=60, acr="urn:two")
        assert url.startswith(f"{there.issuer}/auth?")
        told = {name: one[0] for name, one in parse_qs(urlsplit(url).query).items()}
        assert told == {
            "response_type": "code",
            "client_id": "us",
            "redirect_uri": "https://us.example/back",
            "scope": "openid",
            "state": "s",
            "nonce": "n",
            "code_challenge": "c",
            "code_challenge_method": "S256",
            "max_age": "60",
            "acr_values": "urn:two",
        }
        assert promised is False

    played(story)


def test_what_an_issuer_says_of_itself_is_kept_for_a_while_and_asked_for_again_after_it() -> None:
    async def story(there: Issuing) -> None:
        relying = Relying(there)
        for _ in range(3):
            await relying.address()
        assert sum(one.target == OPENID for one in there.asked) == 1
        relying.publish(authorization_response_iss_parameter_supported=True)
        assert (await relying.address())[1] is False
        relying.now = Instant(relying.now + FRESH)
        assert (await relying.address())[1] is True

    played(story)


def test_an_issuer_that_can_not_be_asked_is_not_asked_again_at_once() -> None:
    async def story(there: Issuing) -> None:
        relying = Relying(there)
        document = there.documents.pop(OPENID)
        for _ in range(3):
            with pytest.raises(TaskboundError):
                await relying.address()
        assert sum(one.target == OPENID for one in there.asked) == 1
        there.documents[OPENID] = document
        relying.now = Instant(relying.now + PAUSE)
        await relying.address()

    played(story)


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://other.example"},
        {"authorization_endpoint": "https://other.example/auth"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"authorization_endpoint": 7},
    ],
)
def test_a_browser_is_sent_nowhere_else(metadata: dict[str, Any]) -> None:
    async def story(there: Issuing) -> None:
        relying = Relying(there)
        relying.publish(**metadata)
        with pytest.raises(TaskboundError) as caught:
            await relying.address()
        assert caught.value.code == "bad-oauth-metadata"

    played(story)


def test_a_code_is_brought_with_its_verifier_and_gives_what_the_issuer_says() -> None:
    async def story(there: Issuing) -> None:
        relying = Relying(there)
        at = NOW - 100
        relying.says(auth_time=at, acr="urn:two", groups=["a"], at_hash=half(ACCESS), azp="us")
        said = await relying.redeem()
        assert (said.subject, said.nonce, said.acr) == ("subject", "n", "urn:two")
        assert said.authenticated == at * 1_000_000
        assert said.claims["groups"] == ["a"]
        assert there.posted("/token") == [
            {
                "grant_type": "authorization_code",
                "code": "the-code",
                "redirect_uri": "https://us.example/back",
                "code_verifier": "the-verifier",
                "client_id": "us",
            }
        ]
        relying.says()
        assert (await relying.redeem()).authenticated == UNSAID

    played(story)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "https://other.example"}, "token-issuer"),
        ({"aud": "them"}, "token-audience"),
        ({"aud": ["us", "them"]}, "token-claims"),
        ({"azp": "them"}, "token-audience"),
        ({"iat": NOW - 60, "exp": NOW}, "token-expired"),
        ({"iat": NOW + 31, "exp": NOW + 90}, "token-not-yet"),
        ({"nonce": ...}, "token-claims"),
        ({"auth_time": "1"}, "token-claims"),
        ({"auth_time": True}, "token-claims"),
        ({"events": {}}, "token-kind"),
        ({"sub": ...}, "token-claims"),
        ({"at_hash": half("another")}, "sign-in-token"),
        ({"at_hash": ""}, "sign-in-token"),
        ({"at_hash": 7}, "sign-in-token"),
    ],
)
def test_g7_an_id_token_that_is_not_this_one_signs_nobody_in(claims: dict[str, Any], code: str) -> None:
    async def story(there: Issuing) -> None:
        relying = Relying(there)
        relying.says(**claims)
        assert await relying.refused() == code

    played(story)


def test_g7_an_id_token_by_another_key_or_none_signs_nobody_in() -> None:
    async def story(there: Issuing) -> None:
        relying = Relying(there)
        relying.says(OTHER)
        assert await relying.refused() == "token-key"
        relying.says(replace(OTHER, kid="k1"))
        assert await relying.refused() == "token-unproven"
        relying.says(header={"alg": "none"})
        assert await relying.refused() == "token-algorithm"
        there.says = {}
        assert await relying.refused() == "sign-in-token"
        there.says = {"id_token": 7}
        assert await relying.refused() == "sign-in-token"

    played(story)


def test_an_access_token_that_is_missing_fits_no_hash_of_one() -> None:
    async def story(there: Issuing) -> None:
        relying = Relying(there)
        relying.says(at_hash=half(""))
        there.says["access_token"] = None
        assert await relying.refused() == "sign-in-token"

    played(story)


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({"token_endpoint": "https://other.example/token"}, "bad-oauth-metadata"),
        ({"token_endpoint": None}, "bad-oauth-metadata"),
        ({"jwks_uri": "https://other.example/jwks"}, "bad-oauth-metadata"),
    ],
)
def test_no_code_and_no_secret_goes_to_a_host_that_nobody_named(metadata: dict[str, Any], code: str) -> None:
    async def story(there: Issuing) -> None:
        relying = Relying(there)
        relying.publish(**metadata)
        relying.says()
        assert await relying.refused() == code
        if "token_endpoint" in metadata:
            assert there.posted("/token") == []

    played(story)


def answering(path: str, status: int, body: bytes = b"") -> Any:
    """What stands at this path; a redirection leads to where all would be well."""

    async def takes(asked: Asked, say: Say) -> bool:
        if asked.target != path:
            return False
        await say.answer(status, body, headers=f"Location: {path}/moved\r\n")
        return True

    return takes


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"error":"invalid_grant"}', "sign-in-denied"),
        (401, b'{"error":"invalid_client"}', "sign-in-denied"),
        (500, b"{}", "issuer-unreachable"),
        (302, b"", "issuer-unreachable"),
        (200, b"[]", "sign-in-token"),
        (200, b'{"id_token":"a","id_token":"b"}', "sign-in-token"),
        (200, b'{"id_token":"' + b"a" * 70_000 + b'"}', "issuer-unreachable"),
    ],
)
def test_a_token_endpoint_that_does_not_answer_as_it_should_signs_nobody_in(
    status: int, body: bytes, code: str
) -> None:
    async def story(there: Issuing) -> None:
        relying = Relying(there)
        assert await relying.refused() == code
        assert len(there.posted("/token")) == 1

    played(story, takes=answering("/token", status, body))


@pytest.mark.parametrize(
    ("status", "body"), [(302, b""), (500, b""), (200, b'{"keys":[' + b" " * 70_000 + b"]}"), (200, b"{")]
)
def test_keys_that_are_elsewhere_huge_or_broken_sign_nobody_in(status: int, body: bytes) -> None:
    async def story(there: Issuing) -> None:
        relying = Relying(there)
        relying.says()
        assert await relying.refused() in {"issuer-unreachable", "not-json", "half-message", "jwk-set"}

    played(story, takes=answering("/jwks", status, body))


@pytest.mark.parametrize("path", [OPENID, "/token", "/jwks"])
def test_an_issuer_that_is_slow_is_waited_for_so_long_and_no_longer(path: str) -> None:
    async def takes(asked: Asked, say: Say) -> bool:
        if asked.target == path:
            await asyncio.Event().wait()
        del say
        return False

    async def story(there: Issuing) -> None:
        relying = Relying(there, patience=0.3)
        relying.says()
        assert await relying.refused() == "issuer-unreachable"

    played(story, takes=takes)


def test_our_secret_is_sent_as_the_issuer_takes_it_and_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch(mode=0o600)

    async def story(there: Issuing) -> None:
        relying = Relying(there, secret_file=str(file))
        relying.says()
        file.write_text("a+b:c/d\n")
        await relying.redeem()
        (asked,) = [one for one in there.asked if one.target == "/token"]
        assert dict(asked.headers)["authorization"] == "Basic dXM6YSUyQmIlM0FjJTJGZA=="
        assert "client_id" not in there.posted("/token")[0]
        relying.publish(token_endpoint_auth_methods_supported=["client_secret_post"])
        relying.now = Instant(relying.now + FRESH)
        relying.says()
        file.write_text("another")
        await relying.redeem()
        assert there.posted("/token")[1]["client_secret"] == "another"

    played(story)


@pytest.mark.parametrize(
    "fault", ["missing", "readable", "writable", "link", "folder", "empty", "two", "long"]
)
def test_a_secrets_file_that_others_reach_or_that_holds_none_is_not_used(tmp_path: Path, fault: str) -> None:
    file = tmp_path / "secret"
    if fault == "folder":
        file.mkdir(mode=0o700)
    elif fault != "missing":
        file.touch(mode=0o600)
        held = {"empty": "", "two": "one\ntwo\n", "long": "a" * 1025}
        file.write_text(held.get(fault, "hunter2"))
        file.chmod({"readable": 0o640, "writable": 0o602}.get(fault, 0o600))
    if fault == "link":
        file.rename(tmp_path / "real")
        file.symlink_to(tmp_path / "real")
    with pytest.raises(TaskboundError) as caught:
        SecretFiles().read(str(file))
    assert caught.value.code == "client-secret-file"
    assert "hunter2" not in caught.value.message


def test_what_is_asked_and_brought_says_nothing_of_its_secrets_in_a_repr() -> None:
    wanted = AuthorizationParameters(
        redirect="https://us.example", state="s3cret", nonce="s3cret", challenge="s3cret"
    )
    assert "s3cret" not in repr(wanted)
    assert json.dumps(repr(wanted))
