"""Rates and room for callers, by their forwarded address.

Of `rate`:

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

Of `forwarded`:

1. `X-Forwarded-For` is read on connections of declared proxies alone: any other client can write it itself.
2. The client is the last hop that is no declared proxy: what stands before it was written by the client. A
   hop that is no address ends the reading; the nearest hop that was read counts.

Of `room`:

1. Connections are bounded over all clients, and those of one network apart (`Bounds.each`), for as long as
   they have proven nothing. A part of all is for proven ones alone (`Bounds.reserve`). As many of one
   identity count as proven (`Bounds.each`); its further connections stay those of their network.
2. A newcomer takes the place of another connection rather than being refused: of the oldest unproven one
   without a whole request, of its own network where that has its part, and else of the network with the most.
   Where every unproven one waits for an answer, the network with the most gives one up to a smaller one.
3. Where proven ones have all places, the one that proved itself first and is idle makes room.
4. A newcomer for which no place is found is refused, and what it would send is not read. So many of the
   refused may linger to read why.
5. Connections of a declared proxy are of many clients: they count as proven, and no network's.
6. Bytes of bodies that are being read are bounded over all clients, and those of unproven connections of one
   network apart (`Bounds.bodies_each`). Where there is no room for another body, the oldest unproven
   connection whose body has not arrived makes it: of the same network where that has its part, and else of
   the one with the most bytes.
7. A request that is refused before it is whole counts for its address, as one without a credential does
   (`rate`); for want of room it costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from taskbound.surfaces.http.connection import Bounds
from taskbound.surfaces.http.errors import FrontFullError, TooManyRequestsError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from taskbound.core.errors import TaskboundError
    from taskbound.surfaces.http.connection import HttpConnection, RawHead


_FORWARDED: Final = b"x-forwarded-for"


@lru_cache(maxsize=1024)
def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address without its zone, an IPv4 one as such where it is mapped; None where it is none."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return found if mapped is None else mapped


class Proxies:
    """The declared proxies."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        """Believe connections from these networks."""
        self._networks = tuple(networks)

    def __contains__(self, address: str) -> bool:
        """Whether a declared proxy has this address."""
        if not self._networks:
            return False
        found = read_address(address)
        return found is not None and any(found in one for one in self._networks)

    def client(self, address: str, fields: Iterable[tuple[bytes, bytes]]) -> str:
        """Where the client of a request is.

        Args:
            address: Where its connection comes from.
            fields: Names in lower case and values of headers, in order.
        """
        if address not in self:
            return address  # 1
        told = [value.decode("latin-1") for name, value in fields if name == _FORWARDED]
        hops = [one.strip(" \t") for value in told for one in value.split(",")]
        while hops and address in self and read_address(hops[-1]) is not None:
            address = hops.pop()
        return address  # 2


NO_PROXIES: Final = Proxies()


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


B = TypeVar("B", bound=Bounds)
C = TypeVar("C", bound="HttpConnection[Any, Any]")
_LINGERING: Final = 64
"""Refused newcomers that may linger (rule 4)."""


class Room(Generic[B, C]):
    """What a `Server` says of its room; used in the loop."""

    def __init__(
        self, bounds: B, proxies: Proxies = NO_PROXIES, *, count: Callable[[str], None] | None = None
    ) -> None:
        """Have no connection yet.

        Args:
            bounds: How much, and how long.
            proxies: Those that are declared.
            count: Counts a request of an address, or raises `TooManyRequestsError`; None counts nothing.
        """
        self.bounds = bounds
        """How much, and how long."""
        self._proxies = proxies
        self._count = count
        self._connections: dict[C, None] = {}
        self._unproven: dict[str, dict[C, None]] = {}
        """By network, each in the order in which they came."""
        self._proven: dict[C, str] = {}
        """Whose each is; empty for a declared proxy's (rule 5)."""
        self._refused: OrderedDict[C, None] = OrderedDict()
        self._bodies: dict[C, int] = {}
        """Bytes that are reserved for each."""
        self._reserved = 0
        """Of all."""
        self.evicted = 0
        """Connections that made room for another one, since the start."""

    def abort_all(self) -> None:
        """End every connection."""
        for one in tuple(self._connections):
            one.abort()

    def enter(self, connection: C) -> bool:
        """Another connection; whether there is room for it (rules 1 to 5)."""
        network = network_of(connection.address)
        is_proxy = connection.address in self._proxies
        if not self._make_room(network, is_proxy=is_proxy):
            self._turn_away(connection)
            return False
        self._connections[connection] = None
        if is_proxy:
            self._proven[connection] = ""  # 5
        else:
            self._unproven.setdefault(network, {})[connection] = None
        return True

    def prove(self, connection: C, identity: str) -> None:
        """A proof of this identity, which came over this connection, was verified (rule 1)."""
        if connection not in self._unproven.get(network_of(connection.address), ()):
            return
        if sum(one == identity for one in self._proven.values()) < self.bounds.each:
            self._forget_unproven(connection)
            self._proven[connection] = identity

    def client_of(self, connection: C, raw: RawHead | None) -> str:
        """Where the client of a request is, whose head this is (`forwarded`)."""
        return self._proxies.client(connection.address, () if raw is None else raw.fields)

    def refusal(self, connection: C, raw: RawHead | None, error: TaskboundError) -> TaskboundError:
        """What a request that is refused before it is whole is answered (rule 7)."""
        if self._count is None or isinstance(error, FrontFullError):
            return error
        try:
            self._count(self.client_of(connection, raw))
        except TooManyRequestsError as often:
            return often
        return error

    def leave(self, connection: C) -> None:
        """It is gone."""
        self._connections.pop(connection, None)
        self._proven.pop(connection, None)
        self._forget_unproven(connection)

    def _forget_unproven(self, connection: C) -> None:
        network = network_of(connection.address)
        mine = self._unproven.get(network, {})
        if connection in mine:
            del mine[connection]
            if not mine:
                del self._unproven[network]

    def _make_room(self, network: str, *, is_proxy: bool) -> bool:
        """Whether there is a place for one more, perhaps another one's (rules 1 to 3)."""
        bounds, everyone = self.bounds, len(self._connections)
        mine = self._unproven.get(network, {})
        unproven = everyone - len(self._proven)
        if not is_proxy and len(mine) >= bounds.each:
            return self._evict_first(mine)
        if not is_proxy and unproven >= bounds.connections - min(bounds.reserve, bounds.connections // 2):
            return self._evict_unproven(len(mine))
        return everyone < bounds.connections or self._evict_unproven(len(mine)) or self._evict_proven()

    def _turn_away(self, connection: C) -> None:
        """Let it linger (rule 4)."""
        self._refused[connection] = None
        if len(self._refused) > _LINGERING:
            self._refused.popitem(last=False)[0].abort()

    def _evict_unproven(self, mine: int) -> bool:
        """End an unproven one for a network that has `mine` (rule 2)."""
        most = sorted(self._unproven.values(), key=len, reverse=True)
        if any(self._evict_first(some) for some in most):
            return True
        if most and len(most[0]) > mine:
            self._evict(next(iter(most[0])))
            return True
        return False

    def _evict_proven(self) -> bool:
        return self._evict_if(one for one in self._proven if one.is_idle)  # 3

    def _evict_first(self, some: Iterable[C]) -> bool:
        return self._evict_if(one for one in some if not one.is_answering)

    def _evict_if(self, some: Iterable[C]) -> bool:
        """End the first of these, if there is one."""
        found = next(iter(some), None)
        if found is not None:
            self._evict(found)
        return found is not None

    def _evict(self, connection: C) -> None:
        """End it; its place is free at once."""
        Room.leave(self, connection)
        self.release(connection)
        self.evicted += 1
        connection.abort()

    def reserve(self, connection: C, size: int) -> bool:
        """So much of a body is going to be read; whether there is room for it (rule 6)."""
        bounds = self.bounds
        if connection not in self._proven:
            while self._held(network_of(connection.address)) + size > max(bounds.bodies_each, bounds.body):
                if not self._evict_reading(network_of(connection.address)):
                    return False
        while self._reserved + size > bounds.bodies:
            # In the order of their first body: of networks that hold as much, the oldest gives way.
            networks = dict.fromkeys(
                network_of(one.address) for one in self._bodies if one not in self._proven
            )
            most = sorted(networks, key=self._held, reverse=True)
            if not any(self._evict_reading(one) for one in most):
                return False
        self._bodies[connection] = size
        self._reserved += size
        return True

    def release(self, connection: C) -> None:
        """What was reserved for it is not held any more."""
        self._reserved -= self._bodies.pop(connection, 0)

    def _unproven_bodies(self, network: str) -> list[C]:
        return [one for one in self._unproven.get(network, ()) if one in self._bodies]

    def _held(self, network: str) -> int:
        """Bytes that are reserved for unproven connections of a network."""
        return sum(self._bodies[one] for one in self._unproven_bodies(network))

    def _evict_reading(self, network: str) -> bool:
        """End the oldest unproven connection of a network whose body has not arrived."""
        return self._evict_if(one for one in self._unproven_bodies(network) if not one.is_answering)
