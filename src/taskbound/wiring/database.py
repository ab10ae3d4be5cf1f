"""Where the SQLite file of a daemon is, and which group may read it.

1. It lies in the data directory, which is this account's alone, unless a place is told. That is a folder of
   this account, which nobody else can write or enter.
2. With a group of readers that folder is theirs to enter, and gives its group to what is made in it (mode
   2750): SQLite makes `-wal` and `-shm` with the file's own mode, and can give them no group itself. The
   file and those two are 0640; what else lies there stays 0600.
3. SQLite reads a write-ahead log with read access alone, and no reader is ever given more: whoever could
   write `-shm` could have the daemon read pages that it never wrote.
4. A database that is still in the data directory, or was moved only in part, is not left behind for a new
   one: its mark, which says what it held, is moved last.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.wiring.home import ForeignHomeError, name_account
from taskbound.wiring.seen import require_no_restore
from taskbound.wiring.store import DATABASE

_SHARED: Final = 0o2750
_OWN: Final = 0o700
_BESIDE: Final = ("", "-wal", "-shm")


class DatabaseElsewhereError(UnavailableError):
    """The database is in the data directory, and another place was told."""

    code = "database-elsewhere"
    remedy = "with the daemon ended, move it there with all that begins with its name; `deploy/install` does"


class OpenFolderError(DeniedError):
    """The database's folder does not let in whom it should, and nobody else."""

    code = "open-database-folder"
    remedy = "`deploy/tmpfiles.d` says which owner, group and mode it has"


def place_database(home: Path, told: str, readers: int | None) -> Path:
    """Where the database is or will be, with its modes as they have to be (rules 1 to 4).

    Only the process that owns the data directory may call this, before it opens the store.

    Args:
        home: The data directory.
        told: The file, absolute; empty for the one in the data directory.
        readers: The gid of a group that may read it; None for nobody.

    Raises:
        ForeignHomeError: The folder is not there, or is another account's.
        OpenFolderError: Its mode or group is another than it has to be.
        DatabaseElsewhereError: The data directory has one.
        RestoreUnfinishedError: A restore of it was begun and is not over.
    """
    path = Path(told) if told else home / DATABASE
    require_no_restore(path)
    if not told:
        return path
    _require_folder(path, readers)
    old = home / DATABASE
    if path != old and (os.path.lexists(old) or os.path.lexists(f"{old}-mark")):
        raise DatabaseElsewhereError(f"the database is at `{old}`, and not at `{path}`, or not whole")  # 4
    if not os.path.lexists(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    for one in (path.with_name(path.name + ending) for ending in _BESIDE):
        if os.path.lexists(one):
            _give(one, readers)
    return path


def _require_folder(path: Path, readers: int | None) -> None:
    """Go on only with a folder as it has to be (rules 1 and 2)."""
    if not path.is_absolute():
        raise OpenFolderError(f"`{path}` is not absolute")
    folder, wanted = path.parent, _OWN if readers is None else _SHARED
    try:
        seen = folder.lstat()
    except OSError as error:
        raise ForeignHomeError(
            f"the database's folder `{folder}` can't be read: {error.strerror}",
            remedy=OpenFolderError.remedy,
        ) from error
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
        raise ForeignHomeError(
            f"the database's folder `{folder}` is no directory of this account, but of"
            f" {name_account(seen.st_uid)}",
            remedy=OpenFolderError.remedy,
        )
    if stat.S_IMODE(seen.st_mode) != wanted:
        mode = stat.S_IMODE(seen.st_mode)
        raise OpenFolderError(f"the database's folder `{folder}` has mode {mode:04o}, and not {wanted:04o}")
    if readers is not None and seen.st_gid != readers:
        raise OpenFolderError(
            f"the database's folder `{folder}` belongs to group {seen.st_gid}, and not to {readers}"
        )


def _give(one: Path, readers: int | None) -> None:
    """Let the group read this file, or nobody (rule 2)."""
    seen = one.lstat()
    if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid():
        raise ForeignHomeError(f"`{one}` is no file of this account", remedy=OpenFolderError.remedy)
    if readers is not None and seen.st_gid != readers:
        os.chown(one, -1, readers)
    one.chmod(0o600 if readers is None else 0o640)
