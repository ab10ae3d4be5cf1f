"""How often one address may ask: a bucket that fills at a steady rate.

1. A bucket holds so many requests, and fills by so many a second; an empty one refuses.
2. So many addresses are remembered; of more the one that asked least lately is forgotten, whose bucket has
   had the longest time to fill. An IPv6 address counts as its /64, which one machine has for itself.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.network.errors import TooManyRequestsError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Rates"]

_REMEMBERED: Final = 16_384
_PREFIX: Final = 64


class Rates:
    """The buckets of all addresses."""

    def __init__(self, *, burst: int, each_second: float, clock: Callable[[], float]) -> None:
        """Let each address ask `burst` times at once, and `each_second` times a second after that."""
        self._burst = float(burst)
        self._rate = each_second
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._left)

    def take(self, address: str) -> None:
        """Count one more request.

        Raises:
            TooManyRequestsError: The bucket is empty (rule 1).
        """
        now, whose = self._clock(), _network(address)
        left, at = self._left.pop(whose, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - at) * self._rate)
        empty = left < 1.0
        self._left[whose] = (left if empty else left - 1.0, now)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)  # 2
        if empty:
            raise TooManyRequestsError("this address has asked too often")


def _network(address: str) -> str:
    """What an address counts as (rule 2)."""
    try:
        seen = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(seen, IPv6Address) and seen.ipv4_mapped is None:
        return f"{IPv6Address(int(seen) >> _PREFIX << _PREFIX)}/{_PREFIX}"
    return str(seen if not isinstance(seen, IPv6Address) else seen.ipv4_mapped)
