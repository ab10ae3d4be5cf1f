"""What servers with secrets are started and called with: the daemon, the key, what starts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.tool import Binding, ServerIdentity, Slot
    from taskbound.ports.upstream import Upstream, UpstreamEvents
    from taskbound.surfaces.egress.asking import Asking
    from taskbound.surfaces.egress.authority import Authority
    from taskbound.surfaces.egress.permits import Permits
    from taskbound.surfaces.egress.tokens import ServerTokens, TokenDesk


class OpenSealed(Protocol):
    """The egress' key."""

    @property
    def public(self) -> str:
        """Its public half."""

    def open(self, sealed: str, binding: Binding) -> str:
        """What was sealed for exactly this. MUST raise `BadSecretError` for anything else."""


class StartFilled(Protocol):
    """Starts or reaches a server with values in its slots."""

    async def __call__(
        self,
        identity: ServerIdentity,
        *,
        era: str,
        events: UpstreamEvents,
        values: Mapping[Slot, str],
        offers: bytes,
        tokens: ServerTokens | None,
    ) -> Upstream:
        """The server, ready for calls; duties as `ports.upstream.StartUpstream`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What servers are started and called with; one for the process."""

    authority: Authority
    key: OpenSealed
    start: StartFilled
    permits: Permits
    tokens: TokenDesk
    asking: Asking
    kept: Callable[[object, frozenset[str]], None]
    """Hears of the values of each server that is started, for logs to be held back: of whose they are, and of
    none once that is over."""
