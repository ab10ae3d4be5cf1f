"""Ends a process with its parent: standard input reaches end of file when the parent exits."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from typing import TYPE_CHECKING

from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable


class NoLifelineError(MalformedError):
    """Standard input is no pipe or socket, so it would never close."""

    code = "no-lifeline"
    remedy = "give it a pipe that the starting process holds open, or leave `--lifeline` out"


class Lifeline(asyncio.Protocol):
    """Calls `over` when the other end is closed."""

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._over()


async def hold(over: Callable[[], None]) -> None:
    """Calls `over` when standard input closes; raises NoLifelineError for a file or `/dev/null`."""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty()):
        raise NoLifelineError("standard input is no pipe that another process holds open")
    await asyncio.get_running_loop().connect_read_pipe(lambda: Lifeline(over), sys.stdin)
