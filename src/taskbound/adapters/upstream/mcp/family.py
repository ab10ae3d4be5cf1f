"""Which processes stand beneath another one, as far as the system tells.

Linux tells through `/proc`; elsewhere nothing is found here, and a server's process group
is all that is ended with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from taskbound.ports.process import beneath, parent_of, send_signal, started_of

_PROC: Final = Path("/proc")
_SUBREAPER: Final = 36
"""PR_SET_CHILD_SUBREAPER of Linux `prctl(2)`."""


def adopt_orphans(*, on: bool = True) -> bool:
    """Become the parent of every descendant that loses its own, or stop; whether the system can do that.

    With it, what a server starts and leaves behind stays beneath the gateway, and is found.
    """
    if not _PROC.joinpath("self/stat").exists():
        return False
    return bool(ctypes.CDLL(None).prctl(_SUBREAPER, int(on), 0, 0, 0) == 0)


def descendants(pid: int) -> list[int]:
    """Every process beneath this one now."""
    return [one for one, _ in beneath(pid)]


def children(pid: int) -> list[int]:
    """Every process whose parent this one is."""
    return [one for one in descendants(pid) if parent_of(one) == pid]


def end_orphans(known: set[int]) -> list[int]:
    """Kill and reap this process's children that are not known: what servers left behind.

    Args:
        known: Children that are somebody's to wait for.

    Returns:
        The processes that were ended.
    """
    found: list[int] = []
    for orphan in children(os.getpid()):
        if orphan in known:
            continue
        for one in ((orphan, started_of(orphan)), *beneath(orphan)):
            send_signal(one, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(orphan, 0)
        found.append(orphan)
    return found
