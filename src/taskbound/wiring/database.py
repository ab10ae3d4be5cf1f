"""Locates the daemon's SQLite file and sets which group may read it.

1. The file lies in the data directory, which only this account can enter, or in a configured folder that this
   account owns and no other account can write or enter.
2. With a reader group, the group may enter that folder, and new files inherit the group (mode 2750): SQLite
   creates `-wal` and `-shm` with the database's mode but can't set their group. These three are 0640, other
   files 0600.
3. Readers get read access only, which SQLite supports for WAL. A reader that could write `-shm` could make
   the daemon read forged pages.
4. A database still in the data directory, or moved only in part, is never replaced by a new one. Its
   high-water mark is moved last.
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
    """The database is in the data directory although another location is configured."""

    code = "database-elsewhere"
    remedy = "with the daemon ended, move it there with all that begins with its name; `deploy/install` does"


class OpenFolderError(DeniedError):
    """The database's folder has the wrong mode or group."""

    code = "open-database-folder"
    remedy = "`deploy/tmpfiles.d` says which owner, group and mode it has"


def place_database(home: Path, told: str, readers: int | None) -> Path:
    """Returns the database's path after checking folder and modes (rules 1 to 4).

    Only the owner of the data directory may call this, before it opens the store. `readers` is the gid of the
    reader group.
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
    seen = one.lstat()
    if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid():
        raise ForeignHomeError(f"`{one}` is no file of this account", remedy=OpenFolderError.remedy)
    if readers is not None and seen.st_gid != readers:
        os.chown(one, -1, readers)
    one.chmod(0o600 if readers is None else 0o640)
