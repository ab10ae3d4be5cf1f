"""What an authorization server and a protected resource say of themselves, looked at once before a pin.

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

from typing import TYPE_CHECKING, Final

from taskbound.core.action.parse import Limits, parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool.name import shown
from taskbound.core.tool.oauth.client import endpoint, issuer_at
from taskbound.core.tool.oauth.errors import BadClientError, BadMetadataError, OtherIssuerError
from taskbound.core.tool.oauth.token import MAX_ANSWER

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.remote import Remote


GRANT: Final = "client_credentials"
_WELL_KNOWN: Final = "/.well-known/"
_LIMITS: Final = Limits(size=MAX_ANSWER)


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
