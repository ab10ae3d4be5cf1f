"""One limited connection to an OpenBao server.

No error holds the token or anything of an answer. No redirect is followed, as the token would be sent along.
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

    from taskbound.adapters.http import HttpPool
    from taskbound.core.action import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class BaoAnswer:
    """A server's answer; its content is omitted from repr, as it may hold a secret."""

    status: int
    too_long: bool
    members: Mapping[str, JsonValue] | None = field(repr=False)
    """The parsed object; None if the answer is not an object."""

    @property
    def errors(self) -> tuple[str, ...] | None:
        """Returns the answer's `errors`; None if it has none."""
        found = self.members.get("errors") if self.members is not None else None
        return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else None


class BaoConnection:
    """Connects on entering, with an idle connection if there is one; single-threaded."""

    def __init__(
        self,
        address: HttpAddress,
        tls: ssl.SSLContext | None,
        *,
        token: str,
        namespace: str = "",
        patience: float,
        kept: HttpPool | None = None,
    ) -> None:
        """`patience`: seconds for all requests; `kept`: a pool of the same server."""
        self._connection = HttpConnection(address, tls, patience=patience, kept=kept)
        self._headers = {
            "X-Vault-Token": token,
            "X-Vault-Request": "true",
            "Content-Type": "application/json",
            **({"X-Vault-Namespace": namespace} if namespace else {}),
        }

    @property
    def left(self) -> float:
        """Returns the seconds that are left; 0 or less after the end."""
        return self._connection.left

    def __enter__(self) -> Self:
        """Connects; raises HttpUnreachedError."""
        self._connection.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
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
        """Returns the answer, of at most `most` bytes; `path` follows `/v1/`. Raises HttpLostError."""
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
