"""What starts the servers of a gateway, or reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskbound.adapters.upstream.mcp.server import StdioStarter
    from taskbound.core.tool import ServerIdentity
    from taskbound.ports.upstream import StartUpstream, Upstream, UpstreamEvents

__all__ = ["Starters"]


class Starters:
    """Starts servers that have a command, reaches those that have a URL (`ports.upstream.StartUpstream`)."""

    def __init__(self, stdio: StdioStarter) -> None:
        """Start by command with this."""
        self._stdio = stdio
        self._http: StartUpstream | None = None

    async def __call__(
        self, identity: ServerIdentity, *, era: str, events: UpstreamEvents, offers: bytes = b"{}"
    ) -> Upstream:
        """The server, ready for calls; who has no server with a URL loads nothing of what that takes."""
        if identity.remote is None:
            return await self._stdio(identity, era=era, events=events, offers=offers)
        if self._http is None:
            from taskbound.adapters.upstream.mcp.http.server import HttpStarter  # noqa: PLC0415 -- as said above

            self._http = HttpStarter()
        return await self._http(identity, era=era, events=events, offers=offers)
