"""Our client at an upstream authorization server, and its errors.

It uses the client-credentials grant (RFC 6749 §4.4; MCP's extension), never a caller's token, with
`client_secret_basic`, `client_secret_post` or `private_key_jwt` (RFC 7523). The secret or key is in a slot
(`slot_of`). Everything that decides who gets the secret and what the token is for is pinned: client,
endpoints, issuer, method, scopes and resource (RFC 8707). Endpoints are canonical URLs like a server's
(`remote`), https or loopback http, without query. All have the issuer's origin, so metadata cannot
redirect the secret to another host. Scopes follow RFC 6749 §3.3, sorted and distinct. The resource is a
URI without a fragment. A client secret is one line of printable ASCII; a private key is a JWK (P-256 or
RSA) on one line, whose parts are secret too (`hidden_in`).
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from operator import ge
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, UnavailableError
from taskbound.core.tool.errors import BadUrlError
from taskbound.core.tool.identity import Remote, canonical_url
from taskbound.core.tool.name import shown
from taskbound.core.tool.slot import KEY_SLOT, SECRET_SLOT, Slot, is_secret_text

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


class BadClientError(MalformedError):
    """The OAuth client cannot be pinned as described."""

    code = "bad-oauth-client"
    remedy = (
        "give `--oauth client=ID`, `--oauth issuer=URL` or `--oauth token=URL`, and `--oauth method=` how it"
        " proves itself"
    )


class BadMetadataError(MalformedError):
    """The authorization server's metadata is invalid."""

    code = "bad-oauth-metadata"
    remedy = "name the token endpoint yourself with `--oauth token=URL`, as the issuer documents it"


class OtherIssuerError(DeniedError):
    """The server names other issuers or another resource."""

    code = "other-issuer"
    remedy = "ask the provider of the client which issuer and which server it is for"


class TokenRefusedError(DeniedError):
    """The authorization server refuses a token to this client."""

    code = "token-refused"
    remedy = "see that the client's secret or key, its scopes and its resource are those that are registered"


class TokenTooWideError(DeniedError):
    """The token exceeds the request and was not used."""

    code = "token-too-wide"
    remedy = (
        "see at the issuer which scopes the client is given: have it registered for less, or pin the server"
        " with them (`--oauth scope=`)"
    )


class BadTokenError(UnavailableError):
    """The token endpoint's answer has no usable token."""

    code = "bad-token"
    remedy = "see that the pinned token endpoint is one (RFC 6749), and ask its administrator"


class TokenUnavailableError(UnavailableError):
    """The token endpoint is unreachable or gives no token now."""

    code = "no-token"
    remedy = "try again later; see that the authorization server runs"


class TokenUnreachedError(TokenUnavailableError):
    """The token endpoint was not reached, and nothing was sent to it."""

    code = "no-token-endpoint"


METHODS: Final = ("client_secret_basic", "client_secret_post", "private_key_jwt")
_BY_KEY: Final = "private_key_jwt"
_ID: Final = re.compile(r"[!-~](?:[ -~]{0,1022}[!-~])?")
_SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,256}")
_RESOURCE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-\"$-~]{1,2000}")
_MAX_SCOPES: Final = 64
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ERA: Final = "2025-11-25"  # an endpoint speaks no MCP; a `Remote` has an era


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthClient:
    """One client at one authorization server; making a bad one raises BadClientError."""

    client: str
    """The client's id; no secret."""
    token: str
    """The token endpoint."""
    method: str
    """How it proves itself there, of `METHODS`."""
    resource: str
    """What its tokens are for."""
    issuer: str = ""
    """The authorization server's identifier; empty where only the endpoint is known."""
    revocation: str = ""
    """Where tokens are given back (RFC 7009); empty where that can't be done."""
    introspection: str = ""
    """The introspection endpoint (RFC 7662); empty without introspection."""
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if _ID.fullmatch(self.client) is None or is_secret_text(self.client):
            raise BadClientError(f"`{shown(self.client[:80])}` is no client's id")
        if self.method not in METHODS:
            raise BadClientError(
                f"`{shown(self.method)}` is no way for a client to prove itself",
                remedy=f"say one of {', '.join(METHODS)}",
            )
        if len(self.scopes) > _MAX_SCOPES or any(_SCOPE.fullmatch(one) is None for one in self.scopes):
            raise BadClientError("a scope has no spaces, quotes or backslashes, and there are at most 64")
        if any(ge(one, other) for one, other in pairwise(self.scopes)):
            raise BadClientError("the scopes are not sorted and distinct")
        if _RESOURCE.fullmatch(self.resource) is None:
            raise BadClientError(f"`{shown(self.resource[:80])}` is no URI without a fragment")
        origin = endpoint(self.token).origin
        others = [endpoint(self.revocation)] if self.revocation else []
        others += [endpoint(self.introspection)] if self.introspection else []
        others += [issuer_at(self.issuer)] if self.issuer else []
        for one in others:
            if one.origin != origin:
                words = f"`{shown(one.url)}` is not at `{shown(origin)}`, where tokens are given"
                raise BadClientError(words)

    @property
    def slot(self) -> Slot:
        return KEY_SLOT if self.method == _BY_KEY else SECRET_SLOT

    @property
    def by_key(self) -> bool:
        return self.method == _BY_KEY

    @property
    def audience(self) -> str:
        """The audience of its assertion: the issuer if known, else the endpoint."""
        return self.issuer or self.token

    def value(self) -> dict[str, JsonValue]:
        return {
            "client": self.client,
            "issuer": self.issuer,
            "method": self.method,
            "resource": self.resource,
            "revocation": self.revocation,
            "scopes": list(self.scopes),
            "token": self.token,
            **({"introspection": self.introspection} if self.introspection else {}),
        }


def endpoint(url: str) -> Remote:
    try:
        found = Remote(url=url, era=_ERA)
    except MalformedError as error:
        raise BadClientError(error.message, remedy=error.advice) from error
    if "?" in url:
        raise BadClientError("an endpoint that a client asks has no query")
    return found


def issuer_at(issuer: str) -> Remote:
    try:
        return endpoint(canonical_url(issuer))
    except BadUrlError as error:
        raise BadClientError(error.message, remedy=error.advice) from error


def hidden_in(slot: Slot, value: str) -> frozenset[str]:
    """The value, its encoded header form, and each secret part of a key."""
    if slot != KEY_SLOT:
        return frozenset({value, _quoted(value)})
    try:
        key = json.loads(value)
    except (ValueError, RecursionError):
        return frozenset({value})
    parts = [key.get(name) for name in _PRIVATE] if isinstance(key, dict) else []
    return frozenset({value, *(one for one in parts if isinstance(one, str) and len(one) >= 8)})  # noqa: PLR2004 -- `slot.MIN_SECRET`


def _quoted(value: str) -> str:
    return "".join(
        one if one in _UNRESERVED else "+" if one == " " else "".join(f"%{byte:02X}" for byte in one.encode())
        for one in value
    )
