"""Protects the memory of processes that hold secrets.

With `PR_SET_DUMPABLE` (Linux, `prctl(2)`) only root can read the process's memory. It and its children leave
no core dumps.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

_DUMPABLE: Final = 4


def hide() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_DUMPABLE, 0, 0, 0, 0)
