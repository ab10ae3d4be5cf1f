"""Servers whose lists changed by their own word: looked at again, and told to who listens.

1. A server that says that its tools changed is looked at at once, so that the daemon knows what is another
   before a client asks for the list. Prompts and resources are asked for anew when a client does.
2. A server is heard so once a second; what it says in between counts as once more.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from taskbound.surfaces.gateway.binding import Running, Servers
    from taskbound.surfaces.gateway.entries import Entries
    from taskbound.surfaces.gateway.listing import Listing

    Beside = Callable[[Coroutine[None, None, None]], None]


_log = logging.getLogger(__name__)
_REST: Final = 1.0


class Changes:
    """Hears servers of one connection; used in the loop."""

    def __init__(self, servers: Servers, entries: Entries, listing: Listing, beside: Beside) -> None:
        """Keep who looks, and who tells."""
        self._servers = servers
        self._entries = entries
        self._listing = listing
        self._beside = beside
        self._resting: dict[tuple[Running, str], asyncio.TimerHandle] = {}
        self._again: set[tuple[Running, str]] = set()

    def listed(self, server: Running, kind: str) -> None:
        """A server says that one of its lists changed (rule 2)."""
        key = (server, kind)
        if key in self._resting:
            self._again.add(key)
            return
        self._resting[key] = asyncio.get_running_loop().call_later(_REST, self._rested, key)
        if kind == "tools":
            self._beside(self._look(server))
        else:
            self._entries.forget()
            self._listing.changed(kind)

    def close(self) -> None:
        """Hear nothing any more."""
        for timer in self._resting.values():
            timer.cancel()
        self._again.clear()

    def _rested(self, key: tuple[Running, str]) -> None:
        del self._resting[key]
        if key in self._again:
            self._again.discard(key)
            self.listed(*key)

    async def _look(self, server: Running) -> None:
        """Look at the tools of a server that runs (rule 1); at one that does not whoever needs it will."""
        if server.upstream is None or not server.upstream.alive:
            return
        try:
            await self._servers.make_ready(server)
        except TaskboundError as error:
            _log.warning("server %s can't be looked at: %s", server.spec.name, error.message)
        self._listing.changed("tools")
