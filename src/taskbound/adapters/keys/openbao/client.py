"""Requests to an OpenBao server, each with an end.

1. The address is `https`, with a certificate that the system's authorities or the given ones vouch for;
   `http` only to this machine's own loopback.
2. The server's token is read anew from its file for each request, so that whoever renews it needs no new
   start. The file is this user's alone. The token stands in the one header, and in no error.
3. A request ends after five seconds, whatever the server does meanwhile, and an answer has at most 1 MiB. No
   redirect is followed: the token would follow it.
4. Whatever isn't an answer is one error: nobody there, sealed, refused, too busy, or not what an OpenBao
   says.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from taskbound.adapters.keys.file.disk import read_secret
from taskbound.core.action import parse_object
from taskbound.core.errors import MalformedError
from taskbound.ports.signer import SignerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from taskbound.core.action import JsonValue

__all__ = ["BaoAddress", "BaoClient", "NotThereError", "parse_bao_address"]

_SECONDS: Final = 5.0
_ANSWER: Final = 1_048_576
_TOKEN: Final = 4_096
_NO_CONTENT: Final = 204
_OK: Final = frozenset({200, _NO_CONTENT})
_WHY: Final[Mapping[int, str]] = {
    400: "it can't do what was asked",
    403: "it refuses the token",
    404: "it has nothing at that path: the mount may be another",
    429: "it has too much to do",
    472: "it is not the active one",
    473: "it is not the active one",
    501: "it was never initialized",
    503: "it is sealed, or at work on itself",
}
_NOT_FOUND: Final = 404


class NotThereError(Exception):
    """What was asked for is not there (404); never leaves this folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaoAddress:
    """Where a server is."""

    host: str
    port: int
    tls: bool


def parse_bao_address(text: str) -> BaoAddress:
    """The server that this address names (rule 1).

    Raises:
        SignerUnavailableError: It is none, or one whose connections others could read.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    plain = parts.scheme == "http" and _is_loopback(host)
    extra = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None
    if not host or extra or not (plain or parts.scheme == "https"):
        raise SignerUnavailableError(
            "the address of the server of keys is no `https://HOST:PORT`",
            remedy="give `https` and a host; `http` only for this machine's own loopback, as `http://127.0.0.1:8200`",
        )
    return BaoAddress(host=host, port=port or 8_200, tls=not plain)


class BaoClient:
    """Asks one server."""

    def __init__(
        self, address: BaoAddress, *, token: Path, authorities: Path | None = None, patience: float = _SECONDS
    ) -> None:
        """Ask this server.

        Args:
            address: Where it is.
            token: The file with the token (rule 2).
            authorities: Whose certificates count, in PEM; the system's when not given.
            patience: How many seconds a request may take in all (rule 3).

        Raises:
            SignerUnavailableError: The authorities can't be read.
        """
        self._address, self._token, self._patience = address, token, patience
        try:
            self._tls = ssl.create_default_context(cafile=authorities) if address.tls else None
        except (OSError, ValueError) as error:
            raise SignerUnavailableError("the authorities of the server of keys can't be read") from error

    def ask(
        self, method: str, path: str, body: Mapping[str, JsonValue] | None = None, *, query: str = ""
    ) -> dict[str, JsonValue]:
        """The `data` of the answer; empty where it has none.

        Raises:
            NotThereError: It answers 404.
            SignerUnavailableError: Rule 4.
        """
        token = read_secret(self._token, _TOKEN)
        sent = None if body is None else json.dumps(body).encode()
        try:
            with self._connected() as connection:
                connection.request(
                    method,
                    f"/v1/{quote(path)}" + (f"?{query}" if query else ""),
                    body=sent,
                    headers={
                        "X-Vault-Token": token,
                        "X-Vault-Request": "true",
                        "Content-Type": "application/json",
                    },
                )
                answer = connection.getresponse()
                status, raw = answer.status, answer.read(_ANSWER + 1)
        except (OSError, HTTPException, ValueError) as error:
            raise _failed(
                f"it can't be reached, or doesn't answer in time ({type(error).__name__})"
            ) from error
        if status == _NOT_FOUND and _errors(raw) == []:
            raise NotThereError
        if status not in _OK:
            raise _failed(_WHY.get(status, f"it answers with status {status}"))
        return {} if status == _NO_CONTENT else _data(raw)

    @contextmanager
    def _connected(self) -> Iterator[HTTPConnection]:
        """A connection that ends in time (rule 3)."""
        at, tls = self._address, self._tls
        connection = (
            HTTPConnection(at.host, at.port, timeout=self._patience)
            if tls is None
            else HTTPSConnection(at.host, at.port, timeout=self._patience, context=tls)
        )
        over = threading.Event()
        end = threading.Timer(self._patience, _cut, (connection, over))
        end.daemon = True
        end.start()
        try:
            yield connection
            if over.is_set():
                raise TimeoutError  # what was cut reads like an answer that ended
        finally:
            end.cancel()
            connection.close()


def _cut(connection: HTTPConnection, over: threading.Event) -> None:
    """End whatever it waits for: each byte that comes would begin the socket's own time anew."""
    over.set()
    sock: Any = connection.sock
    if sock is not None:
        with suppress(OSError):  # it is over
            sock.shutdown(socket.SHUT_RDWR)


def _data(raw: bytes) -> dict[str, JsonValue]:
    if len(raw) > _ANSWER:
        raise _failed("its answer is too long")
    try:
        data = parse_object(raw).get("data")
    except MalformedError as error:
        raise _failed("its answer is not one of an OpenBao") from error
    return data if isinstance(data, dict) else {}


def _errors(raw: bytes) -> JsonValue:
    """What an answer gives for reasons; none at all where a path is right and there is nothing."""
    try:
        return parse_object(raw).get("errors") if len(raw) <= _ANSWER else None
    except MalformedError:
        return None


def _failed(why: str) -> SignerUnavailableError:
    return SignerUnavailableError(
        f"the server of keys does not help: {why}",
        remedy="see that it runs, is unsealed, and that the token's policy allows its path of keys",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
