"""How much of everything one server over HTTP takes, and how long it waits."""

from __future__ import annotations

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Tests use smaller values."""

    connections: int = 512
    """Of all clients (`room`)."""
    reserve: int = 128
    """Of these, for clients that have proven themselves alone; at most half of all."""
    each: int = 128
    """Unproven connections of one network: an IPv4 address, or the /64 of an IPv6 one. And proven ones of one
    identity."""
    first: float = 5.0
    """Seconds that a connection may stay without its first request."""
    head: int = 16_384
    """Bytes of a request's line and headers."""
    headers: int = 64
    head_seconds: float = 10.0
    """From the first byte of a request to the last of its headers."""
    body: int = 1_048_576
    """Bytes of a body."""
    body_seconds: float = 30.0
    bodies: int = 32 * 1_048_576
    """Bytes of bodies that are being read, of all clients."""
    bodies_each: int = 8 * 1_048_576
    """Of these, for unproven connections of one network; one body at least."""
    idle: float = 75.0
    """Seconds that a connection may stay between two requests."""
    linger: float = 2.0
    """Seconds for which a refused client may go on sending, so that it can read why."""
    unread: int = 8 * 1_048_576
    """Bytes that a client may leave unread before something more is written to it."""
    stalled: float = 30.0
    """Seconds that a client may read nothing of what waits for it."""
    alive: float = 15.0
    """Seconds between two comments on a stream on which nothing is said."""
