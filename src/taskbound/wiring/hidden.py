"""Keeping the memory of a process that has secrets to itself, where the system can.

No other process reads it then, of the same account neither (`PR_SET_DUMPABLE` of Linux' `prctl(2)`), but for
root's; and it leaves no core behind, nor does what it starts.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

_DUMPABLE: Final = 4


def hide() -> None:
    """Take this process out of reach of tracers, and it and what it starts of core dumps."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_DUMPABLE, 0, 0, 0, 0)
