"""Tokens of an upstream authorization server: its metadata, its endpoint and its answers.

Of `token`:

Rules:

1. An answer is one strict JSON object of type `application/json`: a token with status 200, an error with
   another one (RFC 6749 §5). Redirections are not followed.
2. A token is one of RFC 6750 (§2.1), of the type `Bearer`, with as many bytes as can be told from other text.
3. Its life is a whole number of seconds, from 1 to a year. Where none is said it is `DEFAULT_LIFE`.
4. Its scope is what was asked for, unless the answer says less; more is refused. The word of the endpoint is
   all that is known of it: a server that takes the token looks at what is in it.
5. It comes alone: with a refresh token beside it there would be a second credential, of which nobody knows
   how it ends.
6. Nothing that the endpoint says is repeated but an error's code that the standards know: the rest may be the
   secret that it was given.

Of `exchange`:

Rules:

1. The subject is for whom, the actor is who acts for them: two statements (`JWT`), each signed by who asks,
   for the authorization server alone. The subject's names the actor (`may_act`, §4.4), so that no other
   actor's can be put beside it.
2. What comes has to be an access token (`issued_token_type`, §2.2.1), and say its scope where one was asked
   for, also where it is the very same: what nobody says is taken for nothing.
3. The server itself says of the token for whom it is and who acts (RFC 7662 §2.2; `act`, RFC 8693 §4.1): the
   outermost actor alone counts. Both are the names that were stated, letter by letter. Where it also says
   for which resources it is (`aud`) or to which client it was given, that has to be what was asked for, and
   who asked: a token for one place more is another token.

Of `metadata`:

Rules:

1. An issuer's metadata is at the places that MCP names, in that order (RFC 8414, and OpenID Connect Discovery
   for those who have only that). It has to name the issuer it was asked of, letter by letter.
2. It only says where the issuer's endpoints are: at its own origin (`client`, rule 3), or the person names
   them. Where it says how clients prove themselves, which grants there are, or which algorithms, what is
   pinned has to be among it.
3. A server may say who issues its tokens (RFC 9728). What it says never chooses an issuer: the person has
   named one, for the client is known there and nowhere else. Where the server names others, it is not pinned.
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
"""Seconds that a token is used for of which nobody says how long it lives."""
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
    """One token; it is not in its repr."""

    value: str = field(repr=False)
    seconds: int
    """How long it lives, from when it was asked for."""
    scopes: tuple[str, ...]
    """What it is for, sorted."""
    says_scope: bool = True
    """Whether the answer says so; else it is taken for what was asked for (rule 4)."""
    kind: str = ""
    """The `issued_token_type` of RFC 8693; empty where none is said."""
    details: str = ""
    """The `authorization_details` that it is said to have (RFC 9396), canonical JSON; empty for none."""


def parse_token(
    status: int, kind: bytes, body: bytes, *, asked: Collection[str], default: int | None = DEFAULT_LIFE
) -> Token:
    """The token in an answer.

    Args:
        status: Of HTTP.
        kind: The media type in small letters, without parameters.
        body: At most `MAX_ANSWER` bytes.
        asked: The scopes that were asked for.
        default: Seconds that it is taken to live where nobody says; None where it has to be said.

    Raises:
        TokenRefusedError: There is none for this client.
        TokenUnavailableError: There is none now.
        TokenTooWideError: It is for more than was asked for (rule 4).
        BadTokenError: The answer is none, or the token can't be used.
    """
    if 300 <= status < 400:  # noqa: PLR2004 -- what HTTP calls a redirection
        raise BadTokenError("the token endpoint sends elsewhere, and is not followed there")
    if status != _OK:
        raise _refusal(status, kind, body)
    answer = _object(kind, body)
    if answer is None:
        raise BadTokenError("the token endpoint's answer is no JSON object")  # 1
    return _token(answer, asked, default)


def parse_about(status: int, kind: bytes, body: bytes) -> Mapping[str, JsonValue]:
    """What is said of the token that was asked about (RFC 7662 §2.2): with `active`, which is true or false.

    Raises:
        TokenRefusedError: This client may not ask.
        TokenUnavailableError: There is no answer to it now.
        BadTokenError: The answer says neither.
    """
    if status != _OK:
        raise _refusal(status, kind, body)
    said = _object(kind, body) or {}
    if not isinstance(said.get("active"), bool):
        raise BadTokenError("what was asked about a token is not answered")
    return said


def tokens_in(kind: bytes, body: bytes) -> tuple[str, ...]:
    """Every credential in an answer that was refused, to be given back."""
    answer = _object(kind, body) or {}
    found = [answer.get(name) for name in ("refresh_token", "access_token")]
    return tuple(one for one in found if isinstance(one, str) and 0 < len(one) <= MAX_SECRET)


def _token(answer: dict[str, JsonValue], asked: Collection[str], default: int | None) -> Token:
    value, kind = answer.get("access_token"), answer.get("token_type")
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise BadTokenError("the token endpoint's token is none that can stand in a header")  # 2
    if not MIN_SECRET <= len(value) <= MAX_SECRET:
        raise BadTokenError(f"the token endpoint's token has not {MIN_SECRET} to {MAX_SECRET} bytes")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise BadTokenError("the token endpoint's token is not of the type `Bearer`")
    if "refresh_token" in answer:
        raise BadTokenError("the token came with a refresh token, which this grant has not")  # 5
    seconds = answer.get("expires_in", default)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= MAX_LIFE:
        raise BadTokenError("the token's life is no whole number of seconds within a year")  # 3
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
    """What the token is for (rule 4)."""
    if said is None:
        return tuple(sorted(asked))
    if not isinstance(said, str):
        raise BadTokenError("the token's scope is no text")
    found = set(said.split())
    more = sorted(found - set(asked))
    if more:
        raise TokenTooWideError(f"the token has {len(more)} scopes that were not asked for")  # 6
    return tuple(sorted(found))


def _refusal(status: int, kind: bytes, body: bytes) -> TaskboundError:
    """What an answer that is no token says (rule 6)."""
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
class Whom:
    """For whom a token is, and who acts; as they are named in statements."""

    subject: str
    actor: str
    task: str = field(default="")
    """The task that it is for; empty of a canary."""


def words_of(subject: str, actor: str) -> dict[str, str]:
    """What is said to the token endpoint beside scope and resource (rule 1).

    Args:
        subject: The statement of the subject.
        actor: That of the actor.
    """
    return {
        "subject_token": subject,
        "subject_token_type": _JWT,
        "actor_token": actor,
        "actor_token_type": _JWT,
        "requested_token_type": ACCESS_TOKEN,
    }


def require_exchanged(token: Token, asked: Collection[str]) -> None:
    """Go on only with an access token that says what it is for (rule 2).

    Raises:
        BadTokenError: It is none, or doesn't.
    """
    if token.kind != ACCESS_TOKEN:
        raise BadTokenError("what the token was exchanged for is no access token, or nothing says so")
    if asked and not token.says_scope:
        raise BadTokenError("the token was exchanged for one that says no scope")


def require_about(
    said: Mapping[str, JsonValue],
    whom: Whom,
    asked: Collection[str],
    *,
    places: tuple[str, ...],
    client: str,
) -> None:
    """Go on only with a token that is theirs by the server's own word (rule 3).

    Args:
        said: What it says of the token.
        whom: For whom it was asked.
        asked: The scopes that were asked for.
        places: The resource and the audience that were asked for.
        client: Who asked for it.

    Raises:
        BadTokenError: It is no token, or another's.
        TokenTooWideError: It is for more than was asked for.
    """
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
    """What of it is of use."""

    token: str
    revocation: str
    """Empty where tokens can't be given back."""
    introspection: str = ""
    """Empty where tokens can't be asked about."""


