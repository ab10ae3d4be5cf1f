"""Restores subscriptions in a new session (`Resubscription`).

1. A subscription or log level counts from the server's confirmation.
2. After a lost session (404) all are requested again, and lists and resources are reported as changed,
   because notifications may be missing.
3. If that fails the server is ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.errors import ServerLostError
from taskbound.adapters.upstream.mcp.handshake import log_from
from taskbound.core.errors import TaskboundError
from taskbound.ports.upstream import Answered, Errored
from taskbound.wire.mcp.message import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.adapters.upstream.mcp.http.session import HttpSession
    from taskbound.ports.upstream import UpstreamAnswer, UpstreamEvents


_PATIENCE: Final = 10.0
"""Seconds for one subscription."""


class Resubscription:
    """Confirmed subscriptions and log level of one server; used in the loop."""

    def __init__(self, session: HttpSession, events: UpstreamEvents) -> None:
        self._session = session
        self._events = events
        self._uris: dict[str, None] = {}
        self._level = ""
        self._asking: asyncio.Task[None] | None = None
        session.renewed = self._renewed

    def subscribes(
        self, uri: str, answer: Callable[[UpstreamAnswer], None]
    ) -> Callable[[UpstreamAnswer], None]:
        """Wraps `answer` so that a confirmed subscription is recorded (rule 1)."""

        def heard(found: UpstreamAnswer) -> None:
            if isinstance(found, Answered):
                self._uris[uri] = None
            answer(found)

        return heard

    def leave(self, uri: str) -> None:
        self._uris.pop(uri, None)

    def logs_from(self, level: str) -> None:
        self._level = level

    def _renewed(self) -> None:
        self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
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
        if uri not in self._uris:
            return
        asked = b'{"uri":%b}' % text(uri)
        found = await self._session.ask("resources/subscribe", asked, patience=_PATIENCE)
        if isinstance(found, Errored):
            raise ServerLostError("it does not subscribe to what it was subscribed to")
