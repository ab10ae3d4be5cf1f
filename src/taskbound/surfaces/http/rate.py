"""How often clients may ask: a bucket that fills at a steady rate for each client that is told apart.

1. A bucket holds so many requests, and fills by so many a second; an empty one refuses.
2. So many are remembered; of more the one that asked least lately is forgotten, whose bucket has had the
   longest time to fill.
3. An IPv6 address counts as its /64, which one machine has for itself. One principal's bucket is the daemon's
   (`surfaces.api.network`).
4. A request that shows no credential counts for its network. One whose credential was verified there before
   does not: the daemon counts it for its principal. It counts here again only where its proof fails.
5. A credential that was not verified there yet is no reason to refuse: its request waits for its turn, with
   those of its network, in the order in which they came, as many as the rate lets pass. Once it is verified
   it has cost nothing. So many wait at most.
6. A request for `/livez` counts apart, by a rate that no setting makes smaller.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.http.errors import TooManyRequestsError
from taskbound.surfaces.http.forwarded import read_address

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


_REMEMBERED: Final = 16_384
_PREFIX: Final = 64
_LIVE_BURST: Final = 200
_LIVE_RATE: Final = 100.0
"""Requests for `/livez` of one network at once, and then so many a second (rule 6)."""
_WAITING: Final = 64
"""Requests of one network that wait for their turn (rule 5): half of its connections, so that others fit."""


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

    def give_back(self, who: Hashable) -> None:
        """Count one request less."""
        if who in self._left:
            left, at = self._left[who]
            self._left[who] = (min(self._burst, left + 1.0), at)

    def pause(self, who: Hashable) -> float:
        """Seconds until one more request would be taken; 0 where it would be now."""
        return max(0.0, 1.0 - self._level(who, self._clock())) / self._rate

    def _level(self, who: Hashable, now: float) -> float:
        left, at = self._left.get(who, (self._burst, now))
        return min(self._burst, left + max(0.0, now - at) * self._rate)


class Turns:
    """Requests that wait until their bucket has room, those of one network in order (rule 5)."""

    def __init__(self, buckets: Buckets, *, most: int = _WAITING) -> None:
        """Let requests pass as these buckets fill; so many of one network wait."""
        self._buckets = buckets
        self._most = most
        self._waiting: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}

    async def take(self, network: str, *, named: str) -> None:
        """Count one more request, once there is room for it; one that is cancelled counts nothing.

        Raises:
            TooManyRequestsError: Too many wait.
        """
        if network not in self._locks and not self._buckets.pause(network):
            self._buckets.take(network, named=named)
            return
        if self._waiting[network] >= self._most:
            raise TooManyRequestsError(f"{named} has asked too often")
        self._waiting[network] += 1
        try:
            async with self._locks.setdefault(network, asyncio.Lock()):
                while pause := self._buckets.pause(network):  # noqa: ASYNC110 -- time is what is waited for
                    await asyncio.sleep(pause)
                self._buckets.take(network, named=named)
        finally:
            self._waiting[network] -= 1
            if not self._waiting[network]:
                del self._waiting[network], self._locks[network]

    def give_back(self, network: str) -> None:
        """Count one request less."""
        self._buckets.give_back(network)


class Rates:
    """How often requests are taken: by credential first, by network second (rules 4 and 5)."""

    def __init__(self, *, burst: int, each_second: float, clock: Callable[[], float]) -> None:
        """Let each network ask `burst` times at once, and `each_second` times a second after that."""
        self._buckets = Buckets(burst=burst, each_second=each_second, clock=clock)
        self._live = Buckets(burst=_LIVE_BURST, each_second=_LIVE_RATE, clock=clock)
        self._turns = Turns(Buckets(burst=burst, each_second=each_second, clock=clock))
        self._known: OrderedDict[tuple[str, bytes], str] = OrderedDict()
        """Identities by network and digest of a verified credential; the least recently used one goes."""

    def __len__(self) -> int:
        """How many networks and credentials are remembered."""
        return len(self._buckets) + len(self._known)

    def take(self, address: str) -> None:
        """Count one more request that shows no credential.

        Raises:
            TooManyRequestsError: It has asked too often.
        """
        self._buckets.take(network_of(address), named="this address")

    def take_live(self, address: str) -> None:
        """Count one more request for `/livez` (rule 6); raises as `take`."""
        self._live.take(network_of(address), named="this address")

    def identity(self, address: str, credential: str) -> str:
        """Whose a credential is that was verified there before; empty for any other."""
        return self._known.get(_key(address, credential), "")

    async def admit(self, address: str, credential: str) -> None:
        """Go on with a request that shows a credential; empty for one that is in its body.

        Raises:
            TooManyRequestsError: Too many of its network wait, or its proof has failed too often.
        """
        key = _key(address, credential)
        if key in self._known:
            self._known.move_to_end(key)
            self._buckets.require(key, named="the credential")
        else:
            await self._turns.take(key[0], named="this address")

    def believe(self, address: str, credential: str, identity: str) -> None:
        """The proof of a request that was admitted is verified; a form's has no `identity`."""
        key = _key(address, credential)
        if key in self._known:
            return
        self._turns.give_back(key[0])
        if identity:
            self._known[key] = identity
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    def doubt(self, address: str, credential: str) -> None:
        """The proof of a request that was admitted has failed."""
        key = _key(address, credential)
        if key in self._known:
            with suppress(TooManyRequestsError):
                self._buckets.take(key, named="the credential")


def _key(address: str, credential: str) -> tuple[str, bytes]:
    return network_of(address), sha256(credential.encode("utf-8", "surrogatepass")).digest()


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """What an address counts as (rule 3); what is no address as itself."""
    seen = read_address(address)
    if isinstance(seen, IPv6Address):
        return f"{IPv6Address(int(seen) >> _PREFIX << _PREFIX)}/{_PREFIX}"
    return address if seen is None else str(seen)
