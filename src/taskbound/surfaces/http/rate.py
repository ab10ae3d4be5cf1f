"""Rate limits and connection limits by client address.

Of `rate`:
1. A bucket holds a burst and fills at a rate; an empty one refuses.
2. The number of buckets is limited; the least recently used is forgotten, as it had most time to fill.
3. An IPv6 address counts as its /64. Principals have buckets in the daemon (`surfaces.api.auth.network`).
4. A request without a credential counts for its network. One with a credential verified there before counts
   for its principal at the daemon, and here only if its proof fails.
5. A request with an unverified credential waits for its turn among those of its network, as the rate permits,
   and costs nothing once verified. The queue is limited.
6. `/livez` has a bucket of its own, with a rate that no setting reduces.
Of `forwarded`:
1. `X-Forwarded-For` counts on connections of declared proxies only, because a client can forge it.
2. The client is the last hop that is no declared proxy. A hop that is no address ends the reading, and the
   nearest hop read counts.
Of `room`:
1. Connections are limited in total and, while unproven, per network (`Bounds.each`). A part is reserved for
   proven ones (`Bounds.reserve`). Each identity has as many proven connections at most (`Bounds.each`); more
   count for their network.
2. A newcomer replaces the oldest unproven connection without a complete request, of its own network if that
   has its part, else of the largest network. If all wait for answers, the largest network gives one up to a
   smaller one.
3. If proven connections hold all places, the idle one that was proven first makes room.
4. Otherwise the newcomer is refused unread. A limited number of refused ones may linger to read why.
5. Connections of a declared proxy count as proven and for no network, because they carry many clients.
6. Body bytes being read are limited in total and, for unproven connections, per network
   (`Bounds.bodies_each`). Without room, the oldest unproven connection with an incomplete body is closed: of
   the same network if that has its part, else of the one with the most bytes.
7. A request refused before it is complete counts for its address, like one without a credential (`rate`),
   unless it was refused for lack of room.
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
    """Returns an address without its zone, unmapped to IPv4; None for other texts."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return found if mapped is None else mapped


class Proxies:
    """The declared proxies."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._networks = tuple(networks)

    def __contains__(self, address: str) -> bool:
        """Returns whether a declared proxy has this address."""
        if not self._networks:
            return False
        found = read_address(address)
        return found is not None and any(found in one for one in self._networks)

    def client(self, address: str, fields: Iterable[tuple[bytes, bytes]]) -> str:
        """Returns the client address of a request; `fields` are lower-case names and values in order."""
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
    """The rate limits of all callers."""

    def __init__(self, *, burst: int, each_second: float, clock: Callable[[], float]) -> None:
        self._burst = float(burst)
        self._rate = each_second
        self._clock = clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def require(self, who: Hashable, *, named: str) -> None:
        """Raises TooManyRequestsError if the bucket is empty (rule 1); counts nothing.

        `named` names the caller in the refusal.
        """
        if self._level(who, self._clock()) < 1.0:
            raise TooManyRequestsError(f"{named} has asked too often")

    def take(self, who: Hashable, *, named: str) -> None:
        """Counts a request; raises as `require`."""
        now = self._clock()
        left = self._level(who, now)
        self._left.pop(who, None)
        self._left[who] = (left if left < 1.0 else left - 1.0, now)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)  # 2
        if left < 1.0:
            raise TooManyRequestsError(f"{named} has asked too often")

    def give_back(self, who: Hashable) -> None:
        """Takes a count back."""
        if who in self._left:
            left, at = self._left[who]
            self._left[who] = (min(self._burst, left + 1.0), at)

    def pause(self, who: Hashable) -> float:
        """Returns the seconds until another request is accepted; 0 for now."""
        return max(0.0, 1.0 - self._level(who, self._clock())) / self._rate

    def _level(self, who: Hashable, now: float) -> float:
        left, at = self._left.get(who, (self._burst, now))
        return min(self._burst, left + max(0.0, now - at) * self._rate)


class Turns:
    """Requests that wait for their bucket, in order within a network (rule 5)."""

    def __init__(self, buckets: Buckets, *, most: int = _WAITING) -> None:
        self._buckets = buckets
        self._most = most
        self._waiting: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}

    async def take(self, network: str, *, named: str) -> None:
        """Counts a request once there is room; a canceled one counts nothing.

        Raises TooManyRequestsError if too many wait.
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
        """Takes a count back."""
        self._buckets.give_back(network)


