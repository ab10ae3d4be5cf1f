"""Requests of a service to the issuer of the tokens that it is shown.

1. What is sent goes to the issuer's own address, over TLS but for the loopback, by no proxy, without
   redirects; the answer is there within five seconds, and has so many bytes at most.
2. An answer that is not whole is none.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BadIssuerNameError", "IssuerAnswer", "require_issuer", "send"]

_PATIENCE: Final = 5.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class BadIssuerNameError(MalformedError):
    """The issuer's name is no address that could be asked."""

    code = "bad-issuer-name"
    remedy = "give an origin, such as `https://as.example`; without TLS only on the loopback"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerAnswer:
    """One answer, whole."""

    status: int
    headers: Mapping[str, str]
    """By name in small letters."""
    body: bytes


def require_issuer(issuer: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an issuer that can be asked (rule 1).

    Raises:
        BadIssuerNameError: It can't.
    """
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
    """The answer to one request, of any status.

    Args:
        issuer: Whom to ask.
        method: As in HTTP.
        path: With its query.
        body: None for none.
        headers: Beside `Host` and `Content-Length`.
        tls: How the certificate is looked at; by the system's authorities where it is not given.
        most: Bytes that the answer may have.

    Raises:
        OSError: There is none, or it is not whole (rule 2), or too long.
        BadIssuerNameError: It can't be asked.
    """
    scheme, host, port = require_issuer(issuer)
    connection = (
        HTTPConnection(host, port, timeout=_PATIENCE)
        if scheme == "http"
        else HTTPSConnection(host, port, timeout=_PATIENCE, context=tls or ssl.create_default_context())
    )
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        told = answer.read(most + 1)
    except HTTPException as error:
        raise OSError("the issuer's answer can't be read") from error
    finally:
        connection.close()
    if answer.length or len(told) > most:  # what it said that there would be, and what did not come
        raise OSError("the issuer's answer is not whole, or too long")
    found = {name.lower(): value for name, value in answer.getheaders()}
    return IssuerAnswer(status=answer.status, headers=found, body=told)
