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
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["adopt_orphans", "children", "descendants", "end_orphans"]

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
    parents = dict(_parents())
    found: list[int] = []
    beneath = {pid}
    while beneath:
        beneath = {child for child, parent in parents.items() if parent in beneath} - set(found)
        found += beneath
    return found


def children(pid: int) -> list[int]:
    """Every process whose parent this one is."""
    return [child for child, parent in _parents() if parent == pid]


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
        for one in (orphan, *descendants(orphan)):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(orphan, 0)
        found.append(orphan)
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """Each process and its parent; field 4 of `proc_pid_stat(5)`, counted from behind the name."""
    for entry in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = entry.read_bytes().rpartition(b")")[2].split()
            yield int(entry.parent.name), int(fields[1])
