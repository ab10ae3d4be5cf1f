"""How many connections a server over HTTP has, and how much of bodies it reads: the same for each surface.

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

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from taskbound.surfaces.http.bounds import Bounds
from taskbound.surfaces.http.errors import FrontFullError, TooManyRequestsError
from taskbound.surfaces.http.forwarded import NO_PROXIES
from taskbound.surfaces.http.rate import network_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.errors import TaskboundError
    from taskbound.surfaces.http.connection import HttpConnection, RawHead
    from taskbound.surfaces.http.forwarded import Proxies


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
