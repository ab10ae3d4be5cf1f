"""Stops the daemon of a data directory from another process.

1. The directory must exist and be accessible to this user alone.
2. The daemon is the process that listens on the directory's socket while its lock is held. Both are required:
   a stale socket can be taken over, and the lock doesn't identify its holder.
3. The process is held by a pidfd (pidfd_open(2)) before its socket is checked again, so that a reused pid is
   never signalled.
4. Stopping is complete when the process is gone. If the daemon exceeds its own bound, the caller gets an
   error that says what to do.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import UnavailableError
from taskbound.wiring.home import find_socket, require_own_home
from taskbound.wiring.start import answers, listener

if TYPE_CHECKING:
    from pathlib import Path


_PATIENCE: Final = 25.0
"""Seconds: a daemon's own bound for its end, and what a loaded machine adds to it."""
_PAUSE: Final = 0.05


class DaemonNotEndedError(UnavailableError):
    """The daemon of this data directory is still running."""

    code = "daemon-not-ended"


def end_daemon(home: Path, *, patience: float = _PATIENCE) -> int:
    """Stops the daemon of a data directory and waits; returns its pid, or 0 if there was no daemon.

    Raises DaemonNotEndedError after `patience` seconds, or if the daemon is another account's or can't be
    identified.
    """
    require_own_home(home)  # 1
    until = time.monotonic() + patience
    while not _is_free(home):
        if pid := _end(home, until):
            return pid
        if time.monotonic() > until:
            raise DaemonNotEndedError(
                f"a process owns `{home}` and does not answer",
                remedy=f"it is beginning or ending; find it with `fuser {home}/run/daemon.lock`",
            )
        time.sleep(_PAUSE)
    return 0


def _is_free(home: Path) -> bool:
    try:
        lock = os.open(home / "run" / "daemon.lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise DaemonNotEndedError(
            f"the lock of `{home}` can't be read: {error.strerror}",
            remedy="look who changed its folder `run`",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(lock)


def _end(home: Path, until: float) -> int:
    """Stops the listening process; returns 0 if it is gone or was replaced before it could be held."""
    socket = find_socket(home)
    pid = listener(socket)
    if not pid:
        if answers(socket) and sys.platform != "linux":
            raise DaemonNotEndedError(
                "this system does not say which process the daemon is", remedy="end it where it was started"
            )
        return 0
    try:
        held = os.pidfd_open(pid)
    except ProcessLookupError:
        return 0
    try:
        if listener(socket) != pid:  # 3
            return 0
        _signal(held, pid)
        _await(held, pid, until)
    finally:
        os.close(held)
    return pid


def _signal(held: int, pid: int) -> None:
    try:
        signal.pidfd_send_signal(held, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise DaemonNotEndedError(
            f"process {pid} is another account's", remedy="end its service, or end it as that account"
        ) from error


def _await(held: int, pid: int, until: float) -> None:
    poll = select.poll()
    poll.register(held, select.POLLIN)
    if poll.poll(max(0.0, until - time.monotonic()) * 1000):
        return
    raise DaemonNotEndedError(  # 4
        f"process {pid} got a signal to end, and has not ended in time",
        remedy=f"`kill -9 {pid}` ends it: what was answered is kept, and the next daemon goes on from there",
    )
