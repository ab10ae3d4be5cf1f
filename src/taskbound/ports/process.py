"""Signals processes found by number (`proc_pid_stat(5)`); only on Linux, elsewhere none is found.

A process id may be reused, so a descriptor (pidfd_open(2)) holds the process and its start time is compared
before the signal. A group cannot be held; its leader's start time is compared right before.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

Process = tuple[int, int]
"""(pid, start time)."""
_PROC: Final = Path("/proc")


def started_of(pid: int) -> int:
    """Returns the start in clock ticks since boot, 0 if ended or unreadable."""
    with suppress(OSError, ValueError, IndexError):
        return _parent_and_start(_PROC / str(pid) / "stat")[1]
    return 0


def parent_of(pid: int) -> int:
    """Returns the parent's id, 0 if the process ended or is unreadable."""
    with suppress(OSError, ValueError, IndexError):
        return _parent_and_start(_PROC / str(pid) / "stat")[0]
    return 0


def beneath(pid: int) -> list[Process]:
    """Returns every descendant of this process, nearest first."""
    children: dict[int, list[Process]] = {}
    for stat in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            parent, started = _parent_and_start(stat)
            children.setdefault(parent, []).append((int(stat.parent.name), started))
    found: list[Process] = []
    level = children.get(pid, [])
    while level:
        found += level
        level = [child for one, _ in level for child in children.get(one, [])]
    return found


def send_signal(process: Process, number: int) -> None:
    """Signals the process unless it ended or is another account's."""
    pid, started = process
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform != "linux":
            os.kill(pid, number)
            return
        held = os.pidfd_open(pid)
        try:
            if started_of(pid) == started:
                signal.pidfd_send_signal(held, number)
        finally:
            os.close(held)


def send_group(leader: Process, number: int) -> None:
    """Signals the leader's group, even if the leader alone ended."""
    pid, started = leader
    if started_of(pid) in {0, started}:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def _parent_and_start(stat: Path) -> tuple[int, int]:
    fields = stat.read_bytes().rpartition(b")")[2].split()
    return int(fields[1]), int(fields[19])
