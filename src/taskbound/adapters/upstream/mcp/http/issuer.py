"""Reads an authorization server's metadata before a client is pinned; sends no secret."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from msgspec import structs

from taskbound.adapters.upstream.mcp.digest import hash_file
from taskbound.adapters.upstream.mcp.http.connect import look_up
from taskbound.adapters.upstream.mcp.http.oauth import exchange
from taskbound.core.errors import MalformedError
from taskbound.core.tool import PinnedFile
from taskbound.core.tool.identity import Remote, canonical_url
from taskbound.core.tool.name import shown
from taskbound.core.tool.oauth.client import BadClientError, BadMetadataError, endpoint
from taskbound.core.tool.oauth.token import (
    GRANT,
    parse_metadata,
    places_of_issuer,
    places_of_resource,
    require_issuer,
)

if TYPE_CHECKING:
    from taskbound.adapters.upstream.mcp.http.connect import LookUp
    from taskbound.core.tool.oauth.token import Metadata
    from taskbound.wire.tool import OAuthSpec


_PATIENCE: Final = 20.0
_OK: Final = 200
_ERA: Final = "2025-11-25"


def authorize(
    url: str, asked: OAuthSpec, *, key: str = "", authorities: str = ""
) -> tuple[OAuthSpec, tuple[str, ...]]:
    """Returns the client to pin, with its issuer's endpoints, and notes for the person (blocking).

    `asked` names an issuer or token endpoint; `key` and `authorities` restrict the server's TLS.
    """
    file = PinnedFile(path=authorities, sha256=hash_file(authorities)) if authorities else None
    key = key.lower().replace(":", "")
    server = Remote(url=canonical_url(url), era=_ERA, key=key, authorities=file)
    if not asked.issuer and not asked.token:
        raise BadClientError("neither an issuer nor a token endpoint is named")
    return asyncio.run(_authorized(server, asked))


async def _authorized(server: Remote, asked: OAuthSpec) -> tuple[OAuthSpec, tuple[str, ...]]:
    notes: list[str] = []
    found = asked if asked.resource else structs.replace(asked, resource=_resource_of(server))
    if found.issuer and not await is_issued_by(server, found.issuer):
        notes.append(
            "the server does not say who issues its tokens: nothing contradicts the issuer you named"
        )
    if not asked.token:
        said = await look_at_issuer(asked.issuer, method=asked.method)
        found = structs.replace(found, token=said.token, revocation=asked.revocation or said.revocation)
    if _place(found.resource) != server.origin:
        notes.append(
            f"tokens are for `{shown(found.resource[:200])}`, which is not where the server is: whoever runs"
            " the server is shown them, and can use them there"
        )
    if not found.revocation:
        notes.append("tokens can't be given back there: each lives on for its life when its task ends")
    return found, tuple(notes)


def _place(resource: str) -> str:
    try:
        return Remote(url=canonical_url(resource), era=_ERA).origin
    except MalformedError:
        return ""


def _resource_of(server: Remote) -> str:
    return server.origin if server.target == "/" else server.url


async def look_at_issuer(
    issuer: str,
    *,
    method: str,
    grant: str = GRANT,
    patience: float = _PATIENCE,
    look: LookUp = look_up,
    private: bool = False,
) -> Metadata:
    """Returns an issuer's metadata; raises BadClientError, BadMetadataError or TokenUnavailableError."""
    for place in places_of_issuer(issuer):
        body = await _document(endpoint(place), patience=patience, look=look, private=private)
        if body is not None:
            return parse_metadata(body, issuer=issuer, method=method, grant=grant)
    raise BadMetadataError(f"`{shown(issuer)}` has no metadata at the places where it would be")


async def is_issued_by(
    server: Remote, issuer: str, *, patience: float = _PATIENCE, look: LookUp = look_up
) -> bool:
    """Whether the server names this issuer; False without metadata, OtherIssuerError if it names others."""
    for place in places_of_resource(server):
        body = await _document(replace(server, url=place), patience=patience, look=look)
        if body is not None:
            require_issuer(body, server=server, issuer=issuer)
            return True
    return False


async def _document(place: Remote, *, patience: float, look: LookUp, private: bool = False) -> bytes | None:
    said = await exchange(place, "GET", (), b"", patience=patience, look=look, private=private)
    if 300 <= said.status < 400:  # noqa: PLR2004 -- what HTTP calls a redirection
        raise BadMetadataError(f"`{shown(place.url)}` sends elsewhere, and is not followed there")
    return said.body if (said.status, said.kind) == (_OK, b"application/json") else None
