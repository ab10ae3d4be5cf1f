"""Bytes that asked for an action and could not be read, told to the daemon: one record each.

1. A report is made when the line asked for `tools/call`, or may have for all that is known.
2. So many reports may wait; then nothing more is read from the client, so that a flood of
   rubbish is as slow as the log that records it.
3. Without a daemon there is nowhere to record it; the line is refused all the same.
"""

from __future__ import annotations

import asyncio
import logging
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.wire.action import Malformed
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.surfaces.gateway.link import Link


_log = logging.getLogger(__name__)
_MOST: Final = 32
_MESSAGE: Final = 500


class Reports:
    """What waits to be told."""

    def __init__(self, link: Link, *, hold: Callable[[], None], release: Callable[[], None]) -> None:
        """Tell over this link; `hold` stops the reading of the client, `release` starts it again."""
        self._link = link
        self._hold = hold
        self._release = release
        self._held = False
        self.waiting: set[asyncio.Task[None]] = set()

    def line(self, error: TaskboundError, line: bytes, *, tool: str) -> None:
        """Report a line that is at hand."""
        self.add(error, len(line), sha256(line).hexdigest(), tool=tool)

    def add(self, error: TaskboundError, size: int, digest: str, *, tool: str) -> None:
        """Report a line by its size and its SHA-256."""
        ask = Malformed(
            code=error.code, message=error.message[:_MESSAGE], size=size, sha256=digest, tool=tool
        )
        task = asyncio.get_running_loop().create_task(self._tell(ask))
        self.waiting.add(task)
        task.add_done_callback(self._told)
        if len(self.waiting) >= _MOST and not self._held:
            self._held = True
            self._hold()  # 2

    async def _tell(self, ask: Malformed) -> None:
        try:
            await self._link.ask(ask, Done)
        except TaskboundError as error:
            _log.warning("a refused line (%s) is not recorded: %s", ask.code, error.message)  # 3

    def _told(self, task: asyncio.Task[None]) -> None:
        self.waiting.discard(task)
        if self._held and len(self.waiting) < _MOST // 2:
            self._held = False
            self._release()
