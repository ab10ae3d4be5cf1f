"""How often one address may ask; one principal's bucket is the daemon's (`surfaces.api.network`).

1. An IPv6 address counts as its /64, which one machine has for itself.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.http.rate import Buckets

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Rates"]

_PREFIX: Final = 64


class Rates:
    """The buckets of all addresses."""

    def __init__(self, *, burst: int, each_second: float, clock: Callable[[], float]) -> None:
        """Let each address ask `burst` times at once, and `each_second` times a second after that."""
        self._buckets = Buckets(burst=burst, each_second=each_second, clock=clock)

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._buckets)

    def take(self, address: str) -> None:
        """Count one more request.

        Raises:
            TooManyRequestsError: It has asked too often.
        """
        self._buckets.take(_network(address), named="this address")


def _network(address: str) -> str:
    """What an address counts as (rule 1)."""
    try:
        seen = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(seen, IPv6Address) and seen.ipv4_mapped is None:
        return f"{IPv6Address(int(seen) >> _PREFIX << _PREFIX)}/{_PREFIX}"
    return str(seen if not isinstance(seen, IPv6Address) else seen.ipv4_mapped)
