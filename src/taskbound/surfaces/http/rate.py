"""How often somebody may ask: a bucket that fills at a steady rate, one for each who is told apart.

1. A bucket holds so many requests, and fills by so many a second; an empty one refuses.
2. So many are remembered; of more the one that asked least lately is forgotten, whose bucket has had the
   longest time to fill.
3. An IPv6 address counts as its /64, which one machine has for itself. One principal's bucket is the daemon's
   (`surfaces.api.network`).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.http.errors import TooManyRequestsError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Buckets", "Rates", "network_of"]

_REMEMBERED: Final = 16_384
_PREFIX: Final = 64


class Buckets:
    """The buckets of all who ask."""

    def __init__(self, *, burst: int, each_second: float, clock: Callable[[], float]) -> None:
        """Let each ask `burst` times at once, and `each_second` times a second after that."""
        self._burst = float(burst)
        self._rate = each_second
        self._clock = clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._left)

    def require(self, who: Hashable, *, named: str) -> None:
        """Go on only when one more request would be taken; nothing is counted.

        Args:
            who: Whose bucket.
            named: Who that is, in the words of the refusal.

        Raises:
            TooManyRequestsError: The bucket is empty (rule 1).
        """
        if self._level(who, self._clock()) < 1.0:
            raise TooManyRequestsError(f"{named} has asked too often")

    def take(self, who: Hashable, *, named: str) -> None:
        """Count one more request; raises as `require`."""
        now = self._clock()
        left = self._level(who, now)
        self._left.pop(who, None)
        self._left[who] = (left if left < 1.0 else left - 1.0, now)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)  # 2
        if left < 1.0:
            raise TooManyRequestsError(f"{named} has asked too often")

    def _level(self, who: Hashable, now: float) -> float:
        left, at = self._left.get(who, (self._burst, now))
        return min(self._burst, left + max(0.0, now - at) * self._rate)


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
        self._buckets.take(network_of(address), named="this address")


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """What an address counts as (rule 3); what is no address as itself."""
    try:
        seen = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(seen, IPv6Address) and seen.ipv4_mapped is None:
        return f"{IPv6Address(int(seen) >> _PREFIX << _PREFIX)}/{_PREFIX}"
    return str(seen if not isinstance(seen, IPv6Address) else seen.ipv4_mapped)
