"""Fetches trust bundles from SPIFFE bundle endpoints (SPIFFE Federation §5).

1. The poll interval is `spiffe_refresh_hint`, by default five minutes, and short enough that a lost answer
   doesn't make the bundle stale.
2. An `https_spiffe` endpoint is verified by the bundle of its SPIFFE ID's domain. If that is the fetched
   domain, its stored bundle counts at any age for this purpose only (`core.identity.trust`, rule 5); another
   domain must be trusted and fresh.

Connections (SPIFFE Federation §5.2, RFC 9110 §15.4):

1. A name is resolved once; one address that isn't admitted (`core.identity.trust.admits`) refuses all, also
   after redirects.
2. `https_web` uses OpenSSL's built-in authorities; environment variables are ignored.
3. `https_spiffe` requires the configured SPIFFE ID by its domain's authorities, before anything is sent; host
   names are not compared.
4. No credential, cookie, client certificate or proxy is used.
5. At most three redirects to https are followed under the same rules, and not remembered (§5.2.1).
6. Time, head and body are bounded; an encoded body is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import h11

from taskbound.adapters.identity.spiffe.x509 import read_chain, require_authority_certificates
from taskbound.core.clock import seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.selector import parse_spiffe_id
from taskbound.core.identity.trust import (
    MOST_BYTES,
    BundleSizeError,
    TrustSource,
    TrustSourceError,
    admits,
    parse_bundle,
    require_authorities,
)
from taskbound.core.scope.constraints.url import ReadUrl, read_url
from taskbound.wire.frame import has_one_length, read_lengths

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.identity.trust import Bundle, Trust

    LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
    """The addresses of a host's name."""
    Known = Callable[[str, str], Trust | None]
    """What is believed now of a namespace's domain."""


_OK: Final = 200
_REDIRECTIONS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTIONS: Final = 3
_ADDRESSES: Final = 3
_HEAD: Final = 16_384
_CHUNK: Final = 65_536
_LOCALHOST: Final = "localhost"
_LOOPBACK: Final = ("127.0.0.1", "::1")


async def look_up(host: str, port: int) -> Sequence[str]:
    """Returns a host's addresses from the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


def web_context(authorities: str = "") -> ssl.SSLContext:
    """Returns a TLS context for web servers; raises TrustSourceError if OpenSSL has no authorities."""
    context = _context()
    if authorities:
        context.load_verify_locations(cafile=authorities)
        return context
    built = ssl.get_default_verify_paths()
    file = built.openssl_cafile if Path(built.openssl_cafile).is_file() else None
    folder = built.openssl_capath if Path(built.openssl_capath).is_dir() else None
    if file is None and folder is None:
        raise TrustSourceError(
            "this machine has no authorities that certify servers",
            remedy="install the system's CA certificates",
        )
    context.load_verify_locations(cafile=file, capath=folder)
    return context


def spiffe_context(authorities: Sequence[bytes]) -> ssl.SSLContext:
    """Returns a TLS context for a SPIFFE endpoint (rule 3); raises TrustSourceError without authorities."""
    if not authorities:
        raise TrustSourceError(
            "the endpoint's own trust domain has no authorities that it could be proven by"
        )
    context = _context()
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=b"".join(authorities))
    return context


async def fetch(trust: Trust, context: ssl.SSLContext, *, patience: float, look: LookUp = look_up) -> bytes:
    """Returns the endpoint's body within `patience` seconds; raises TrustSourceError or BundleSizeError."""
    place = trust.place
    try:
        async with asyncio.timeout(patience):
            for _ in range(_MOST_REDIRECTIONS + 1):
                status, location, body = await _get(trust, place, context, look)
                if status == _OK:
                    return body
                if status not in _REDIRECTIONS:
                    raise TrustSourceError(f"the endpoint answered with the HTTP status {status}")
                place = _followed(place, location)  # 5
    except TimeoutError as error:
        raise TrustSourceError(f"the endpoint did not answer in {patience:g} s") from error
    except ssl.SSLCertVerificationError as error:
        raise TrustSourceError("the endpoint does not prove who it is") from error
    except ssl.SSLError as error:
        raise TrustSourceError("there is no TLS with the endpoint") from error
    except OSError as error:
        words = error.strerror or type(error).__name__
        raise TrustSourceError(f"the endpoint can't be reached: {words}") from error
    except h11.RemoteProtocolError as error:
        raise TrustSourceError("the endpoint gives no answer that can be read") from error
    raise TrustSourceError(f"the endpoint sends elsewhere more than {_MOST_REDIRECTIONS} times")