def places_of_issuer(issuer: str) -> tuple[str, ...]:
    """Where an issuer's metadata may be, in order (rule 1).

    Raises:
        BadClientError: The issuer is no URL that can be asked.
    """
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
    """Where a server may say who issues its tokens, in order."""
    origin, path = _parted(server)
    name = f"{origin}{_WELL_KNOWN}oauth-protected-resource"
    return (f"{name}{path}", name) if path else (name,)


def parse_metadata(body: bytes, *, issuer: str, method: str, grant: str = GRANT) -> Metadata:
    """What an issuer says of itself.

    Args:
        body: The document.
        issuer: Whom it was asked of, as a person typed it.
        method: How the client is to prove itself there.
        grant: By what it is to get tokens.

    Raises:
        BadMetadataError: It is another's, or says that the client can't get tokens so, or can't be read.
    """
    found = _read(body, "the issuer's metadata")
    said = found.get("issuer")
    if not isinstance(said, str) or said != issuer:
        named = f"`{shown(said[:200])}`" if isinstance(said, str) else "no issuer"
        raise BadMetadataError(
            f"the metadata of `{shown(issuer)}` is that of {named}",
            remedy="give `--oauth issuer=` as the issuer itself writes it, letter by letter",
        )  # 1
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
    """Go on only with a server that says that this issuer issues its tokens (rule 3).

    Raises:
        OtherIssuerError: It names others, or says that it is another server.
        BadMetadataError: What it says can't be read.
    """
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
    """Whether an issuer is this one; of a whole host some write a slash, and some don't."""
    if not isinstance(said, str):
        return False
    try:
        return issuer_at(said).url == wanted
    except BadClientError:
        return False


def _covers(resource: str, server: Remote) -> bool:
    """Whether a resource's identifier is this server, or a place above it."""
    at, whole = resource.rstrip("/"), server.url.partition("?")[0].rstrip("/")
    return whole == at or whole.startswith(f"{at}/")


def _text(found: dict[str, JsonValue], name: str) -> str:
    """What an issuer says by this name; empty where it says nothing."""
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
