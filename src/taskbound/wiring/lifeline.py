"""A process that ends with whoever started it: its standard input ends when nobody holds the other end."""

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
    """Standard input is nothing that somebody holds, so a process would never end by it."""

    code = "no-lifeline"
    remedy = "give it a pipe that whoever starts it holds open, or leave `--lifeline` out"


class Lifeline(asyncio.Protocol):
    """Says once that nobody holds the other end any more."""

    def __init__(self, over: Callable[[], None]) -> None:
        """Call this then."""
        self._over = over

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody does."""
        del exc
        self._over()


async def hold(over: Callable[[], None]) -> None:
    """Call this once nobody holds standard input any more.

    Raises:
        NoLifelineError: It is a file, or what has no end, such as `/dev/null`.
    """
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty()):
        raise NoLifelineError("standard input is no pipe that somebody holds")
    await asyncio.get_running_loop().connect_read_pipe(lambda: Lifeline(over), sys.stdin)
