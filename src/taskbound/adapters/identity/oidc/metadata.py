"""What an issuer says of itself: where its keys are, and nothing else that is of use here.

1. It is at the place of OpenID Connect Discovery (§4), else at that of RFC 8414 (§3).
2. It has to name the issuer that it was asked of, letter by letter.
3. Its keys are at its own origin, or at the other one that was named for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, parse_object
from taskbound.core.errors import MalformedError
from taskbound.core.tool.name import shown
from taskbound.core.tool.oauth.client import endpoint, issuer_at
from taskbound.core.tool.oauth.errors import BadClientError, BadMetadataError

if TYPE_CHECKING:
    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.ports.identity import Documents

__all__ = ["find_keys"]

_LIMITS: Final = Limits(size=65_536, depth=8, parts=2_048)


def find_keys(issuer: IdentityIssuer, documents: Documents) -> str:
    """Where the issuer's keys are.

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


def _read(body: bytes, issuer: IdentityIssuer) -> str:
    try:
        found = parse_object(body, limits=_LIMITS)
    except MalformedError as error:
        raise BadMetadataError("the issuer's metadata is no JSON object that can be read") from error
    said, keys = found.get("issuer"), found.get("jwks_uri")
    if said != issuer.issuer:
        named = f"`{shown(said[:200])}`" if isinstance(said, str) else "no issuer"
        raise BadMetadataError(f"the metadata of `{shown(issuer.issuer)}` is that of {named}")  # 2
    try:
        origin = endpoint(keys).origin if isinstance(keys, str) else ""
    except BadClientError as error:
        raise BadMetadataError(f"the keys of `{shown(issuer.issuer)}` can't be asked for") from error
    if not isinstance(keys, str) or origin not in {
        issuer_at(issuer.issuer).origin,
        issuer.keys_at or origin[:0],
    }:
        raise BadMetadataError(
            f"the keys of `{shown(issuer.issuer)}` are at another host: `{shown(origin)}`",
            remedy="name that origin for this issuer (`--keys-at`) if it is known to be the issuer's",
        )  # 3
    return keys
