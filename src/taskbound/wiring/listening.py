"""Opens network sockets for the API, gateways and guards.

1. An address that is in use, not of this machine, or not permitted is reported with what to change.
2. Commands check the API's address before they start a daemon (`require_place`), because a daemon without API
   keeps running and retries. The API of a killed daemon exits a moment later, so an address in use is waited
   for.
"""

from __future__ import annotations

import errno
import socket
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.wiring.address import BadAddressError, format_address, parse_address, parse_origin
from taskbound.wiring.tls import read_files

if TYPE_CHECKING:
    from taskbound.wiring.settings import Settings
    from taskbound.wiring.tls import TlsFiles


BACKLOG: Final = 512
"""Connections that may wait to be accepted. The client of one more tries again after a second."""
_PATIENCE: Final = 3.0
_PAUSE: Final = 0.05
_WHY: Final = {
    errno.EADDRINUSE: ("another program listens there", "end that one, or take another port"),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "name one of its own: `ip address` lists them"),
    errno.EACCES: ("this account may not listen there", "take a port from 1024 on"),
}


class CannotListenError(UnavailableError):
    """The process can't listen at this address and port (rule 1)."""

    code = "cannot-listen"
    remedy = "see why in what the system says of it, or take another address or port"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPlace:
    """The API's configured address, origin and TLS files, unparsed; empty if not set."""

    address: str
    """`ADDRESS:PORT`."""
    origin: str = ""
    certificate: str = ""
    key: str = ""
    client_roots: str = ""

    @classmethod
    def of(cls, settings: Settings, address: str = "") -> ApiPlace:
        """Returns the configured values; a non-empty `address` replaces the configured one."""
        return cls(
            address=address or settings.api_address,
            origin=settings.api_origin,
            certificate=settings.api_tls_certificate,
            key=settings.api_tls_key,
            client_roots=settings.api_client_roots,
        )

    def open(self, backlog: int) -> tuple[socket.socket, TlsFiles | None, str]:
        """Returns the listening socket, TLS files and origin; raises BadAddressError or CannotListenError."""
        address, port = parse_address(self.address, where="api_address")
        files = read_files(self.certificate, self.key, self.client_roots, address=address, word="api")
        if not self.origin and not ip_address(address).is_loopback:
            raise BadAddressError("off the loopback the origin has to be said", where="api_origin")
        if self.origin:
            parse_origin(self.origin, secured=files is not None, where="api_origin")
        found = listen_at(address, port, backlog=backlog)
        scheme = "http" if files is None else "https"
        told = self.origin or f"{scheme}://{format_address(address, found.getsockname()[1])}"
        return found, files, parse_origin(told, secured=files is not None, where="api_origin")


def require_place(place: ApiPlace, *, patience: float = _PATIENCE) -> None:
    """Raises an error unless an API could listen there within `patience` seconds (rule 2)."""
    found, files, _ = _opened(place, time.monotonic() + patience)
    found.close()
    if files is not None:
        files.context()


def _opened(place: ApiPlace, until: float) -> tuple[socket.socket, TlsFiles | None, str]:
    while True:
        try:
            return place.open(1)
        except CannotListenError as error:
            is_taken = getattr(error.__cause__, "errno", None) == errno.EADDRINUSE
            if not is_taken or time.monotonic() > until:
                raise
            time.sleep(_PAUSE)


def listen_at(address: str, port: int, *, backlog: int) -> socket.socket:
    """Returns a socket that listens at an IPv4 or IPv6 address without brackets; port 0 takes a free port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=backlog)
    except OSError as error:
        why, remedy = _WHY.get(error.errno or 0, (error.strerror or "", ""))
        message = f"nothing can listen at {format_address(address, port)}: {why}"
        raise CannotListenError(message, remedy=remedy) from error
