from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.identity.oidc import IssuerKeys, OidcVerifier
from taskbound.adapters.identity.oidc.keys import FRESH, PAUSE, STALE
from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.upstream.mcp.http.document import HttpDocuments
from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.issuer import IdentityIssuer, IssuerUse
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Credential
from taskbound.ports.identity import Need
from tests.peers.issuing import Issuing
from tests.peers.provider import provider
from tests.sqlite import sqlite_store
from tests.tokens import NOW, Signer, es256

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskbound.core.identity.selector import Shown
    from tests.peers.rawhttp import Asked, Say

SPACE = "default"
AUDIENCE = "urn:taskbound:default"
OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
JWKS = "/jwks"
FIRST, SECOND = es256("k1", seed=7), es256("k2", seed=8)
START = Instant(NOW * 1_000_000)


class Trusting:
    """An issuer, and a verifier in whose namespace its word proves workloads."""

    def __init__(self, there: Issuing, *, patience: float = 5.0, **changes: Any) -> None:
        self.there = there
        self.now = START
        plain = IdentityIssuer(
            namespace=SPACE, name="idp", issuer=there.issuer, audience=AUDIENCE, use=IssuerUse.WORKLOADS
        )
        self.issuer = replace(plain, **changes)
        self.store = sqlite_store()
        self.store.write(lambda tx: tx.workloads.put_identity_issuer(self.issuer))
        self.keys = IssuerKeys(HttpDocuments(patience=patience))
        self.verifier = OidcVerifier(self.store, self.keys, JoserfcCheck())
        self.publish(FIRST)

    def publish(self, *keys: Signer, **metadata: Any) -> None:
        said = {"issuer": self.issuer.issuer, "jwks_uri": f"{self.there.issuer}{JWKS}", **metadata}
        self.there.documents[OPENID] = said
        self.there.documents[JWKS] = {"keys": [one.members for one in keys]}

    def token(self, by: Signer = FIRST, **changes: Any) -> str:
        now = self.now // 1_000_000
        plain: dict[str, Any] = {
            "iss": self.issuer.issuer,
            "sub": "job",
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 3600,
        }
        return by.token("JWT", **plain | changes)

    async def verify(self, token: str, space: str = SPACE) -> Shown:
        shown = Credential(kind=WorkloadKind.OIDC, raw=token.encode())
        return await asyncio.to_thread(self._verified, space, shown)

    def _verified(self, space: str, shown: Credential) -> Shown:
        awaited = self.verifier.awaited(space, shown, self.now)
        if awaited is not None:
            self.verifier.ask(awaited)
        return self.verifier.verify(space, shown, self.now)

    async def refused(self, token: str = "", space: str = SPACE) -> str:
        with pytest.raises(TaskboundError) as caught:
            await self.verify(token or self.token(), space)
        assert token == "" or token not in caught.value.message
        return caught.value.code

    def count(self, path: str) -> int:
        return sum(one.target == path for one in self.there.asked)


def played(story: Callable[[Issuing], Awaitable[None]], *, takes: Any = None) -> None:
    async def play() -> None:
        async with Issuing(takes=takes) as there:
            await story(there)

    asyncio.run(play())


def test_a_workload_is_who_its_issuer_says_with_all_its_claims_until_its_token_ends() -> None:
    async def story(there: Issuing) -> None:
        trusting = Trusting(there)
        found = await trusting.verify(trusting.token(repository="octo/app", deep={"a": "b"}))
        assert (found.kind, found.issuer, found.subject) == (WorkloadKind.OIDC, "idp", "job")
        assert found.claims["repository"] == "octo/app"
        assert found.claims["deep"] == {"a": "b"}
        assert found.until == START + 3_600_000_000
        assert (trusting.count(OPENID), trusting.count(JWKS)) == (1, 1)
        await trusting.verify(trusting.token())
        assert (trusting.count(OPENID), trusting.count(JWKS)) == (1, 1)

    played(story)


