"""What issuers of identities publish, fetched as servers are spoken to (`connect`, `oauth.exchange`).

1. Nothing is followed: a redirection is no document.
2. An answer has `MAX_ANSWER` bytes at most, and the whole exchange 20 seconds.
3. A name leads to public addresses only, unless the person said otherwise of this issuer; never to those of
   the link itself, where clouds give out credentials.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from taskbound.adapters.upstream.mcp.http.connect import look_up
from taskbound.adapters.upstream.mcp.http.oauth import exchange
from taskbound.core.tool.name import shown
from taskbound.core.tool.oauth.client import BadClientError, TokenUnavailableError, endpoint
from taskbound.ports.identity import IssuerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.adapters.upstream.mcp.http.connect import LookUp
    from taskbound.adapters.upstream.mcp.http.oauth import Said


_PATIENCE: Final = 20.0
_OK: Final = 200
_GONE: Final = frozenset({404, 410})
_JSON: Final = frozenset({b"application/json", b"application/jwk-set+json"})


class HttpDocuments:
    """Fetches documents; for plain code, from any thread."""

    def __init__(self, *, patience: float = _PATIENCE, look: LookUp = look_up) -> None:
        """Fetch so.

        Args:
            patience: Seconds for one document.
            look: Finds a name's addresses.
        """
        self._patience = patience
        self._look = look

    def fetch(self, url: str, *, private: bool) -> bytes | None:
        """The document at this URL; None where there is none.

        Raises:
            IssuerUnreachableError: It is not reached, or gives no document.
        """
        said = self._asked(url, "GET", (), b"", private=private)
        if said.status in _GONE:
            return None
        if said.status != _OK or said.kind not in _JSON:
            words = f"`{shown(url[:200])}` gives no JSON document: HTTP status {said.status}"
            raise IssuerUnreachableError(words)  # 1
        return said.body

    def post(
        self, url: str, form: Mapping[str, str], *, authorization: str, private: bool
    ) -> tuple[int, bytes]:
        """The status and the JSON of the answer to a form; no bytes where it is no JSON.

        Raises:
            IssuerUnreachableError: It is not reached.
        """
        body = urlencode(form).encode()
        headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Length", str(len(body))),
            *([("Authorization", authorization)] if authorization else []),
        ]
        said = self._asked(url, "POST", headers, body, private=private)
        return said.status, said.body if said.kind in _JSON else b""

    def _asked(
        self, url: str, verb: str, headers: Sequence[tuple[str, str]], body: bytes, *, private: bool
    ) -> Said:
        try:
            place = endpoint(url)
            return asyncio.run(
                exchange(
                    place, verb, headers, body, patience=self._patience, look=self._look, private=private
                )
            )
        except (TokenUnavailableError, BadClientError) as error:
            raise IssuerUnreachableError(error.message, remedy=error.advice) from error
