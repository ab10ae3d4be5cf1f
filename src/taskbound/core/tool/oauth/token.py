"""Tokens of an upstream authorization server: metadata, requests and answers.

`token`: An answer is one strict JSON object, `application/json`, with status 200 for a token (RFC 6749
§5). Redirects are not followed. A token has type `Bearer` (RFC 6750 §2.1) and is long enough to be found
in texts. Its lifetime is 1 s to a year, `DEFAULT_LIFE` if absent. Its scope is the requested one unless
the answer states less; more is refused. A refresh token beside it is refused, because its end could not be
controlled. No text of the endpoint is repeated except standard error codes; it may contain the secret.

`exchange`: Subject and actor are two assertions (`JWT`), signed by the requester for the authorization
server. The subject's names the actor (`may_act`, §4.4). The answer must be an access token
(`issued_token_type`, §2.2.1) with a scope if one was requested. Introspection (RFC 7662 §2.2; `act`, RFC
8693 §4.1) must name the exact subject and outermost actor; `aud` and client, if present, must be the
requested ones.

`metadata`: Metadata is fetched from the places that MCP names, in order (RFC 8414, then OpenID Connect
Discovery), and must name the exact issuer. It only supplies endpoints at the issuer's origin. Pinned
method, grant and algorithm must be among those it states. A server's statement about its issuers (RFC
9728) never selects one; if it names others, pinning is refused.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import Limits, parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool.name import shown
from taskbound.core.tool.oauth.client import (
    BadClientError,
    BadMetadataError,
    BadTokenError,
    OtherIssuerError,
    TokenRefusedError,
    TokenTooWideError,
    TokenUnavailableError,
    endpoint,
    issuer_at,
)
from taskbound.core.tool.slot import MAX_SECRET, MIN_SECRET

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.errors import TaskboundError
    from taskbound.core.tool.identity import Remote


MAX_ANSWER: Final = 65_536
"""Bytes of an answer."""
DEFAULT_LIFE: Final = 300
"""The lifetime in seconds of a token without a stated one."""
MAX_LIFE: Final = 31_536_000
_LIMITS: Final = Limits(size=MAX_ANSWER)
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_OK: Final = 200
_FAULTY: Final = 500
_TOO_MANY: Final = 429
_KNOWN: Final = frozenset(
    {
        "access_denied", "invalid_authorization_details", "invalid_client", "invalid_grant",
        "invalid_request", "invalid_scope", "invalid_target", "server_error",
        "temporarily_unavailable", "unauthorized_client", "unsupported_grant_type",
    }
)  # fmt: skip  # a list of words reads better as words
_PASSING: Final = frozenset({"server_error", "temporarily_unavailable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token; its repr omits it."""

    value: str = field(repr=False)
    seconds: int
    """How long it lives, from when it was asked for."""
    scopes: tuple[str, ...]
    """What it is for, sorted."""
    says_scope: bool = True
    """Whether the answer says so; else it is taken for what was asked for."""
    kind: str = ""
    """The `issued_token_type` of RFC 8693; empty where none is said."""
    details: str = ""
    """The `authorization_details` that it is said to have (RFC 9396), canonical JSON; empty for none."""


def parse_token(
    status: int, kind: bytes, body: bytes, *, asked: Collection[str], default: int | None = DEFAULT_LIFE
) -> Token:
    """`kind` is the media type in lower case; `default` None requires a lifetime in the answer."""
    if 300 <= status < 400:  # noqa: PLR2004 -- what HTTP calls a redirection
        raise BadTokenError("the token endpoint sends elsewhere, and is not followed there")
    if status != _OK:
        raise _refusal(status, kind, body)
    answer = _object(kind, body)
    if answer is None:
        raise BadTokenError("the token endpoint's answer is no JSON object")
    return _token(answer, asked, default)


def parse_about(status: int, kind: bytes, body: bytes) -> Mapping[str, JsonValue]:
    """Parses an introspection answer with `active` (RFC 7662 §2.2)."""
    if status != _OK:
        raise _refusal(status, kind, body)
    said = _object(kind, body) or {}
    if not isinstance(said.get("active"), bool):
        raise BadTokenError("what was asked about a token is not answered")
    return said


def tokens_in(kind: bytes, body: bytes) -> tuple[str, ...]:
    """All credentials in a refused answer, which must be revoked."""
    answer = _object(kind, body) or {}
    found = [answer.get(name) for name in ("refresh_token", "access_token")]
    return tuple(one for one in found if isinstance(one, str) and 0 < len(one) <= MAX_SECRET)