def test_an_issuer_without_openid_metadata_is_asked_for_that_of_oauth() -> None:
    async def story(there: Issuing) -> None:
        trusting = Trusting(there, issuer=f"{there.issuer}/tenant")
        there.documents[f"{OAUTH}/tenant"] = there.documents.pop(OPENID)
        await trusting.verify(trusting.token())
        assert trusting.count(f"/tenant{OPENID}") == 1

    played(story)


def test_keys_that_were_written_down_are_never_asked_for_and_never_too_old() -> None:
    async def story(there: Issuing) -> None:
        raw = json.dumps({"keys": [FIRST.members]}).encode()
        trusting = Trusting(there, keys=raw)
        await trusting.verify(trusting.token())
        trusting.now = Instant(START + 10 * STALE)
        await trusting.verify(trusting.token())
        assert there.asked == []
        assert await trusting.refused(trusting.token(SECOND)) == "token-key"

    played(story)


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({"issuer": "https://example.com"}, "bad-oauth-metadata"),
        ({"issuer": None}, "bad-oauth-metadata"),
        ({"jwks_uri": "https://example.com/jwks"}, "bad-oauth-metadata"),
        ({"jwks_uri": "http://127.0.0.1:1/jwks"}, "bad-oauth-metadata"),
        ({"jwks_uri": "file:///etc/passwd"}, "bad-oauth-metadata"),
        ({"jwks_uri": ["x"]}, "bad-oauth-metadata"),
        ({"jwks_uri": None}, "bad-oauth-metadata"),
    ],
)
def test_metadata_that_names_another_issuer_or_keys_elsewhere_proves_nobody(
    metadata: dict[str, Any], code: str
) -> None:
    async def story(there: Issuing) -> None:
        trusting = Trusting(there)
        trusting.publish(FIRST, **metadata)
        assert await trusting.refused() == code
        assert trusting.count(JWKS) == 0

    played(story)


def test_keys_at_the_other_origin_that_was_named_are_fetched_there() -> None:
    async def story(there: Issuing) -> None:
        async with Issuing() as elsewhere:
            trusting = Trusting(there, keys_at=elsewhere.issuer)
            trusting.publish(FIRST, jwks_uri=f"{elsewhere.issuer}{JWKS}")
            elsewhere.documents[JWKS] = there.documents[JWKS]
            await trusting.verify(trusting.token())
            assert [one.target for one in elsewhere.asked] == [JWKS]

    played(story)


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ([FIRST.members, FIRST.members], "jwk-set"),
        ([{**FIRST.members, "kid": f"k{n}"} for n in range(65)], "jwk-set"),
        ([{**FIRST.members, "kid": f"k{n}"} for n in range(10_000)], "issuer-unreachable"),
        ([{**FIRST.members, "d": "AAAA"}], "jwk-private"),
        ([{"kty": "oct", "k": "AAAA", "kid": "k1"}], "jwk-private"),
        ([{**FIRST.members, "x": FIRST.members["y"]}], "jwk-point"),
        ([{**FIRST.members, "use": "enc"}], "token-key"),
        ([{**FIRST.members, "key_ops": ["encrypt"]}], "token-key"),
        ([], "token-key"),
        ("k1", "jwk-set"),
    ],
)
def test_keys_that_are_no_keys_for_signing_prove_nobody(keys: Any, code: str) -> None:
    async def story(there: Issuing) -> None:
        trusting = Trusting(there)
        there.documents[JWKS] = {"keys": keys}
        assert await trusting.refused() == code

    played(story)


async def redirecting(asked: Asked, say: Say) -> bool:
    if asked.target == OPENID:
        await say.answer(302, b"", headers="Location: /elsewhere\r\n")
        return True
    return False


async def failing(asked: Asked, say: Say) -> bool:
    await say.answer(500, b"{}")
    return asked.target != ""


async def silent(_asked: Asked, _say: Say) -> bool:
    await asyncio.Event().wait()
    return True


async def unreadable(_asked: Asked, say: Say) -> bool:
    await say.answer(200, b"<html>")
    return True


