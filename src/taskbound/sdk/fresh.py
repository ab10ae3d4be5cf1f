"""The clock for freshness: monotonic and including the machine's sleep."""

from __future__ import annotations

import time
from typing import Final

BOUND: Final = 5.0
"""Seconds for which what was heard of ends holds (design 4, law 10)."""


def awake() -> float:
    """Returns seconds since boot, with time asleep where the platform counts it."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
