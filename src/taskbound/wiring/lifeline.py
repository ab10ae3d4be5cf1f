"""A process that ends with whoever started it: its standard input ends when nobody holds the other end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lifeline"]


class Lifeline(asyncio.Protocol):
    """Says once that nobody holds the other end any more."""

    def __init__(self, over: Callable[[], None]) -> None:
        """Call this then."""
        self._over = over

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody does."""
        del exc
        self._over()
