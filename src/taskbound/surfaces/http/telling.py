"""What a process refused by itself, told to the daemon: it is recorded there, and nothing waits for that.

1. An answer never waits for the daemon: it is written first, and what is told is told behind it.
2. One message is on its way at a time. What is refused meanwhile is added up by code and operation, and told
   by one message each: whoever sends a thousand bad requests makes no thousand messages.
3. What the daemon did not confirm is counted, and not told again: nobody knows whether it was recorded.
4. Told are a code of ours and the name of an operation, and nothing that a client chose.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from taskbound.core.action.errors import TooLargeError
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.http.errors import HeadTooLargeError
from taskbound.wire.connection import Done
from taskbound.wire.network import TellRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskbound.wire.envelope import Answer


_log = logging.getLogger(__name__)
OVERSIZED: Final = frozenset({HeadTooLargeError.code, TooLargeError.code})
"""What leaves a record whatever was asked for."""
PATIENCE: Final = 5.0
"""Seconds that the daemon may take."""
_LAST: Final = 1.0
"""Seconds for what is still to be told when the process ends."""


class Telling:
    """What one process tells; used in the loop."""

    def __init__(self, ask: Callable[[TellRefused], Awaitable[Answer]]) -> None:
        """Have nothing to tell; `ask` asks the daemon, and raises a `TaskboundError` where it can't."""
        self._ask = ask
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._task: asyncio.Task[None] | None = None
        self.untold = 0
        """Refusals that the daemon did not confirm (rule 3)."""

    def refused(self, code: str, operation: str) -> None:
        """Have this told (rules 1, 2 and 4).

        Args:
            code: Of the error.
            operation: What was asked for; empty where that is not known.
        """
        self._waiting[code, operation] += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        try:
            while self._waiting:
                (code, operation), times = self._waiting.popitem()
                await self._tell_one(TellRefused(code=code, operation=operation, times=times))
        finally:
            self._task = None

    async def _tell_one(self, ask: TellRefused) -> None:
        confirmed = False
        try:
            confirmed = isinstance(await self._ask(ask), Done)
        except TaskboundError as error:
            _log.debug("%d refusals (%s) are told nobody: %s", ask.times, ask.code, error.message)
        finally:
            if not confirmed:
                self.untold += ask.times  # 3

    async def close(self) -> None:
        """Tell what is left, where the daemon takes it at once, and count the rest."""
        task = self._task
        if task is not None:
            _, late = await asyncio.wait({task}, timeout=_LAST)
            for one in late:
                one.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.untold += self._waiting.total()
        self._waiting.clear()
        if self.untold:
            _log.warning("%d refusals were told to no daemon, and may have no record", self.untold)
