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
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from taskbound.adapters.http import HttpAddress, HttpLostError, HttpUnreachedError
from taskbound.adapters.keys.file.disk import read_secret
from taskbound.adapters.openbao import BaoConnection
from taskbound.ports.signer import SignerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from taskbound.adapters.openbao import BaoAnswer
    from taskbound.core.action import JsonValue


_SECONDS: Final = 5.0
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


def parse_bao_address(text: str) -> HttpAddress:
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
    return HttpAddress(host=host, port=port or 8_200, tls=not plain)


class BaoClient:
    """Asks one server."""

    def __init__(
        self,
        address: HttpAddress,
        *,
        token: Path,
        authorities: Path | None = None,
        patience: float = _SECONDS,
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
        connection = BaoConnection(self._address, self._tls, token=token, patience=self._patience)
        try:
            with connection:
                answer = connection.ask(method, path, body, query=query)
        except (HttpLostError, HttpUnreachedError) as error:
            raise _failed(f"it can't be reached, or doesn't answer in time ({error})") from error
        if answer.status == _NOT_FOUND and answer.errors == ():
            raise NotThereError
        if answer.status not in _OK:
            raise _failed(_WHY.get(answer.status, f"it answers with status {answer.status}"))
        return {} if answer.status == _NO_CONTENT else _data(answer)


def _data(answer: BaoAnswer) -> dict[str, JsonValue]:
    if answer.too_long:
        raise _failed("its answer is too long")
    if answer.members is None:
        raise _failed("its answer is not one of an OpenBao")
    data = answer.members.get("data")
    return data if isinstance(data, dict) else {}


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
