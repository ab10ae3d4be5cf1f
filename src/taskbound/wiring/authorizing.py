"""Connects adapters that talk to authorization servers as credential targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.adapters.keys.assertion import assertion, statement
from taskbound.adapters.upstream.mcp.http.connect import look_up
from taskbound.adapters.upstream.mcp.http.issuer import look_at_issuer
from taskbound.adapters.upstream.mcp.http.oauth import TokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.adapters.upstream.mcp.http.connect import LookUp
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.core.tool.oauth.token import Metadata


class AuthorizationServer:
    """Implements `adapters.targets.oauth.Server`."""

    def __init__(self, look: LookUp = look_up) -> None:
        self._look = look

    def at(self, client: OAuthClient, secret: str, *, patience: float, private: bool) -> TokenEndpoint:
        return TokenEndpoint(
            client,
            secret,
            lambda key, name, audience: assertion(key, client=name, audience=audience),
            patience=patience,
            look=self._look,
            private=private,
        )

    async def find(self, issuer: str, *, method: str, grant: str, patience: float, private: bool) -> Metadata:
        return await look_at_issuer(
            issuer, method=method, grant=grant, patience=patience, look=self._look, private=private
        )

    def state(
        self, key: str, *, issuer: str, subject: str, audience: str, more: Mapping[str, JsonValue]
    ) -> str:
        return statement(key, issuer=issuer, subject=subject, audience=audience, more=more)
