"""What starts the servers of a gateway, reaches them, or has them started where their secrets are.

A server with slots is the egress', and is never started or reached from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from taskbound.wiring.home import find_socket

if TYPE_CHECKING:
    from taskbound.adapters.upstream.mcp.server import StdioStarter
    from taskbound.core.tool import ServerIdentity
    from taskbound.ports.upstream import StartUpstream, Upstream, UpstreamEvents
    from taskbound.wiring.settings import Settings


class Starters:
    """Starts servers that have a command, reaches those that have a URL (`ports.upstream.StartUpstream`)."""

    def __init__(self, stdio: StdioStarter, egress: Path) -> None:
        """Start by command with this; servers with slots are the egress', which listens there."""
        self._stdio = stdio
        self._socket = egress
        self._http: StartUpstream | None = None
        self._egress: StartUpstream | None = None

    async def __call__(
        self,
        identity: ServerIdentity,
        *,
        era: str,
        events: UpstreamEvents,
        name: str = "",
        offers: bytes = b"{}",
        task: str = "",
    ) -> Upstream:
        """The server, ready for calls; who has no server of a kind loads nothing of what that kind takes."""
        if identity.slots:
            if self._egress is None:
                from taskbound.adapters.upstream.egress import EgressStarter  # noqa: PLC0415 -- as said above

                self._egress = EgressStarter(self._socket)
            return await self._egress(identity, era=era, events=events, name=name, offers=offers, task=task)
        if identity.remote is None:
            return await self._stdio(identity, era=era, events=events, offers=offers)
        if self._http is None:
            from taskbound.adapters.upstream.mcp.http.server import HttpStarter  # noqa: PLC0415 -- as said above

            self._http = HttpStarter()
        return await self._http(identity, era=era, events=events, offers=offers)


def find_broker(home: Path, settings: Settings) -> Path:
    """Where the broker of a data directory listens, or the one that another account runs."""
    if settings.broker:
        return Path(settings.broker)
    daemon = Path(settings.socket) if settings.socket else find_socket(home)
    return daemon.with_name("broker.sock")


def find_egress(home: Path, settings: Settings) -> Path:
    """Where the egress of a data directory listens, or the one that another account runs."""
    if settings.egress:
        return Path(settings.egress)
    daemon = Path(settings.socket) if settings.socket else find_socket(home)
    return daemon.with_name("egress.sock")