@pytest.mark.parametrize(
    ("takes", "code"),
    [
        (redirecting, "issuer-unreachable"),
        (failing, "issuer-unreachable"),
        (silent, "issuer-unreachable"),
        (unreadable, "bad-oauth-metadata"),
    ],
)
def test_an_issuer_that_redirects_fails_or_says_nothing_in_time_proves_nobody_and_is_not_asked_again_at_once(
    takes: Any, code: str
) -> None:
    async def story(there: Issuing) -> None:
        trusting = Trusting(there, patience=0.5)
        there.documents["/elsewhere"] = there.documents[OPENID]
        assert await trusting.refused() == code
        asked = len(there.asked)
        assert await trusting.refused() == code
        assert len(there.asked) == asked
        assert trusting.count("/elsewhere") == 0

    played(story, takes=takes)


def test_an_issuer_that_nobody_serves_proves_nobody() -> None:
    async def story(there: Issuing) -> None:
        trusting = Trusting(there)
        del there.documents[OPENID]
        assert await trusting.refused() == "bad-oauth-metadata"
        trusting.publish(FIRST)
        del there.documents[JWKS]
        trusting.now = Instant(START + PAUSE)
        assert await trusting.refused() == "issuer-unreachable"

    played(story)


def test_an_issuer_rotates_its_keys_and_nobody_here_is_told() -> None:
    async def story(there: Issuing) -> None:
        trusting = Trusting(there)
        await trusting.verify(trusting.token())
        trusting.publish(SECOND)
        trusting.now = Instant(START + PAUSE)
        await trusting.verify(trusting.token(SECOND))
        assert await trusting.refused(trusting.token(FIRST)) == "token-key"

    played(story)


def test_who_has_to_wait_for_an_issuer_is_told_without_waiting_while_it_hangs() -> None:
    hangs, free = asyncio.Event(), asyncio.Event()

    async def hang(_asked: Asked, _say: Say) -> bool:
        hangs.set()
        await free.wait()
        return False

    async def story(there: Issuing) -> None:
        trusting = Trusting(there)

        def need(by: Signer, after: int) -> Need | None:
            trusting.now = Instant(START + after)
            shown = Credential(kind=WorkloadKind.OIDC, raw=trusting.token(by).encode())
            found = trusting.verifier.awaited(SPACE, shown, trusting.now)
            return None if found is None else found.need

        assert need(FIRST, 0) is Need.ANSWER
        await trusting.verify(trusting.token())
        assert (need(FIRST, 1), need(SECOND, PAUSE - 1), need(SECOND, PAUSE)) == (None, None, Need.ANSWER)
        there.takes = hang
        made_up = asyncio.ensure_future(trusting.verify(trusting.token(SECOND)))
        await hangs.wait()
        assert (need(FIRST, FRESH - 1), need(SECOND, PAUSE + 1)) == (None, Need.ANSWER)
        assert (need(FIRST, FRESH), need(FIRST, STALE - 1)) == (Need.NEWS, Need.NEWS)
        assert need(FIRST, STALE) is Need.ANSWER
        trusting.publish(FIRST, SECOND)
        free.set()
        await made_up
        assert (need(FIRST, PAUSE + 1), need(SECOND, PAUSE + 1)) == (None, None)

    played(story)


def test_whoever_invents_names_of_keys_has_the_issuer_asked_once_in_a_while_at_most() -> None:
    async def story(there: Issuing) -> None:
        trusting = Trusting(there)
        await trusting.verify(trusting.token())
        for number in range(5):
            trusting.now = Instant(START + PAUSE - 1)
            assert await trusting.refused(trusting.token(es256(f"x{number}", seed=9))) == "token-key"
        assert trusting.count(JWKS) == 1
        trusting.now = Instant(START + PAUSE)
        for number in range(5):
            assert await trusting.refused(trusting.token(es256(f"y{number}", seed=9))) == "token-key"
        assert trusting.count(JWKS) == 2

    played(story)


