"""How long what was heard or answered holds, and by which clock that is told.

The clock is the machine's time since it was started, that in which it slept included: a machine that was
suspended, or a process that was stopped, finds nothing fresh that was not heard since.
"""

from __future__ import annotations

import time
from typing import Final

BOUND: Final = 5.0
"""Seconds for which what was heard of ends holds (design 4, law 10)."""


def awake() -> float:
    """Seconds since the machine was started, that in which it slept included where that is known."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
