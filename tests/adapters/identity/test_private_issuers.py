"""Issuers whose names lead into a network of our own, where somebody would answer (A154)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.identity.oidc import IssuerKeys, OidcRelyingParty, SecretFiles
from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.upstream.mcp.http.document import HttpDocuments
from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.issuer import IdentityIssuer, IssuerUse
from tests.peers.issuing import Issuing
from tests.stories.test_client_documents import HOST, believed
from tests.tokens import NOW, es256

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

OPENID = "/.well-known/openid-configuration"
KEY = es256("k1", seed=7)
START = Instant(NOW * 1_000_000)


async def look(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


class Both:
    """An issuer at an address, and a host whose name leads to this machine; both say all that is asked."""

    def __init__(self, near: Issuing, named: Issuing) -> None:
        self.near, self.named = near, named
        self.origin = f"https://{HOST}:{named.port}"
        for one, at in ((near, near.issuer), (named, self.origin)):
            one.documents["/jwks"] = {"keys": [KEY.members]}
            one.documents[OPENID] = {
                "issuer": at,
                "jwks_uri": f"{at}/jwks",
                "authorization_endpoint": f"{at}/auth",
                "token_endpoint": f"{at}/token",
            }
            said: dict[str, Any] = {
                "iss": at,
                "sub": "s",
                "aud": "us",
                "nonce": "n",
                "jti": ...,
                "iat": NOW,
                "exp": NOW + 60,
            }
            one.says = {"id_token": KEY.token("JWT", **said)}

    def issuer(self, at: str, use: str, *, private: bool, **changes: Any) -> IdentityIssuer:
        plain: dict[str, Any] = {"namespace": "default", "name": "idp", "issuer": at, "audience": "us"}
        return IdentityIssuer(**plain, use=IssuerUse(use), private=private, **changes)


@asynccontextmanager
async def both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Both]:
    context = believed(folder, monkeypatch)
    async with Issuing() as near, Issuing(context=context) as named:
        yield Both(near, named)


def keys(web: HttpDocuments, issuer: IdentityIssuer) -> None:
    assert IssuerKeys(web).keys(issuer, "k1", START)


def redeem(web: HttpDocuments, issuer: IdentityIssuer) -> None:
    party = OidcRelyingParty(web, web, IssuerKeys(web), JoserfcCheck(), SecretFiles())
    assert party.redeem(issuer, "code", "verifier", "https://us.example/back", START).subject == "s"


def all_of(there: Both, use: str, *, private: bool) -> IdentityIssuer:
    return there.issuer(there.origin, use, private=private)


def its_keys(there: Both, use: str, *, private: bool) -> IdentityIssuer:
    there.near.documents[OPENID]["jwks_uri"] = f"{there.origin}/jwks"
    return there.issuer(there.near.issuer, use, private=private, keys_at=there.origin)


def its_tokens(there: Both, use: str, *, private: bool) -> IdentityIssuer:
    there.near.documents[OPENID]["token_endpoint"] = f"{there.origin}/token"
    there.named.says = there.near.says
    return there.issuer(there.near.issuer, use, private=private, token_at=there.origin)


@pytest.mark.parametrize(
    ("use", "where", "asks"),
    [
        ("workloads", all_of, keys),
        ("workloads", its_keys, keys),
        ("people", all_of, redeem),
        ("people", its_keys, redeem),
        ("people", its_tokens, redeem),
    ],
)
def test_a154_a_name_leads_into_a_network_of_our_own_only_where_that_was_said_of_the_issuer(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    use: str,
    where: Callable[..., IdentityIssuer],
    asks: Callable[[HttpDocuments, IdentityIssuer], None],
) -> None:
    async def story() -> None:
        async with both(tmp_path, monkeypatch) as there:
            web = HttpDocuments(patience=5.0, look=look)
            with pytest.raises(TaskboundError) as caught:
                await asyncio.to_thread(asks, web, where(there, use, private=False))
            assert caught.value.code == "issuer-unreachable"
            assert (there.named.taken, there.named.asked) == (0, [])
            await asyncio.to_thread(asks, web, where(there, use, private=True))
            assert there.named.asked

    asyncio.run(story())