class Rates:
    """Rate limits by credential first, by network second (rules 4 and 5)."""

    def __init__(self, *, burst: int, each_second: float, clock: Callable[[], float]) -> None:
        self._buckets = Buckets(burst=burst, each_second=each_second, clock=clock)
        self._live = Buckets(burst=_LIVE_BURST, each_second=_LIVE_RATE, clock=clock)
        self._turns = Turns(Buckets(burst=burst, each_second=each_second, clock=clock))
        self._known: OrderedDict[tuple[str, bytes], str] = OrderedDict()
        """Identities by network and digest of a verified credential; the least recently used one goes."""

    def __len__(self) -> int:
        return len(self._buckets) + len(self._known)

    def take(self, address: str) -> None:
        """Counts a request without a credential; raises TooManyRequestsError."""
        self._buckets.take(network_of(address), named="this address")

    def take_live(self, address: str) -> None:
        """Counts a request for `/livez` (rule 6); raises as `take`."""
        self._live.take(network_of(address), named="this address")

    def identity(self, address: str, credential: str) -> str:
        """Returns the identity of a credential that was verified there before; else empty."""
        return self._known.get(_key(address, credential), "")

    async def admit(self, address: str, credential: str) -> None:
        """Admits a request with a credential, empty for one in the body.

        Raises TooManyRequestsError if too many of its network wait, or its proofs failed too often.
        """
        key = _key(address, credential)
        if key in self._known:
            self._known.move_to_end(key)
            self._buckets.require(key, named="the credential")
        else:
            await self._turns.take(key[0], named="this address")

    def believe(self, address: str, credential: str, identity: str) -> None:
        """Takes the success of an admitted request's proof; a form's has no `identity`."""
        key = _key(address, credential)
        if key in self._known:
            return
        self._turns.give_back(key[0])
        if identity:
            self._known[key] = identity
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    def doubt(self, address: str, credential: str) -> None:
        """Takes the failure of an admitted request's proof."""
        key = _key(address, credential)
        if key in self._known:
            with suppress(TooManyRequestsError):
                self._buckets.take(key, named="the credential")


def _key(address: str, credential: str) -> tuple[str, bytes]:
    return network_of(address), sha256(credential.encode("utf-8", "surrogatepass")).digest()


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """Returns the network that an address counts for (rule 3); other texts count as themselves."""
    seen = read_address(address)
    if isinstance(seen, IPv6Address):
        return f"{IPv6Address(int(seen) >> _PREFIX << _PREFIX)}/{_PREFIX}"
    return address if seen is None else str(seen)


B = TypeVar("B", bound=Bounds)
C = TypeVar("C", bound="HttpConnection[Any, Any]")
_LINGERING: Final = 64
"""Refused newcomers that may linger (rule 4)."""


class ConnectionLimits(Generic[B, C]):
    """The connection limits of a `Server`; used in the loop."""

    def __init__(
        self, bounds: B, proxies: Proxies = NO_PROXIES, *, count: Callable[[str], None] | None = None
    ) -> None:
        """`count` counts a request of an address, or raises TooManyRequestsError."""
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
        """Ends every connection."""
        for one in tuple(self._connections):
            one.abort()

    def enter(self, connection: C) -> bool:
        """Counts another connection; returns whether there is room (rules 1 to 5)."""
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
        """Marks a connection as proven by this identity (rule 1)."""
        if connection not in self._unproven.get(network_of(connection.address), ()):
            return
        if sum(one == identity for one in self._proven.values()) < self.bounds.each:
            self._forget_unproven(connection)
            self._proven[connection] = identity

    def client_of(self, connection: C, raw: RawHead | None) -> str:
        """Returns the client address of a request (`forwarded`)."""
        return self._proxies.client(connection.address, () if raw is None else raw.fields)

    def refusal(self, connection: C, raw: RawHead | None, error: TaskboundError) -> TaskboundError:
        """Returns the error for a request that is refused before it is complete (rule 7)."""
        if self._count is None or isinstance(error, FrontFullError):
            return error
        try:
            self._count(self.client_of(connection, raw))
        except TooManyRequestsError as often:
            return often
        return error

    def leave(self, connection: C) -> None:
        """Removes a closed connection."""
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
        bounds, everyone = self.bounds, len(self._connections)
        mine = self._unproven.get(network, {})
        unproven = everyone - len(self._proven)
        if not is_proxy and len(mine) >= bounds.each:
            return self._evict_first(mine)
        if not is_proxy and unproven >= bounds.connections - min(bounds.reserve, bounds.connections // 2):
            return self._evict_unproven(len(mine))
        return everyone < bounds.connections or self._evict_unproven(len(mine)) or self._evict_proven()

    def _turn_away(self, connection: C) -> None:
        self._refused[connection] = None
        if len(self._refused) > _LINGERING:
            self._refused.popitem(last=False)[0].abort()

    def _evict_unproven(self, mine: int) -> bool:
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
        found = next(iter(some), None)
        if found is not None:
            self._evict(found)
        return found is not None

    def _evict(self, connection: C) -> None:
        ConnectionLimits.leave(self, connection)
        self.release(connection)
        self.evicted += 1
        connection.abort()

    def reserve(self, connection: C, size: int) -> bool:
        """Reserves bytes for a body; returns whether there is room (rule 6)."""
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
        """Releases the reservation."""
        self._reserved -= self._bodies.pop(connection, 0)

    def _unproven_bodies(self, network: str) -> list[C]:
        return [one for one in self._unproven.get(network, ()) if one in self._bodies]

    def _held(self, network: str) -> int:
        return sum(self._bodies[one] for one in self._unproven_bodies(network))

    def _evict_reading(self, network: str) -> bool:
        return self._evict_if(one for one in self._unproven_bodies(network) if not one.is_answering)