def _token(answer: dict[str, JsonValue], asked: Collection[str], default: int | None) -> Token:
    value, kind = answer.get("access_token"), answer.get("token_type")
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise BadTokenError("the token endpoint's token cannot be sent in a header")
    if not MIN_SECRET <= len(value) <= MAX_SECRET:
        raise BadTokenError(f"the token endpoint's token has not {MIN_SECRET} to {MAX_SECRET} bytes")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise BadTokenError("the token endpoint's token is not of the type `Bearer`")
    if "refresh_token" in answer:
        raise BadTokenError("the token came with a refresh token, which this grant has not")
    seconds = answer.get("expires_in", default)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= MAX_LIFE:
        raise BadTokenError("the token's life is no whole number of seconds within a year")
    issued, details = answer.get("issued_token_type"), answer.get("authorization_details")
    return Token(
        value=value,
        seconds=seconds,
        scopes=_scopes(answer.get("scope"), asked),
        says_scope="scope" in answer,
        kind=issued if isinstance(issued, str) else "",
        details="" if details is None else canonical(details).decode(),
    )


def _scopes(said: JsonValue, asked: Collection[str]) -> tuple[str, ...]:
    if said is None:
        return tuple(sorted(asked))
    if not isinstance(said, str):
        raise BadTokenError("the token's scope is no text")
    found = set(said.split())
    more = sorted(found - set(asked))
    if more:
        raise TokenTooWideError(f"the token has {len(more)} scopes that were not asked for")
    return tuple(sorted(found))


def _refusal(status: int, kind: bytes, body: bytes) -> TaskboundError:
    answer = _object(kind, body)
    said = answer.get("error") if answer is not None else None
    if status == _TOO_MANY or status >= _FAULTY or said in _PASSING:
        return TokenUnavailableError(f"the token endpoint gives no token now: HTTP status {status}")
    if not isinstance(said, str):
        return BadTokenError(f"the token endpoint answers with HTTP status {status}, and no error of OAuth")
    word = said if said in _KNOWN else "an error that OAuth does not know"
    return TokenRefusedError(f"the authorization server gives this client no token: {word}")


def _object(kind: bytes, body: bytes) -> dict[str, JsonValue] | None:
    if kind != b"application/json":
        return None
    try:
        return parse_object(body, limits=_LIMITS)
    except MalformedError:
        return None


EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type, and no secret
_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionParties:
    """Subject and actor, as named in assertions."""

    subject: str
    actor: str
    task: str = field(default="")
    """The task that it is for; empty of a canary."""


def words_of(subject: str, actor: str) -> dict[str, str]:
    return {
        "subject_token": subject,
        "subject_token_type": _JWT,
        "actor_token": actor,
        "actor_token_type": _JWT,
        "requested_token_type": ACCESS_TOKEN,
    }


def require_exchanged(token: Token, asked: Collection[str]) -> None:
    """Raises BadTokenError unless it is an access token that states its scope."""
    if token.kind != ACCESS_TOKEN:
        raise BadTokenError("what the token was exchanged for is no access token, or nothing says so")
    if asked and not token.says_scope:
        raise BadTokenError("the token was exchanged for one that says no scope")


def require_about(
    said: Mapping[str, JsonValue],
    whom: AssertionParties,
    asked: Collection[str],
    *,
    places: tuple[str, ...],
    client: str,
) -> None:
    """Raises BadTokenError or TokenTooWideError unless introspection confirms the request."""
    if said.get("active") is not True:
        raise BadTokenError("the authorization server does not know the token that it gave")
    actor = said.get("act")
    if said.get("sub") != whom.subject:
        raise BadTokenError("the token is for another one than was asked for, or nothing says for whom")
    if not isinstance(actor, dict) or actor.get("sub") != whom.actor:
        raise BadTokenError("another one acts with the token than was asked for, or nothing says who")
    scope = said.get("scope", "")
    if not isinstance(scope, str) or set(scope.split()) - set(asked):
        raise TokenTooWideError("the authorization server says of its token that it is for more scopes")
    if said.get("client_id", client) != client:
        raise BadTokenError("the authorization server says of its token that another client has it")
    audience = said.get("aud", [])
    if any(one not in places for one in (audience if isinstance(audience, list) else [audience])):
        raise TokenTooWideError("the authorization server says of its token that it is for other resources")


GRANT: Final = "client_credentials"
_WELL_KNOWN: Final = "/.well-known/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The used part of the metadata."""

    token: str
    revocation: str
    """Empty where tokens can't be given back."""
    introspection: str = ""
    """Empty where tokens can't be asked about."""


