"""Where a client is whose requests come through a reverse proxy.

1. `X-Forwarded-For` is read on connections of declared proxies alone: any other client can write it itself.
2. The client is the last hop that is no declared proxy: what stands before it was written by the client. A
   hop that is no address ends the reading; the nearest hop that was read counts.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from ipaddress import IPv4Network, IPv6Network


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
