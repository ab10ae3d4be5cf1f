"""Where a process that the network reaches listens: one way for the API, gateways and guards.

1. A place that somebody else has, that this machine doesn't have, or that this account may not take is told
   by its name, and by what to change.
2. What an API is told (`ApiPlace`) is looked at by who is about to start it, too (`require_place`): a daemon
   goes on without its API, and tries again for as long as it runs, which no person wants who has just
   mistyped a port.
"""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.wiring.address import BadAddressError, parse_address, parse_origin
from taskbound.wiring.tls import read_files

if TYPE_CHECKING:
    from taskbound.wiring.settings import Settings
    from taskbound.wiring.tls import TlsFiles

__all__ = ["ApiPlace", "CannotListenError", "listen_at", "require_place"]

_WHY: Final = {
    errno.EADDRINUSE: ("another program listens there", "end that one, or take another port"),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "name one of its own: `ip address` lists them"),
    errno.EACCES: ("this account may not listen there", "take a port from 1024 on"),
}


class CannotListenError(UnavailableError):
    """Nothing can be listened to at an address and port now (rule 1)."""

    code = "cannot-listen"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPlace:
    """Where an API listens and how it is known outside, each as it was written; empty where it was not."""

    address: str
    """`ADDRESS:PORT`."""
    origin: str = ""
    certificate: str = ""
    key: str = ""
    client_roots: str = ""

    @classmethod
    def of(cls, settings: Settings, address: str = "") -> ApiPlace:
        """What the settings say, and the address where another one is told."""
        return cls(
            address=address or settings.api_address,
            origin=settings.api_origin,
            certificate=settings.api_tls_certificate,
            key=settings.api_tls_key,
            client_roots=settings.api_client_roots,
        )

    def open(self, backlog: int) -> tuple[socket.socket, TlsFiles | None, str]:
        """What it listens on, its files for TLS, and its origin.

        Raises:
            BadAddressError: One of them is none, or they don't fit together.
            CannotListenError: Rule 1.
        """
        address, port = parse_address(self.address, where="api_address")
        files = read_files(self.certificate, self.key, self.client_roots, address=address, word="api")
        if not self.origin and not ip_address(address).is_loopback:
            raise BadAddressError("off the loopback the origin has to be said", where="api_origin")
        if self.origin:
            parse_origin(self.origin, secured=files is not None, where="api_origin")
        found = listen_at(address, port, backlog=backlog)
        scheme = "http" if files is None else "https"
        own = f"[{address}]" if ":" in address else address
        told = self.origin or f"{scheme}://{own}:{found.getsockname()[1]}"
        return found, files, parse_origin(told, secured=files is not None, where="api_origin")


def require_place(place: ApiPlace) -> None:
    """Go on only where an API could listen there now, with these files (rule 2).

    Raises:
        BadAddressError: As `ApiPlace.open`.
        BadTlsError: The files can't be used.
        CannotListenError: Rule 1.
    """
    found, files, _ = place.open(1)
    found.close()
    if files is not None:
        files.context()


def listen_at(address: str, port: int, *, backlog: int) -> socket.socket:
    """Listen there.

    Args:
        address: A number of either family, without brackets.
        port: 0 takes a free one.
        backlog: How many connections may wait to be taken.

    Raises:
        CannotListenError: Rule 1.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=backlog)
    except OSError as error:
        place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        why, remedy = _WHY.get(error.errno or 0, (error.strerror or "", ""))
        raise CannotListenError(f"nothing can listen at {place}: {why}", remedy=remedy) from error
