"""Connections to a pinned server, and its public key's hash.

1. A name is resolved once for a connection, and only a checked address is connected to. One address that the
   pin doesn't admit refuses all (`core.tool.remote`).
2. TLS is always verified, by the pinned authorities or OpenSSL's built-in paths. Environment variables
   (`SSL_CERT_FILE`, `SSLKEYLOGFILE`) come from the agent's client and are ignored. A pinned key is compared
   before a byte is sent.
3. Proxies are never used.
4. Until then nothing of the request is written, so a failed connection means *not sent*.
5. An idle connection is reused for a few seconds if no byte or end arrived.

The certificate was verified by OpenSSL; only its SubjectPublicKeyInfo is cut out here (RFC 5280 section 4.1),
which avoids loading a certificate library.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.digest import hash_file
from taskbound.adapters.upstream.mcp.errors import NoSuchCommandError, ServerChangedError
from taskbound.adapters.upstream.mcp.http.errors import NotReachedError
from taskbound.adapters.upstream.mcp.http.exchange import Wire
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskbound.core.tool import PinnedFile
    from taskbound.core.tool.identity import Remote

    LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
    """The addresses of a host's name."""


_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_BEFORE: Final = 5
"""Serial number, algorithm, issuer, validity and subject stand before the key."""
_LONG: Final = 0x80


def key_hash(certificate: bytes) -> str:
    """Returns the hexadecimal SHA-256 of a DER certificate's SubjectPublicKeyInfo; raises ValueError."""
    start, end = _inside(certificate, 0, _SEQUENCE)
    at, end = _inside(certificate[:end], start, _SEQUENCE)
    if certificate[at] == _VERSION:
        at = _after(certificate, at)
    for _ in range(_BEFORE):
        at = _after(certificate, at)
    _inside(certificate, at, _SEQUENCE)
    found = certificate[at : _after(certificate, at)]
    if not found or at >= end:
        raise ValueError("the certificate holds no key")
    return sha256(found).hexdigest()


def _inside(data: bytes, at: int, tag: int) -> tuple[int, int]:
    if at + 1 >= len(data) or data[at] != tag:
        raise ValueError("the certificate is not built as one")
    return _content(data, at)


def _after(data: bytes, at: int) -> int:
    return _content(data, at)[1]


def _content(data: bytes, at: int) -> tuple[int, int]:
    if at + 1 >= len(data):
        raise ValueError("the certificate ends too early")
    size, start = data[at + 1], at + 2
    if size & _LONG:
        start += size & ~_LONG
        size = int.from_bytes(data[at + 2 : start], "big")
    if start + size > len(data):
        raise ValueError("the certificate ends too early")
    return start, start + size


_ADDRESSES: Final = 3
_IDLE: Final = 3.0
"""Seconds; servers keep an idle connection for 5 (uvicorn, Node) and more."""
_MOST_IDLE: Final = 4
_LOOPBACK: Final = ("127.0.0.1", "::1")


