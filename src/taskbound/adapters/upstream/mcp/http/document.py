"""Fetches documents that identity issuers publish (`connect`, `oauth.exchange`).

1. Redirects are not followed.
2. An answer has at most `MAX_ANSWER` bytes, and an exchange takes at most 20 seconds.
3. A name may resolve only to public addresses unless a person permitted private ones; never to link-local
   ones, where clouds serve credentials.
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
    from taskbound.adapters.upstream.mcp.http.oauth import TokenReply


_PATIENCE: Final = 20.0
_OK: Final = 200
_GONE: Final = frozenset({404, 410})
_JSON: Final = frozenset({b"application/json", b"application/jwk-set+json"})


class HttpDocuments:
    """Fetches documents (blocking); safe from any thread."""

    def __init__(self, *, patience: float = _PATIENCE, look: LookUp = look_up) -> None:
        self._patience = patience
        self._look = look

    def fetch(self, url: str, *, private: bool) -> bytes | None:
        """Returns the document, or None; raises IssuerUnreachableError."""
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
        """Returns status and JSON of a form's answer, b'' if not JSON; raises IssuerUnreachableError."""
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
    ) -> TokenReply:
        try:
            place = endpoint(url)
            return asyncio.run(
                exchange(
                    place, verb, headers, body, patience=self._patience, look=self._look, private=private
                )
            )
        except (TokenUnavailableError, BadClientError) as error:
            raise IssuerUnreachableError(error.message, remedy=error.advice) from error
