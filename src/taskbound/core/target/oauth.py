"""An OAuth authorization server as a target: our client there, and which tokens a task may have.

1. Client, endpoints and client authentication are declared and part of the target's identity. Endpoints have
   the issuer's origin and use https, or http on the loopback (`tool.oauth.client`), so an issuer's metadata
   cannot redirect the secret. The name must resolve to public addresses unless declared `private`.
2. A token is for one declared resource (RFC 8707), scopes, and authorization details (RFC 9396). All of them
   may contain parameters, except names of members and the `type` of a detail. The server must return exactly
   the requested details, in any order (§7).
3. A token that lives longer than `lasts` is not accepted, which bounds the use of a lost one.
4. Tokens are `revocable` only if the server has revocation (RFC 7009) and introspection (RFC 7662) endpoints.
5. Without a declared token endpoint, the issuer's metadata (RFC 8414) must give all endpoints, with those
   two.
6. With a `subject_issuer`, tokens are exchanged (RFC 8693) for statements about the task's person and agent,
   signed with the client's own key for the issuer. The server is asked about each issued token.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.target.errors import BadKindError, BadTargetError
from taskbound.core.target.reading import fill, places_in
from taskbound.core.tool.oauth.client import OAuthClient, endpoint, issuer_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue


MOST_DETAILS: Final = 16
_MOST_BYTES: Final = 8_192
_LIST: Final = "authorization_details"


def details_of(values: Sequence[JsonValue]) -> str:
    """Returns the details as canonical JSON, empty for none; raises BadKindError by rule 2."""
    if not values:
        return ""
    if len(values) > MOST_DETAILS:
        raise BadKindError(f"a kind has {MOST_DETAILS} authorization details at most")
    for one in values:
        kind = one.get("type") if isinstance(one, dict) else None
        if not isinstance(kind, str) or not kind or set("{}") & set(kind):
            raise BadKindError("each of the authorization details is an object with a `type` of its own")
        if any(set("{}") & set(name) for name in _names(one)):
            raise BadKindError("a name in authorization details has no place of a parameter")
    try:
        text = canonical(list(values)).decode()
    except MalformedError as error:
        raise BadKindError(error.message) from error
    if len(text.encode()) > _MOST_BYTES:
        raise BadKindError(f"authorization details have {_MOST_BYTES} bytes at most")
    places_in(_texts(list(values)))
    return text


def places_of_details(details: str) -> tuple[str, ...]:
    """Returns the names of all parameters in the details, sorted."""
    return places_in(_texts(_read(details)))


def fill_details(details: str, context: Mapping[str, str]) -> str:
    """Returns the details with parameters filled in, empty for none; raises BadKindError for a bad value."""
    return canonical(_filled(_read(details), context)).decode() if details else ""


def is_given(asked: str, said: str) -> bool:
    """Compares granted with requested details, both as canonical JSON, empty for none (rule 2)."""
    try:
        given, wanted = _read(said), _read(asked)
    except MalformedError:
        return False
    if not isinstance(given, list) or not isinstance(wanted, list):
        return False
    return sorted(map(canonical, given)) == sorted(map(canonical, wanted))


def _read(details: str) -> JsonValue:
    return parse_object(f'{{"{_LIST}":{details or "[]"}}}'.encode())[_LIST]


def _texts(value: JsonValue) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from _texts(one)
        case dict():
            for one in value.values():
                yield from _texts(one)
        case _:
            return


def _names(value: JsonValue) -> Iterator[str]:
    match value:
        case list():
            for one in value:
                yield from _names(one)
        case dict():
            for name, one in value.items():
                yield name
                yield from _names(one)
        case _:
            return


def _filled(value: JsonValue, context: Mapping[str, str]) -> JsonValue:
    match value:
        case str():
            return fill(value, context)
        case list():
            return [_filled(one, context) for one in value]
        case dict():
            return {name: _filled(one, context) for name, one in value.items()}
        case _:
            return value


LONGEST_TOKEN: Final = 86_400
"""Seconds that a token may live at most, whatever the file says."""
MOST_SCOPES: Final = 64
_SHOWN: Final = 80
_ANY: Final = "urn:taskbound:any"
"""Stands for a resource where only the client is looked at."""
_SOMEWHERE: Final = "https://x.example/"
"""Stands for an endpoint where only what is asked for is looked at."""
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_AUDIENCE: Final = re.compile(r"[!-~]{1,1024}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OauthPlace:
    """The authorization server and our client there. Raises BadTargetError by rules 1 and 3."""

    client: str
    method: str
    token: str = ""
    """The token endpoint; empty where the issuer says it (rule 5)."""
    issuer: str = ""
    subject_issuer: str = ""
    """The issuer of subject statements, as the authorization server knows it (rule 6); empty for none."""
    revocation: str = ""
    introspection: str = ""
    lasts: int = 3_600
    """Seconds that a token lives at most (rule 3)."""
    private: bool = False
    """Whether the name may lead to a network of one's own (rule 1)."""
    host: str = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        if not self.token and (not self.issuer or self.revocation or self.introspection):
            raise BadTargetError(
                "either the token endpoint is declared, or the issuer says all endpoints"
            )  # 5
        by_key = self.issuer and self.method == "private_key_jwt"
        if self.subject_issuer and not (by_key and (self.introspection or not self.token)):
            raise BadTargetError(
                "who states subjects is a client with `private_key_jwt`, an `issuer` and `introspection`"
            )  # 6
        if self.subject_issuer in {self.client, self.issuer} - {""}:
            raise BadTargetError("who states subjects is neither the client nor the authorization server")
        try:
            if self.subject_issuer:
                issuer_at(self.subject_issuer)
            place = endpoint(self.client_for(_ANY, ()).token).read
        except MalformedError as error:
            raise BadTargetError(error.message) from error
        if not 1 <= self.lasts <= LONGEST_TOKEN:
            raise BadTargetError(f"a token lives 1 to {LONGEST_TOKEN} seconds")
        object.__setattr__(self, "host", place.host)
        object.__setattr__(self, "port", place.port)

    @property
    def revocable(self) -> bool:
        """Whether a token can be revoked and its end be verified (rule 4)."""
        return bool(self.revocation and self.introspection) or not self.token

    def client_for(self, resource: str, scopes: tuple[str, ...]) -> OAuthClient:
        """Returns the client that requests such a token; raises BadClientError if it is not valid."""
        return OAuthClient(
            client=self.client,
            token=self.token or issuer_at(self.issuer).url,
            method=self.method,
            resource=resource,
            issuer=self.issuer,
            revocation=self.revocation,
            introspection=self.introspection,
            scopes=scopes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OauthKind:
    """The tokens of a kind. Raises BadKindError by rule 2."""

    resource: str
    scopes: tuple[str, ...] = ()
    audience: str = ""
    """Said beside the resource, for servers that know no RFC 8707; empty for none."""
    details: str = ""
    """`authorization_details` (`target.details`); empty for none."""
    variable: str = "OAUTH_ACCESS_TOKEN"
    """The name that the token is handed out under."""

    def __post_init__(self) -> None:
        """Validates the kind with a sample word for each parameter."""
        if list(self.scopes) != sorted(set(self.scopes)) or len(self.scopes) > MOST_SCOPES:
            raise BadKindError(f"scopes are sorted, each there once, and {MOST_SCOPES} at most")
        if _VARIABLE.fullmatch(self.variable) is None:
            raise BadKindError(f"`{escape_text(self.variable[:_SHOWN])}` can't name a variable")
        if self.audience and _AUDIENCE.fullmatch(self.audience) is None:
            raise BadKindError("the audience is a text without spaces")
        self.asked(dict.fromkeys(self.parameters, "x"))
        self.asked_details(dict.fromkeys(self.parameters, "x"))

    @property
    def parameters(self) -> tuple[str, ...]:
        texts = places_in([self.resource, self.audience, *self.scopes])
        return tuple(sorted({*texts, *places_of_details(self.details)}))

    @property
    def words(self) -> str:
        scopes = f"the scopes `{escape_text(' '.join(self.scopes))}`" if self.scopes else "no scope"
        audience = f" (`{escape_text(self.audience)}`)" if self.audience else ""
        details = f" and the details `{escape_text(self.details)}`" if self.details else ""
        return f"a token for `{escape_text(self.resource)}`{audience} with {scopes}{details}"

    def asked_details(self, context: Mapping[str, str]) -> str:
        """Returns the filled-in details, empty for none; raises BadKindError for a bad value."""
        return fill_details(self.details, context)

    def asked(self, context: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]]:
        """Returns resource, audience and scopes, filled in; raises BadKindError for a bad value."""
        resource, audience = fill(self.resource, context), fill(self.audience, context)
        scopes = tuple(sorted({fill(one, context) for one in self.scopes}))
        try:
            OAuthClient(
                client="x",
                token=_SOMEWHERE,
                method="client_secret_basic",
                resource=resource,
                scopes=scopes,
            )
        except MalformedError as error:
            raise BadKindError(error.message) from error
        return resource, audience, scopes
