"""What a token claims before the daemon has verified it: this decides how a request is counted, nothing else.

1. A token can be one of ours if it is an access token of this issuer and names a published key. Its signature
   is not looked at: this process has no cryptography.
2. The published keys are asked for when a token names another one, and once a second at most.
3. The identity of a verified token is its client, in its namespace.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.wire.jose import parse_access_token, parse_jwks
from taskbound.wire.oauth import Published, ShowTokenJwks

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.surfaces.network.link import Link
    from taskbound.wire.jose import UnverifiedJws


_AGAIN: Final = 1.0
"""Seconds between two readings of the keys (rule 2)."""
_PATIENCE: Final = 2.0


class Claimed:
    """Tells tokens that can be ours from others; used in the loop."""

    def __init__(self, link: Link, issuer: str, clock: Callable[[], float]) -> None:
        """Know no key yet; the clock is of seconds, and steady."""
        self._link = link
        self._issuer = issuer
        self._clock = clock
        self._kids: frozenset[str] = frozenset()
        self._next = float("-inf")
        self._turn = asyncio.Lock()

    async def can_be_ours(self, authorization: str) -> bool:
        """Whether the token is worth a question to the daemon (rule 1)."""
        token = _token_of(authorization)
        if token is None or token.claimed.issuer != self._issuer:
            return False
        if token.header.kid not in self._kids:
            async with self._turn:
                if token.header.kid not in self._kids and self._clock() >= self._next:
                    await self._read()
        return token.header.kid in self._kids

    async def _read(self) -> None:
        try:
            answer = await self._link.ask(ShowTokenJwks(), None, patience=_PATIENCE)
            if isinstance(answer, Published):
                self._kids = frozenset(one.kid for one in parse_jwks(answer.text.encode("ascii")))
        except TaskboundError:
            return  # the next such token asks again
        finally:
            self._next = self._clock() + _AGAIN


def identity_of(authorization: str) -> str:
    """Whose a verified token is (rule 3); empty for none."""
    token = _token_of(authorization)
    rest = {} if token is None else token.claimed.rest
    return "" if token is None else f"{rest['namespace']} {rest['client_id']}"


def _token_of(authorization: str) -> UnverifiedJws | None:
    try:
        return parse_access_token(authorization.partition(" ")[2].strip(" "))
    except TaskboundError:
        return None
