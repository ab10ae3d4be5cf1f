"""An MCP server of the `mcp` package that takes tokens of one issuer, and asks it about each.

Run it: ``python guarded.py``. Its first line says its URL. It then reads a line with the issuer, the id and
secret that it asks about tokens with, and the scope that it requires. After that it serves, and says of each
token that it was shown a line of JSON: the token and whether it was taken.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys

import httpx2
import uvicorn
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from pydantic import AnyHttpUrl


def say(value: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


class Verifier:
    """Asks the issuer (RFC 7662)."""

    def __init__(self, issuer: str, client: str, secret: str, resource: str) -> None:
        """Ask there, as this client, about tokens for this resource."""
        self._place = f"{issuer}/token/introspection"
        self._proof = (client, secret)
        self._resource = resource

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the issuer says of it."""
        async with httpx2.AsyncClient() as client:
            answer = await client.post(self._place, data={"token": token}, auth=self._proof)
        found = answer.json()
        taken = bool(found.get("active")) and found.get("aud") == self._resource
        say({"token": token, "taken": taken})
        if not taken:
            return None
        return AccessToken(
            token=token,
            client_id=found["client_id"],
            scopes=found.get("scope", "").split(),
            expires_at=found["exp"],
            resource=found["aud"],
        )


async def serve() -> None:
    """Serve a free port of the loopback until a signal ends it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        say(url)
        told = json.loads(sys.stdin.readline())
        server = MCPServer(
            "guarded",
            token_verifier=Verifier(told["issuer"], told["client"], told["secret"], url),
            auth=AuthSettings(
                issuer_url=AnyHttpUrl(told["issuer"]),
                resource_server_url=AnyHttpUrl(url),
                required_scopes=[told["scope"]],
                validate_token_resource=True,
            ),
        )

        @server.tool()
        def work() -> str:
            """Works."""
            return "done"

        @server.tool()
        def tell(ctx: Context) -> str:
            """Says the token that the call came with."""
            headers = ctx.headers or {}
            return headers.get("authorization", "").removeprefix("Bearer ")

        config = uvicorn.Config(
            server.streamable_http_app(), log_level="critical", timeout_graceful_shutdown=1
        )
        await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(serve())
