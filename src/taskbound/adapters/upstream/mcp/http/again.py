"""What a legacy server was asked to tell, asked for again when it has opened another session.

1. A URI counts from the server's word that it is subscribed to until it is let go, a level from its word that
   it logs from there on.
2. A server that has forgotten its session (404) has forgotten both. In the new one it is asked for all of it
   again, at once. What it would have said in between nobody knows: its lists, and what is under each URI, are
   said to be another.
3. Where it does not do it again the server is ended: so those who rely on it see that it is over, and what is
   asked for next opens it anew.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.errors import ServerLostError
from taskbound.adapters.upstream.mcp.handshake import log_from
from taskbound.core.errors import TaskboundError
from taskbound.ports.upstream import Answered, Errored
from taskbound.wire.mcp.write import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.adapters.upstream.mcp.http.session import HttpSession
    from taskbound.ports.upstream import UpstreamAnswer, UpstreamEvents


_PATIENCE: Final = 10.0
"""Seconds for one subscription."""


class Again:
    """What one server was asked to tell; used in the loop."""

    def __init__(self, session: HttpSession, events: UpstreamEvents) -> None:
        """Nothing yet; `session` says when it is another one."""
        self._session = session
        self._events = events
        self._uris: dict[str, None] = {}
        self._level = ""
        self._asking: asyncio.Task[None] | None = None
        session.renewed = self._renewed

    def subscribes(
        self, uri: str, answer: Callable[[UpstreamAnswer], None]
    ) -> Callable[[UpstreamAnswer], None]:
        """Hear the answer to a subscription before `answer` does (rule 1)."""

        def heard(found: UpstreamAnswer) -> None:
            if isinstance(found, Answered):
                self._uris[uri] = None
            answer(found)

        return heard

    def leave(self, uri: str) -> None:
        """Nobody wants to hear of this URI any more."""
        self._uris.pop(uri, None)

    def logs_from(self, level: str) -> None:
        """It logs from this level on."""
        self._level = level

    def _renewed(self) -> None:
        self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        """Ask for all of it again (rules 2 and 3)."""
        try:
            if self._level:
                await log_from(self._session, self._level)
            for uri in tuple(self._uris):
                await self._subscribe(uri)
        except TaskboundError as error:
            self._session.end(f"in its new session the server does not tell what it told: {error.message}")
            return
        for kind in ("prompts", "resources"):
            self._events.listed(kind)
        for uri in tuple(self._uris):
            self._events.updated(uri)

    async def _subscribe(self, uri: str) -> None:
        """Subscribe to a URI once more.

        Raises:
            ServerLostError: The server does not say that it is subscribed to.
        """
        if uri not in self._uris:
            return
        asked = b'{"uri":%b}' % text(uri)
        found = await self._session.ask("resources/subscribe", asked, patience=_PATIENCE)
        if isinstance(found, Errored):
            raise ServerLostError("it does not subscribe to what it was subscribed to")
