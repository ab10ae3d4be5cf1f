"""Starts or connects to a gateway's servers; servers with slots are started only by the egress."""

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
    """Implements `ports.upstream.StartUpstream` for command, URL and egress servers."""

    def __init__(self, stdio: StdioStarter, egress: Path) -> None:
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
        """Returns the server, ready for calls; the code of each transport is loaded on first use."""
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
    if settings.broker:
        return Path(settings.broker)
    daemon = Path(settings.socket) if settings.socket else find_socket(home)
    return daemon.with_name("broker.sock")


def find_egress(home: Path, settings: Settings) -> Path:
    if settings.egress:
        return Path(settings.egress)
    daemon = Path(settings.socket) if settings.socket else find_socket(home)
    return daemon.with_name("egress.sock")
