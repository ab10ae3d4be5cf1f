"""HTTP requests of a service to its token issuer.

1. A request goes to the issuer's own address, over TLS except on the loopback, without proxy or redirects.
   The whole answer must arrive within five seconds and a size bound; the time is for all of it, so a slow
   issuer can't prolong it.
2. An incomplete answer is an error.
3. An answer may contain a token and is never in a `repr`.
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.wire.frame import require_one_framing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import WriteableBuffer


_PATIENCE: Final = 5.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class BadIssuerNameError(MalformedError):
    """The issuer's name is no usable address."""

    code = "bad-issuer-name"
    remedy = "give an origin, such as `https://as.example`; without TLS only on the loopback"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerAnswer:
    """One complete HTTP answer."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """By name in small letters."""
    body: bytes = field(repr=False)


def require_issuer(issuer: str) -> tuple[str, str, int | None]:
    """Returns scheme, host and port; raises BadIssuerNameError if the issuer can't be asked (rule 1)."""
    parts = urlsplit(issuer)
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    plain = issuer == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc
    if not (secure and plain and parts.hostname):
        raise BadIssuerNameError(f"`{issuer}` is no origin that is asked")
    return parts.scheme, parts.hostname, parts.port


def send(  # noqa: PLR0913 - what a request is, each by its name
    issuer: str,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    most: int = 262_144,
) -> IssuerAnswer:
    """Returns the answer to one request, of any status, with at most `most` bytes.

    Headers are added to `Host` and `Content-Length`; `tls` defaults to the system's authorities.
    """
    ends = _Ends()
    connection = _connected(issuer, tls, ends)
    try:
        connection.sock.settimeout(ends.left())
        connection.request(method, path, body, dict(headers or {}))
        with HTTPResponse(connection.sock, method=method) as answer:
            answer.fp = BufferedReader(_Arriving(answer.fp.detach(), connection.sock, ends))
            answer.begin()
            require_one_framing(answer.headers)
            told = answer.read(most + 1)
    except (HTTPException, ValueError) as error:
        raise OSError("the issuer's answer can't be read") from error
    finally:
        connection.close()
    if answer.length or len(told) > most:  # what it said that there would be, and what did not come
        raise OSError("the issuer's answer is not whole, or too long")
    found = {name.lower(): value for name, value in answer.getheaders()}
    return IssuerAnswer(status=answer.status, headers=found, body=told)


class _Ends:
    """Deadline of one request (rule 1)."""

    def __init__(self) -> None:
        self._at = time.monotonic() + _PATIENCE

    def left(self) -> float:
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the issuer's answer did not come in time")
        return left


class _Arriving(RawIOBase):
    """Socket reader; each read is limited to the time left for the whole request (rule 1)."""

    def __init__(self, raw: RawIOBase, sock: socket.socket, ends: _Ends) -> None:
        self._raw, self._sock, self._ends = raw, sock, ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        self._sock.settimeout(self._ends.left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _connected(issuer: str, tls: ssl.SSLContext | None, ends: _Ends) -> HTTPConnection:
    scheme, host, port = require_issuer(issuer)
    secure = (tls or ssl.create_default_context()) if scheme == "https" else None
    connection = HTTPConnection(host, port) if secure is None else HTTPSConnection(host, port, context=secure)
    sock = socket.create_connection((host, connection.port), timeout=ends.left())
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure is not None:
            sock.settimeout(ends.left())
            sock = secure.wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise
    connection.sock = sock
    return connection
