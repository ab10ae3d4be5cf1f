"""An issuer of tokens on raw sockets that answers what a test tells it to, and keeps what it heard.

    async with Issuing() as there:
        there.client, there.asked, there.posted("/token")

`says` is what it answers at the token endpoint; `does` takes any request over by answering true.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from taskbound.core.tool.oauth.client import OAuthClient
from tests.peers.rawhttp import RawHttp

if TYPE_CHECKING:
    import ssl

    from tests.peers.rawhttp import Asked, Does, Say


SECRET: Final = "hunter2+of/our:client"
RESOURCE: Final = "https://mcp.example.com/crm"


class Issuing(RawHttp):
    """One issuer."""

    def __init__(self, *, takes: Does | None = None, context: ssl.SSLContext | None = None) -> None:
        """Give tokens numbered from 1, unless `takes` answers a request."""
        super().__init__(does=self._issue, context=context)
        self.takes = takes
        self.given = 0
        self.revoke_status = 200
        self.says: dict[str, Any] = {}
        """Changes what is answered; None leaves a member out."""
        self.documents: dict[str, Any] = {}
        """What stands at other paths."""

    @property
    def issuer(self) -> str:
        return self.url.removesuffix("/mcp")

    def client(self, **changes: Any) -> OAuthClient:
        """A client of it."""
        given = {
            "client": "us",
            "token": f"{self.issuer}/token",
            "revocation": f"{self.issuer}/revoke",
            "method": "client_secret_basic",
            "resource": RESOURCE,
            "scopes": ("read",),
        }
        return OAuthClient(**{**given, **changes})

    def posted(self, path: str) -> list[dict[str, str]]:
        """The forms that came to a path."""
        found = [parse_qs(one.body.decode()) for one in self.asked if one.target == path]
        return [{name: values[0] for name, values in one.items()} for one in found]

    def token(self, number: int) -> str:
        return f"token-{number}-of-the-issuer"

    async def _issue(self, asked: Asked, say: Say) -> bool:
        if self.takes is not None and await self.takes(asked, say):
            return True
        if asked.target == "/token":
            self.given += 1
            value = {
                "access_token": self.token(self.given),
                "token_type": "Bearer",
                "expires_in": 600,
                **self.says,
            }
            body = {name: one for name, one in value.items() if one is not None}
            await say.answer(200, json.dumps(body).encode())
        elif asked.target == "/revoke":
            await say.answer(self.revoke_status)
        elif asked.target in self.documents:
            await say.answer(200, json.dumps(self.documents[asked.target]).encode())
        else:
            await say.answer(404)
        return True
