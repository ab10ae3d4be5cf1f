"""What a gateway is owed by whoever starts upstream servers, or reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.core.tool import ServerIdentity
    from taskbound.ports.upstream.server import Upstream, UpstreamEvents


class StartUpstream(Protocol):
    """Starts servers as they are pinned, or reaches them."""

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
        """The server, started or reached, of the pinned era, ready for calls; `name` is what it is pinned as.

        `offers` are the capabilities, canonical, that a legacy server is told its clients have. What it asks
        beside them MUST be refused, and never reach `events`; so MUST what a modern one asks by requests.

        `task` is the one that it is started for, where credentials fill slots of it; nothing else is of it.

        MUST compare every pinned file right before the start, and give the server no other
        environment than is declared, save for what every program needs. MUST speak to no other server
        than the pinned URL's, and believe no other key than the pinned one. MUST raise
        `DeniedError` when something pinned is different, `UnavailableError` when the server
        does not start; then nothing of it runs any more.
        """
