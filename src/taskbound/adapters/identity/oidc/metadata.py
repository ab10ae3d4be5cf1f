"""What an issuer says of itself: where its keys are, and for people where they sign in and we get tokens.

1. It is at the place of OpenID Connect Discovery (§4), else at that of RFC 8414 (§3).
2. It has to name the issuer that it was asked of, letter by letter.
3. Its keys are at its own origin, or at the other one that was named for it; so is where it gives tokens.
   People sign in at its own origin and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action import Limits, parse_object
from taskbound.core.errors import MalformedError
from taskbound.core.tool.name import shown
from taskbound.core.tool.oauth.client import endpoint, issuer_at
from taskbound.core.tool.oauth.errors import BadClientError, BadMetadataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.ports.identity import Documents


Said: TypeAlias = "Mapping[str, JsonValue]"
"""What an issuer says of itself."""

_LIMITS: Final = Limits(size=65_536, depth=8, parts=2_048)


def find_keys(issuer: IdentityIssuer, documents: Documents) -> str:
    """Where the issuer's keys are; raises as the two that it is made of."""
    return keys_in(find_metadata(issuer, documents), issuer)


def find_metadata(issuer: IdentityIssuer, documents: Documents) -> Said:
    """What the issuer says of itself.

    Raises:
        IssuerUnreachableError: It is not reached.
        BadMetadataError: It says nothing that can be believed.
    """
    for place in _places(issuer.issuer):
        body = documents.fetch(place, private=issuer.private)
        if body is not None:
            return _read(body, issuer)
    raise BadMetadataError(f"`{shown(issuer.issuer)}` has no metadata at the places where it would be")


def _places(issuer: str) -> tuple[str, ...]:
    at = issuer_at(issuer)
    path = at.read.path.rstrip("/")
    return (  # 1
        f"{at.origin}{path}/.well-known/openid-configuration",
        f"{at.origin}/.well-known/oauth-authorization-server{path}",
    )


def _read(body: bytes, issuer: IdentityIssuer) -> Said:
    try:
        found = parse_object(body, limits=_LIMITS)
    except MalformedError as error:
        raise BadMetadataError("the issuer's metadata is no JSON object that can be read") from error
    said = found.get("issuer")
    if said != issuer.issuer:
        named = f"`{shown(said[:200])}`" if isinstance(said, str) else "no issuer"
        raise BadMetadataError(f"the metadata of `{shown(issuer.issuer)}` is that of {named}")  # 2
    return found


def keys_in(said: Said, issuer: IdentityIssuer) -> str:
    """Where the issuer's keys are, as it says.

    Raises:
        BadMetadataError: Nowhere, or where nobody said that they may be (rule 3).
    """
    advice = "name that origin for this issuer (`--keys-at`) if it is known to be the issuer's"
    return place_in(said, "jwks_uri", issuer, other=issuer.keys_at, what="the keys", advice=advice)


def place_in(said: Said, member: str, issuer: IdentityIssuer, *, other: str, what: str, advice: str) -> str:
    """Where something of the issuer's is, as it says.

    Args:
        said: What it says of itself.
        member: The member that says it.
        issuer: The issuer.
        other: The other origin at which it may be; empty for none.
        what: What is looked for, in words.
        advice: What to do where it is elsewhere.

    Raises:
        BadMetadataError: Nowhere, or where nobody said that it may be (rule 3).
    """
    named = said.get(member)
    try:
        origin = endpoint(named).origin if isinstance(named, str) else ""
    except BadClientError as error:
        raise BadMetadataError(f"{what} of `{shown(issuer.issuer)}` can't be asked for") from error
    if not isinstance(named, str) or origin not in {issuer_at(issuer.issuer).origin, other or origin[:0]}:
        words = f"{what} of `{shown(issuer.issuer)}` are at another host: `{shown(origin)}`"
        raise BadMetadataError(words, remedy=advice)  # 3
    return named
