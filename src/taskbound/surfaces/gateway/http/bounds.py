"""How much of everything the HTTP front takes, and how long it waits."""

from __future__ import annotations

from taskbound.core.dataclass import dataclass
from taskbound.surfaces.http.bounds import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontBounds(Bounds):
    """Bounds of the front's connections, and of the tasks behind them."""

    seats: int = 128
    """Tasks at once."""
    proving: int = 192
    """Requests that the daemon is being asked about at once: whose they are."""
    proving_each: int = 96
    """Those of one address."""
    strange: int = 96
    """Those with tokens that no seat holds."""
    strange_each: int = 48
    """Those with such tokens of one address."""
    burst: int = 4_000
    """Requests that one address may make at once: all clients of this machine have one."""
    rate: float = 2_000.0
    """And then so many a second: more than one front serves."""
    strange_burst: int = 200
    """Requests with tokens that no seat holds of one address at once: more than there are seats."""
    strange_rate: float = 20.0
    """And then so many a second: a token is new every few minutes."""
    seat_idle: float = 300.0
    """Seconds without a request until a task's gateway and servers are ended."""
    sessions: int = 64
    """Sessions of one task; a new one takes the place of the one that was used least lately."""
    session_idle: float = 3600.0
    check: float = 2.0
    """Seconds between two looks whether task and tokens still hold."""
    fresh: float = 5.0
    """Seconds without such a look after which streams are closed (law 10)."""