def test_keys_are_fetched_anew_when_they_are_old_and_are_believed_no_more_when_they_are_stale() -> None:
    async def story(there: Issuing) -> None:
        trusting = Trusting(there)
        await trusting.verify(trusting.token())
        trusting.now = Instant(START + FRESH)
        await trusting.verify(trusting.token())
        assert trusting.count(JWKS) == 2
        there.documents.clear()
        trusting.now = Instant(START + FRESH + STALE - 1)
        await trusting.verify(trusting.token())
        trusting.now = Instant(START + FRESH + STALE)
        assert await trusting.refused() == "bad-oauth-metadata"

    played(story)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "https://example.com"}, "unknown-identity-issuer"),
        ({"aud": "https://example.com"}, "token-audience"),
        ({"aud": [AUDIENCE, "https://example.com"]}, "token-claims"),
        ({"exp": NOW}, "token-lifetime"),
        ({"iat": NOW - 60, "exp": NOW}, "token-expired"),
        ({"iat": NOW + 60, "exp": NOW + 120}, "token-not-yet"),
        ({"nbf": NOW + 60}, "token-not-yet"),
        ({"exp": NOW + 90_000}, "token-lifetime"),
        ({"exp": ...}, "token-claims"),
        ({"nonce": "n"}, "token-kind"),
        ({"typ": "at+jwt"}, "token-kind"),
        ({"typ": "client-authentication+jwt"}, "token-kind"),
        ({"header": {"alg": "none"}}, "token-algorithm"),
        ({"header": {"jku": "https://example.com"}}, "token-header"),
        ({"header": {"kid": "../k1"}}, "token-key"),
    ],
)
def test_a_token_that_is_not_for_us_not_of_now_or_of_another_kind_proves_nobody(
    changes: dict[str, Any], code: str
) -> None:
    async def story(there: Issuing) -> None:
        trusting = Trusting(there)
        more = dict(changes)
        typ = more.pop("typ", "JWT")
        header = more.pop("header", None)
        plain: dict[str, Any] = {
            "iss": there.issuer,
            "sub": "job",
            "aud": AUDIENCE,
            "iat": NOW,
            "exp": NOW + 3600,
        }
        assert await trusting.refused(FIRST.token(typ, header=header, **plain | more)) == code

    played(story)


def test_a_token_is_believed_by_one_namespace_for_workloads_alone_and_by_its_own_issuers_keys() -> None:
    async def story(there: Issuing) -> None:
        trusting = Trusting(there)
        assert await trusting.refused(space="acme") == "unknown-identity-issuer"
        forged = Signer(private=SECOND.private, kid="k1", alg="ES256")
        assert await trusting.refused(trusting.token(forged)) == "token-unproven"
        assert await trusting.refused("é") == "token-encoding"
        people = Trusting(there, use=IssuerUse.PEOPLE)
        assert await people.refused() == "unknown-identity-issuer"

    played(story)


@pytest.mark.parametrize(
    ("address", "private", "words"),
    [
        ("10.1.2.3", False, "not public"),
        ("127.0.0.1", False, "not public"),
        ("169.254.169.254", True, "not public"),
        ("fe80::1", True, "not public"),
        ("::ffff:169.254.169.254", True, "not public"),
        ("::", True, "not public"),
        ("127.0.0.1", True, "can't be reached"),
    ],
)
def test_a_name_leads_to_addresses_that_are_not_public_only_where_that_was_said_and_to_the_link_never(
    *, address: str, private: bool, words: str
) -> None:
    async def look(_host: str, _port: int) -> list[str]:
        return [address]

    documents = HttpDocuments(patience=5.0, look=look)
    with pytest.raises(TaskboundError) as caught:
        documents.fetch("https://idp.example.com:1/jwks", private=private)
    assert caught.value.code == "issuer-unreachable"
    assert words in caught.value.message


def test_a_certified_provider_is_found_and_its_access_tokens_prove_no_workload() -> None:
    client = {"client_id": "us", "client_secret": "s" * 40}
    with provider(client=client, resources=["https://api.example.com"]) as there:
        issuer = IdentityIssuer(
            namespace=SPACE, name="idp", issuer=there.issuer, audience=AUDIENCE, use=IssuerUse.WORKLOADS
        )
        keys = IssuerKeys(HttpDocuments()).keys(issuer, "", START)
        assert keys
        assert there.count(OPENID) == 1
        other = replace(issuer, issuer=f"{there.issuer}/other")
        with pytest.raises(TaskboundError) as caught:
            IssuerKeys(HttpDocuments()).keys(other, "", START)
        assert caught.value.code == "bad-oauth-metadata"
