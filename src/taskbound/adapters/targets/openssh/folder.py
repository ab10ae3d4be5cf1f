"""A folder for what `ssh` is given, that is this account's alone, and goes with whoever made it.

1. Its path is short, as a socket's is. It holds no secret.
2. Whoever made it has a lock in it, which the kernel takes back when the process ends, killed or not. The
   lock is there before its name is: who finds the name and gets the lock found what nobody has any more.
3. Making one clears those whose maker was killed, of this account alone. What has no lock, or can't be
   looked at, is left.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "taskbound-ssh-"
_WHERE: Final = "/tmp"  # noqa: S108 - mkdtemp makes a fresh 0700 folder there; TMPDIR is too long on macOS
_LOCK: Final = "lock"
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


def take_folder() -> tuple[Path, int]:
    """A new one, and the descriptor that has its lock.

    Raises:
        OSError: There is no room for it.
    """
    _clear()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_WHERE))
    try:
        lock = _locked(folder / f"{_LOCK}.new")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, lock


def _locked(path: Path) -> int:
    lock = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path.rename(path.with_name(_LOCK))  # 2
    except OSError:
        os.close(lock)
        raise
    return lock


def leave_folder(folder: Path, lock: int) -> None:
    """Remove it with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _clear() -> None:
    """Remove what nobody has any more (rule 3)."""
    for folder in Path(_WHERE).glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is another's, or gone, or was never whole
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                _clear_one(folder)


def _clear_one(folder: Path) -> None:
    lock = os.open(folder / _LOCK, _FLAGS)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_nlink:  # otherwise another call was faster
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
