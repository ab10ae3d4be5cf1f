"""What came with a request over the network, for the daemon to judge: its reader proves nothing.

1. It is what TLS and HTTP said, whole and as it was written. Who acts is found from it by the daemon alone.
2. It is shown with each request, and nothing of it is kept from one to the next.
"""

from __future__ import annotations

from taskbound.wire.frame import Message

__all__ = ["Shown"]


class Shown(Message, frozen=True):
    """What one request showed."""

    method: str
    uri: str
    """The target as the API is known outside, without query: what `htu` has to name (RFC 9449 §4.3)."""
    authorization: str = ""
    """The header of this name; empty when there is none."""
    dpop: str = ""
    """The header of this name."""
    chain: tuple[str, ...] = ()
    """The client's certificates as TLS proved them, leaf first, each DER in Base64; none without."""
    address: str = ""
    """Where the connection comes from."""
    key: str = ""
    """The `Idempotency-Key` of a request that changes something; empty without one."""

    def __repr__(self) -> str:
        """Without what proves anything."""
        return f"Shown({self.method} {self.uri!r} from {self.address!r})"
