"""Tokens of OAuth on their way with requests to a server behind a URL.

1. A server that wants tokens is given the one of the moment with each request. Without one nothing is sent.
2. One that the server does not take (401) is not sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.http.errors import NoTokenError, UntakenTokenError
from taskbound.core.errors import TaskboundError

if TYPE_CHECKING:
    from taskbound.adapters.upstream.mcp.filling import Tokens
    from taskbound.adapters.upstream.mcp.http.exchange import Head


_UNAUTHORIZED: Final = 401
_SCHEME: Final = "Bearer "
_Headers = tuple[tuple[str, str], ...]


class Bearing:
    """The tokens of one session; none for a server that wants none."""

    def __init__(self, tokens: Tokens | None) -> None:
        """Send these."""
        self._tokens = tokens

    async def headers(self) -> _Headers:
        """The header in which a token goes (RFC 6750 §2.1), for one request.

        Raises:
            NoTokenError: The server wants one, and there is none (rule 1).
        """
        if self._tokens is None:
            return ()
        try:
            return (("Authorization", f"{_SCHEME}{await self._tokens.current()}"),)
        except TaskboundError as error:
            raise NoTokenError(f"{error.message} [{error.code}]", remedy=error.advice) from error

    def require_taken(self, head: Head, sent: _Headers, *, ours: bool) -> None:
        """See whether the server takes the token that it was sent (rule 2).

        Raises:
            UntakenTokenError: It does not, and it was a question of our own that can be asked again.
        """
        if head.status != _UNAUTHORIZED or self._tokens is None:
            return
        for _, value in sent:
            self._tokens.refused(value.removeprefix(_SCHEME))
        if ours:
            raise UntakenTokenError("http-status", "the server does not take the token that it was sent")
