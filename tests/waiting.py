"""Asking again and again until something is so, without taking the processor from whoever is waited for."""

from __future__ import annotations

import asyncio
import threading
from typing import Final

_MOMENT: Final = 0.001
"""Seconds. Two processes of tests that ask without a pause take both cores from all that they started."""
_never = threading.Event()


async def others() -> None:
    """Let others go on for a moment, by the machine's clock, whatever the loop's own says."""
    await asyncio.to_thread(_never.wait, _MOMENT)
