"""How much a server's own words are passed on of: so many in a second, and so many in all."""

from __future__ import annotations

import asyncio
from collections import deque


class Pace:
    """Counts what is told of one call, or outside of all; used in the loop."""

    def __init__(self, *, second: int, most: int) -> None:
        """Tell at most `second` in any second, and `most` in all."""
        self._second = second
        self._left = most
        self._last: deque[float] = deque(maxlen=second)
        """When the last ones were told, by the loop's clock in seconds."""

    def allows(self) -> bool:
        """Whether one more is told now; then it counts."""
        now = asyncio.get_running_loop().time()
        if not self._left or (len(self._last) == self._second and now - self._last[0] < 1.0):
            return False
        self._left -= 1
        self._last.append(now)
        return True