async def look_up(host: str, port: int) -> Sequence[str]:
    """Returns a host's addresses from the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


class Dialer:
    """Makes and keeps connections to one server."""

    def __init__(
        self, remote: Remote, *, patience: float, look: LookUp = look_up, private: bool = False
    ) -> None:
        """`patience` (seconds) covers name resolution to TLS.

        `private` permits private addresses, never link-local, unspecified or multicast ones. Raises
        ServerChangedError if the pinned file of authorities changed.
        """
        self._remote = remote
        self._patience = patience
        self._look = look
        self._private = private
        self._context = _context(remote.authorities) if remote.read.scheme == "https" else None
        self._idle: list[tuple[Wire, asyncio.TimerHandle]] = []
        self.key = ""
        """The hash of the key that the server showed last; empty without TLS."""

    async def take(self) -> Wire:
        """Returns an unused connection; raises NotReachedError, and then nothing was sent (rule 4)."""
        while self._idle:
            wire, timer = self._idle.pop()
            timer.cancel()
            if wire.fresh:
                return wire
            wire.abort()
        try:
            async with asyncio.timeout(self._patience):
                return await self._connected()
        except TimeoutError as error:
            raise NotReachedError(f"`{self._shown}` can't be reached in {self._patience:g} s") from error

    def give(self, wire: Wire) -> None:
        """Keeps a connection after a complete answer (rule 5)."""
        if not wire.fresh or len(self._idle) >= _MOST_IDLE:
            wire.abort()
            return
        timer = asyncio.get_running_loop().call_later(_IDLE, self._drop, wire)
        self._idle.append((wire, timer))

    def close(self) -> None:
        for wire, timer in self._idle:
            timer.cancel()
            wire.abort()
        self._idle.clear()

    def _drop(self, wire: Wire) -> None:
        self._idle = [(one, timer) for one, timer in self._idle if one is not wire]
        wire.abort()

    @property
    def _shown(self) -> str:
        return shown(self._remote.origin)

    async def _connected(self) -> Wire:
        addresses = await self._addresses()
        for address in addresses[:-1]:
            with contextlib.suppress(OSError):
                return await self._to(address)
        try:
            return await self._to(addresses[-1])
        except ssl.SSLCertVerificationError as error:
            words = shown(error.verify_message)
            raise NotReachedError(f"`{self._shown}` does not prove who it is: {words}") from error
        except ssl.SSLError as error:
            words = shown(error.reason or "TLS failed")
            raise NotReachedError(f"there is no TLS with `{self._shown}`: {words}") from error
        except OSError as error:
            words = error.strerror or type(error).__name__
            raise NotReachedError(f"`{self._shown}` can't be reached: {words}") from error

    async def _addresses(self) -> Sequence[str]:
        host, port = self._remote.read.host, self._remote.read.port
        if host == "localhost":
            return _LOOPBACK
        try:
            found = list(dict.fromkeys(await self._look(host, port)))
        except (OSError, UnicodeError) as error:
            raise NotReachedError(f"the name `{shown(host)}` has no address") from error
        if not found or not all(map(self._admits, found)):
            raise NotReachedError(
                f"the name `{shown(host)}` leads to an address that is not public",
                remedy="pin the server by its address if it is meant to be in a network of your own",
            )
        return found[:_ADDRESSES]

    def _admits(self, address: str) -> bool:
        return self._remote.admits(address, private=self._private)

    async def _to(self, address: str) -> Wire:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        plain = socket.socket(family, socket.SOCK_STREAM)
        try:
            plain.settimeout(0)
            await loop.sock_connect(plain, (address, self._remote.read.port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            host = self._remote.read.host if self._context is not None else None
            _, wire = await loop.create_connection(Wire, sock=plain, ssl=self._context, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        if self._context is not None:
            self._require_key(wire)
        return wire

    def _require_key(self, wire: Wire) -> None:
        try:
            self.key = key_hash(wire.certificate())
        except (ValueError, IndexError) as error:
            wire.abort()
            raise NotReachedError(f"the certificate of `{self._shown}` can't be read") from error
        if self._remote.key not in {"", self.key}:
            wire.abort()
            raise NotReachedError(f"`{self._shown}` has another key than the one that was pinned: {self.key}")


def _context(authorities: PinnedFile | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if authorities is None:
        built = ssl.get_default_verify_paths()
        file = built.openssl_cafile if Path(built.openssl_cafile).is_file() else None
        folder = built.openssl_capath if Path(built.openssl_capath).is_dir() else None
        if file is None and folder is None:
            raise NotReachedError(
                "this machine has no authorities that certify servers where OpenSSL looks for them",
                remedy="install the system's CA certificates, or pin the server with `--ca FILE`",
            )
        context.load_verify_locations(cafile=file, capath=folder)
        return context
    try:
        same = hash_file(authorities.path) == authorities.sha256
        text = Path(authorities.path).read_text(encoding="ascii")
        context.load_verify_locations(cadata=text)
    except (NoSuchCommandError, OSError, ValueError) as error:
        raise ServerChangedError(
            f"`{shown(authorities.path)}` holds no authorities that can be read"
        ) from error
    if not same:
        raise ServerChangedError(f"`{shown(authorities.path)}` is not the file that was pinned")
    return context
