"""Whose certificates TLS asks clients for, as the daemon says it from time to time.

1. Authorities are taken from the daemon within seconds of a change, without a file and without a restart.
2. While it is away those are asked for that it said last: who is proven by them it says itself.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.wire.network import ClientAuthorities, ShowClientAuthorities

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskbound.wire.envelope import Answer


_log = logging.getLogger(__name__)
EVERY: Final = 2.0
"""Seconds between two times."""


class Authorities:
    """Those of one process that listens."""

    def __init__(
        self,
        ask: Callable[[ShowClientAuthorities], Awaitable[Answer]],
        believe: Callable[[Sequence[bytes]], Awaitable[None]],
    ) -> None:
        """Know none yet.

        Args:
            ask: Asks the daemon; raises a `TaskboundError` where it can't be asked.
            believe: Is told authorities, DER, whenever they are others.
        """
        self._ask = ask
        self._believe = believe
        self._mark = ""

    async def once(self) -> None:
        """Take those of now, where the daemon says them (rule 2)."""
        try:
            found = await self._ask(ShowClientAuthorities(known=self._mark))
        except TaskboundError as error:
            _log.debug("the daemon did not say whose certificates count: %s", error.message)
            return
        if isinstance(found, ClientAuthorities) and found.certificates is not None:
            await self._believe([b64decode(one) for one in found.certificates])  # 1
            self._mark = found.mark

    async def keep(self) -> None:
        """Take them again and again, for as long as the process serves."""
        while True:
            await asyncio.sleep(EVERY)
            await self.once()
