"""The API's connection to the daemon: one for all requests, made again when it breaks.

1. A request is asked once: a connection that breaks while it waits leaves it unknown what the daemon did, and
   that is said. It is never asked again by itself.
2. How many are open at once has its bound before (`shares`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from taskbound.sdk.client import DaemonLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from taskbound.sdk.client import AsyncClient
    from taskbound.wire.envelope import Answer, Ask
    from taskbound.wire.network import Shown

    Connect: TypeAlias = Callable[[Callable[[], None]], Awaitable[AsyncClient]]
    """Makes a connection that the daemon has opened in the role `api`, told what to call when it is gone."""


class Link:
    """What requests ask the daemon through."""

    def __init__(self, connect: Connect) -> None:
        """Connect by this, once something is asked."""
        self._connect = connect
        self._client: AsyncClient | None = None
        self._turn = asyncio.Lock()

    async def ask(self, ask: Ask, shown: Shown | None, *, patience: float) -> Answer:
        """The daemon's answer, faults included (rule 1).

        Raises:
            DaemonLostError: The daemon is not there, or went away meanwhile.
        """
        client = await self._reached()
        return await client.ask_any(ask, patience=patience, shown=shown)

    async def _reached(self) -> AsyncClient:
        async with self._turn:
            if self._client is None:
                try:
                    self._client = await self._connect(self._lost)
                except OSError as error:
                    raise DaemonLostError("the daemon can't be reached") from error
            return self._client

    def _lost(self) -> None:
        self._client = None

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
