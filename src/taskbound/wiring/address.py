"""Parses listen addresses and origins.

1. A listen address is numeric, never a host name: resolving a name would trust another machine.
2. An origin has one spelling, because `htu`, `aud` and `Host` are compared byte by byte.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network


_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_HIGHEST: Final = 65_535
_DEFAULT: Final = {"http": 80, "https": 443}


class BadAddressError(MalformedError):
    """A listen address, origin, host name or network is malformed."""

    code = "bad-address"
    remedy = "see the settings of addresses and origins in docs/reference/settings.md"


def parse_address(text: str, *, where: str) -> tuple[str, int]:
    """Parses `ADDRESS:PORT`, with IPv6 in brackets (rule 1); `where` names the setting in errors."""
    host, _, port = text.rpartition(":")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]") if host.startswith("[") else host)
    except ValueError as error:
        raise BadAddressError("the listen address is malformed", where=where) from error
    bracketed = host.startswith("[") and host.endswith("]")
    if isinstance(address, IPv6Address) is not bracketed:
        raise BadAddressError("an IPv6 address stands in brackets, and no other does", where=where)
    if not port.isascii() or not port.isdigit() or int(port) > _HIGHEST:
        raise BadAddressError("the address to listen on has no port", where=where)
    return str(address), int(port)


def format_address(address: str, port: int) -> str:
    """Formats an address so that `parse_address` reads it back."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def parse_origin(text: str, *, secured: bool, where: str) -> str:
    """Parses an origin (rule 2): scheme, lower-case host, and a port unless it is the default.

    With `secured` (TLS) the scheme must be `https`. `where` names the setting in errors.
    """
    try:
        seen = urlsplit(text)
        port = seen.port
    except ValueError as error:
        raise BadAddressError("the origin is malformed", where=where) from error
    plain = f"{seen.scheme}://{seen.netloc}"
    if seen.scheme not in _DEFAULT or not seen.hostname or "@" in seen.netloc or text.rstrip("/") != plain:
        raise BadAddressError("the origin is `https://HOST[:PORT]` and nothing more", where=where)
    if secured and seen.scheme != "https":
        raise BadAddressError("what has TLS is known by `https`", where=where)
    if not seen.netloc.isascii() or seen.netloc != seen.netloc.lower():
        raise BadAddressError("the origin's host is in lower case, and in ASCII", where=where)
    return plain if port != _DEFAULT[seen.scheme] else plain.rpartition(":")[0]


def parse_hosts(text: str, *, where: str) -> tuple[str, ...]:
    """Parses host names separated by spaces; an empty text gives an empty tuple."""
    found = tuple(text.split())
    if not all(_HOST.fullmatch(one) for one in found):
        raise BadAddressError("hosts are names in lower case, with a space between two", where=where)
    return found


def parse_networks(text: str, *, where: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(one) for one in text.split())
    except ValueError as error:
        raise BadAddressError(
            "proxies are addresses or networks, with a space between two", where=where
        ) from error


def hosts_of(origin: str, address: str, port: int) -> frozenset[str]:
    scheme, _, authority = origin.partition("://")
    found = {authority}
    if ":" not in authority.rpartition("]")[2]:
        found.add(f"{authority}:{_DEFAULT[scheme]}")
    if ip_address(address).is_loopback:
        found |= {f"{one}:{port}" for one in ("127.0.0.1", "[::1]", "localhost")}
        found.add(format_address(address, port))
    return frozenset(found)
