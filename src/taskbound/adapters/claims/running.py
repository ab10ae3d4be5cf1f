"""Which processes that began something still run: each holds a lock that ends with it, however it ends.

1. A process is known by a name that it draws, and holds a lock on a file of that name. The system drops
   the lock with the process, also when it is killed: no time has to pass, and no process number is taken for
   another's.
2. After a fork the child is another process: it draws a name of its own. What it inherited keeps the
   parent's lock until both are gone, so that for a while a dead one counts as running: nothing runs twice by
   that.
3. A file whose lock is free is of a process that is gone. Whoever finds it takes it away, and whoever made
   one looks whether it is still there once it is locked.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path


_TRIES: Final = 16
_MODE: Final = 0o600
_SUFFIX: Final = ".running"


class Running:
    """The name of this process, and whether that of another still runs."""

    def __init__(self, folder: Path) -> None:
        """Hold nothing yet.

        Args:
            folder: Where the files of names are; it is there, and of this user alone.
        """
        self._folder = folder
        self._own: tuple[int, str, int] | None = None

    def name(self) -> str:
        """The name of this process (rules 1 and 2).

        Raises:
            OSError: Its lock can't be made.
        """
        if self._own is not None and self._own[0] == os.getpid():
            return self._own[1]
        for _ in range(_TRIES):
            name = secrets.token_hex(16)
            held = self._hold(name)
            if held is not None:
                self._own = os.getpid(), name, held
                return name
        raise OSError("no lock of a process could be made")

    def lives(self, name: str) -> bool:
        """Whether the process of this name still runs.

        Raises:
            OSError: Nobody can tell.
        """
        if self._own is not None and self._own[1] == name and self._own[0] == os.getpid():
            return True
        try:
            other = os.open(self._path(name), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            self._path(name).unlink(missing_ok=True)  # 3
            return False
        finally:
            os.close(other)

    def sweep(self) -> None:
        """Take away what is left of processes that are gone (rule 3).

        Raises:
            OSError: The folder can't be read, or a file not be taken away.
        """
        for one in self._folder.glob(f"*{_SUFFIX}"):
            self.lives(one.name.removesuffix(_SUFFIX))

    def close(self) -> None:
        """Be gone, as far as others see it."""
        if self._own is None:
            return
        pid, name, held = self._own
        self._own = None
        if pid == os.getpid():
            with suppress(OSError):  # it is free with its lock, and the next who looks takes it away
                self._path(name).unlink()
        os.close(held)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    def _hold(self, name: str) -> int | None:
        """The open file whose lock this process has; None where somebody took it away meanwhile (rule 3)."""
        path = self._path(name)
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = path.stat(follow_symlinks=False).st_ino == os.fstat(held).st_ino
        except (BlockingIOError, FileNotFoundError):
            there = False
        if not there:
            os.close(held)
            return None
        return held