def _followed(place: str, location: str) -> str:
    if location.startswith("/") and not location.startswith("//"):
        location = "/".join(place.split("/", 3)[:3]) + location
    read = read_url(location)
    if not isinstance(read, ReadUrl) or read.scheme != "https" or "#" in location:
        raise TrustSourceError("the endpoint sends to a place that is no https URL that all read alike")
    return location


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _get(trust: Trust, place: str, context: ssl.SSLContext, look: LookUp) -> tuple[int, str, bytes]:
    read = read_url(place)
    if not isinstance(read, ReadUrl):
        raise TrustSourceError("the endpoint's URL can't be read")
    reader, writer = await _connected(trust, read, context, look)
    try:
        if trust.source is TrustSource.HTTPS_SPIFFE:
            _require_endpoint(trust, writer)  # 3
        _, mark, query = place.partition("?")
        return await _exchanged(reader, writer, place.split("/", 3)[2], f"{read.path}{mark}{query}")
    finally:
        writer.transport.abort()


async def _connected(
    trust: Trust, read: ReadUrl, context: ssl.SSLContext, look: LookUp
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    addresses: Sequence[str] = _LOOPBACK if read.host == _LOCALHOST else await look(read.host, read.port)
    found = list(dict.fromkeys(addresses))[:_ADDRESSES]
    if not found or not all(admits(trust, read.host, one) for one in addresses):
        raise TrustSourceError(
            "the endpoint leads to an address that is not public",
            remedy="add it with `--private` if its endpoint is meant to be in a network of your own",
        )
    for address in found[:-1]:
        with contextlib.suppress(ConnectionError):
            return await asyncio.open_connection(address, read.port, ssl=context, server_hostname=read.host)
    return await asyncio.open_connection(found[-1], read.port, ssl=context, server_hostname=read.host)


def _require_endpoint(trust: Trust, writer: asyncio.StreamWriter) -> None:
    held: ssl.SSLObject = writer.get_extra_info("ssl_object")
    try:
        spiffe = read_chain([held.getpeercert(binary_form=True) or b""]).spiffe
    except TaskboundError as error:
        raise TrustSourceError("the endpoint proves no SPIFFE ID") from error
    if spiffe.text != trust.endpoint:
        raise TrustSourceError("the endpoint proves another SPIFFE ID than the one that was configured")


async def _exchanged(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, target: str
) -> tuple[int, str, bytes]:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
    headers = [
        ("Host", authority),
        ("User-Agent", "taskbound"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    request = h11.Request(method="GET", target=target, headers=headers)
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    status, location, heads, body = 0, "", bytearray(), bytearray()
    while True:
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                data = await reader.read(_CHUNK)
                heads += data if not status else b""
                connection.receive_data(data)
            case h11.Response(status_code=status, headers=said):
                behind = len(connection.trailing_data[0])
                if not has_one_length(read_lengths(bytes(heads[: len(heads) - behind]))):
                    raise TrustSourceError("the endpoint frames its answer in two ways")
                found = {name: value.decode("latin-1") for name, value in said}
                location = found.get(b"location", "")
                if status == _OK and found.get(b"content-encoding", "identity") != "identity":
                    raise TrustSourceError("the endpoint encodes its answer without being asked to")  # 6
                if status != _OK:
                    return status, location, b""
            case h11.Data(data=data):
                body += data
                if len(body) > MOST_BYTES:
                    raise BundleSizeError(f"the endpoint says more than {MOST_BYTES} bytes")  # 6
            case h11.EndOfMessage():
                return status, location, bytes(body)
            case h11.InformationalResponse():
                continue
            case _:
                raise TrustSourceError("the endpoint closed the connection")


_PATIENCE: Final = 20.0


class EndpointBundles:
    """The `BundleSource` of bundle endpoints."""

    def __init__(
        self,
        known: Known,
        now: Callable[[], Instant],
        *,
        patience: float = _PATIENCE,
        look: LookUp = look_up,
        authorities: str = "",
    ) -> None:
        """`known` finds the domain that verifies an endpoint; `now` decides whether its bundle is fresh."""
        self._known = known
        self._now = now
        self._patience = patience
        self._look = look
        self._authorities = authorities

    async def states(self, trust: Trust) -> AsyncGenerator[Bundle, None]:
        """Yields the bundle after each poll (rule 1)."""
        while True:
            raw = await fetch(trust, self._context(trust), patience=self._patience, look=self._look)
            bundle = parse_bundle(raw)
            require_authority_certificates(trust.domain, bundle)
            yield bundle
            trust = replace(trust, bundle=bundle.document)
            await asyncio.sleep(trust.every / seconds(1))

    def _context(self, trust: Trust) -> ssl.SSLContext:
        if trust.source is TrustSource.HTTPS_WEB:
            return web_context(self._authorities)
        domain = parse_spiffe_id(trust.endpoint).domain
        known = self._known(trust.namespace, domain)
        if known is None:
            raise TrustSourceError(
                "the trust domain by which the endpoint proves itself is not believed here"
            )
        if domain == trust.domain:
            return spiffe_context(known.known.x509)
        try:
            return spiffe_context(require_authorities(known, "x509", now=self._now()))
        except TaskboundError as error:
            raise TrustSourceError(f"the endpoint can't be proven: {error.message}") from error
