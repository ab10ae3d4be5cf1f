"""Signals to processes that were found by number (`proc_pid_stat(5)`).

1. A number may be another process's once its own has ended. A process is held by a descriptor (pidfd_open(2)
   and pidfd_send_signal(2)), and its start time is compared in between.
2. A group can't be held. The start time of its leader is compared right before; between the two the number
   could only be reused if the whole group ended.
3. Linux tells of processes; elsewhere none is found, and a child is signalled by its number.
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
    """When a process started, in clock ticks since boot; 0 where it has ended or can't be read."""
    with suppress(OSError, ValueError, IndexError):
        return _parent_and_start(_PROC / str(pid) / "stat")[1]
    return 0


def parent_of(pid: int) -> int:
    """The parent of a process; 0 where the process has ended or can't be read."""
    with suppress(OSError, ValueError, IndexError):
        return _parent_and_start(_PROC / str(pid) / "stat")[0]
    return 0


def beneath(pid: int) -> list[Process]:
    """Every process beneath this one now, nearest first."""
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
    """Signal this process, unless it has ended or is another account's (rule 1)."""
    pid, started = process
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform != "linux":
            os.kill(pid, number)  # 3
            return
        held = os.pidfd_open(pid)
        try:
            if started_of(pid) == started:
                signal.pidfd_send_signal(held, number)
        finally:
            os.close(held)


def send_group(leader: Process, number: int) -> None:
    """Signal the group of this leader, also where the leader alone has ended (rule 2)."""
    pid, started = leader
    if started_of(pid) in {0, started}:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def _parent_and_start(stat: Path) -> tuple[int, int]:
    """Fields 4 and 22, counted from behind the name, which may hold anything."""
    fields = stat.read_bytes().rpartition(b")")[2].split()
    return int(fields[1]), int(fields[19])