def places_of_issuer(issuer: str) -> tuple[str, ...]:
    """The metadata URLs of an issuer, in order; raises BadClientError."""
    origin, path = _parted(issuer_at(issuer))
    oauth, openid = "oauth-authorization-server", "openid-configuration"
    if not path:
        return (f"{origin}{_WELL_KNOWN}{oauth}", f"{origin}{_WELL_KNOWN}{openid}")
    return (
        f"{origin}{_WELL_KNOWN}{oauth}{path}",
        f"{origin}{_WELL_KNOWN}{openid}{path}",
        f"{origin}{path}{_WELL_KNOWN}{openid}",
    )


def places_of_resource(server: Remote) -> tuple[str, ...]:
    """The URLs at which a server may name its issuers, in order."""
    origin, path = _parted(server)
    name = f"{origin}{_WELL_KNOWN}oauth-protected-resource"
    return (f"{name}{path}", name) if path else (name,)


def parse_metadata(body: bytes, *, issuer: str, method: str, grant: str = GRANT) -> Metadata:
    found = _read(body, "the issuer's metadata")
    said = found.get("issuer")
    if not isinstance(said, str) or said != issuer:
        named = f"`{shown(said[:200])}`" if isinstance(said, str) else "no issuer"
        raise BadMetadataError(
            f"the metadata of `{shown(issuer)}` is that of {named}",
            remedy="give `--oauth issuer=` as the issuer itself writes it, letter by letter",
        )
    _require_among(found, "grant_types_supported", grant)
    _require_among(found, "token_endpoint_auth_methods_supported", method)
    names = ("token_endpoint", "revocation_endpoint", "introspection_endpoint")
    token, revocation, introspection = (_text(found, name) for name in names)
    if not token:
        raise BadMetadataError(f"`{shown(issuer)}` names no token endpoint")
    for one in (token, revocation, introspection):
        try:
            foreign = bool(one) and endpoint(one).origin != issuer_at(issuer).origin
        except BadClientError as error:
            words = f"an endpoint of `{shown(issuer)}` can't be asked: {error.message}"
            raise BadMetadataError(words) from error
        if foreign:
            words = f"`{shown(issuer)}` names an endpoint of another host: `{shown(one[:200])}`"
            raise BadMetadataError(words)
    return Metadata(token=token, revocation=revocation, introspection=introspection)


def require_issuer(body: bytes, *, server: Remote, issuer: str) -> None:
    """Raises OtherIssuerError or BadMetadataError unless the server names this issuer."""
    found = _read(body, "what the server says of its issuers")
    resource, issuers = found.get("resource"), found.get("authorization_servers", [])
    if not isinstance(resource, str) or not _covers(resource, server):
        named = f"`{shown(resource[:200])}`" if isinstance(resource, str) else "nothing"
        words = f"the server says that it is {named}, and was reached at `{shown(server.url)}`"
        raise OtherIssuerError(words)
    wanted = issuer_at(issuer).url
    if not isinstance(issuers, list) or not any(_is_at(one, wanted) for one in issuers):
        raise OtherIssuerError(f"the server does not say that `{shown(issuer)}` issues its tokens")


def _is_at(said: JsonValue, wanted: str) -> bool:
    if not isinstance(said, str):
        return False
    try:
        return issuer_at(said).url == wanted
    except BadClientError:
        return False


def _covers(resource: str, server: Remote) -> bool:
    at, whole = resource.rstrip("/"), server.url.partition("?")[0].rstrip("/")
    return whole == at or whole.startswith(f"{at}/")


def _text(found: dict[str, JsonValue], name: str) -> str:
    said = found.get(name)
    if said is not None and not isinstance(said, str):
        raise BadMetadataError(f"what the issuer says as its `{name}` is no text")
    return said or ""


def _parted(place: Remote) -> tuple[str, str]:
    return place.origin, place.read.path.rstrip("/")


def _require_among(found: dict[str, JsonValue], name: str, wanted: str) -> None:
    listed = found.get(name)
    if listed is not None and (not isinstance(listed, list) or wanted not in listed):
        raise BadMetadataError(f"the issuer does not list `{wanted}` in its `{name}`")


def _read(body: bytes, what: str) -> dict[str, JsonValue]:
    try:
        return parse_object(body, limits=_LIMITS)
    except MalformedError as error:
        raise BadMetadataError(f"{what} is no JSON object that can be read") from error
