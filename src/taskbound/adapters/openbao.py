"""One connection to an OpenBao server, with bounds.

1. What `adapters.http` says of a connection holds: its end, what was certainly not sent, the bound of an
   answer, and that no redirect is followed: the token would follow it.
2. The token stands in the one header, and in no error; neither does anything that the server said.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from taskbound.adapters.http import ANSWER, HttpAddress, HttpConnection
from taskbound.core.action import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from taskbound.adapters.http import HttpKept
    from taskbound.core.action import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class BaoAnswer:
    """What a server answered; its words are in no repr, as they may hold a secret."""

    status: int
    too_long: bool
    members: Mapping[str, JsonValue] | None = field(repr=False)
    """The object that it is; None of what is none."""

    @property
    def errors(self) -> tuple[str, ...] | None:
        """What it gives for reasons; None where it says nothing of them."""
        found = self.members.get("errors") if self.members is not None else None
        return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else None


class BaoConnection:
    """Connected on entering, by one that was kept where there is one, and used by one thread."""

    def __init__(
        self,
        address: HttpAddress,
        tls: ssl.SSLContext | None,
        *,
        token: str,
        namespace: str = "",
        patience: float,
        kept: HttpKept | None = None,
    ) -> None:
        """Ask this server.

        Args:
            address: Where it is.
            tls: Whose certificates count; None where there is no TLS.
            token: What each request is sent with.
            namespace: Where in the server; empty for its root.
            patience: Seconds, for all requests together.
            kept: Connections to the same server; None where it is left at the end.
        """
        self._connection = HttpConnection(address, tls, patience=patience, kept=kept)
        self._headers = {
            "X-Vault-Token": token,
            "X-Vault-Request": "true",
            "Content-Type": "application/json",
            **({"X-Vault-Namespace": namespace} if namespace else {}),
        }

    @property
    def left(self) -> float:
        """Seconds until its end; 0 or less once it is over."""
        return self._connection.left

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            HttpUnreachedError: Nobody is there, or it is somebody else.
        """
        self._connection.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave."""
        self._connection.__exit__()

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, JsonValue] | None = None,
        *,
        query: str = "",
        most: int = ANSWER,
    ) -> BaoAnswer:
        """What it answers.

        Args:
            method: Of HTTP.
            path: Behind `/v1/`.
            body: What is sent.
            query: Behind the path.
            most: How many bytes an answer may have.

        Raises:
            HttpLostError: Nothing that is whole, or not in time.
        """
        found = self._connection.ask(
            method,
            f"/v1/{quote(path)}" + (f"?{query}" if query else ""),
            None if body is None else json.dumps(body).encode(),
            headers=self._headers,
            most=most,
        )
        return BaoAnswer(
            status=found.status,
            too_long=found.too_long,
            members=None if found.too_long else _object(found.raw),
        )


def _object(raw: bytes) -> dict[str, JsonValue] | None:
    try:
        return parse_object(raw) if raw else None
    except MalformedError:
        return None
