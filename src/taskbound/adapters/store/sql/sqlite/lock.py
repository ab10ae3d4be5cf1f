"""The lock beside a SQLite database: who opens it, who serves from it, who puts another one in its place.

1. It is a lock of the kernel on the file `NAME-lock`, so it ends with its process, however that ends. That
   file is this account's alone (0600), also where a group may read the database: a reader keeps nobody out.
2. Whoever opens the database holds it meanwhile. A daemon keeps it for as long as it serves, whatever data
   directory it was started for, and whoever moves the database takes it before.
3. The file stays where it is, and what is put in the place of a database brings none along: of two files of
   this name each could be locked by somebody.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.sqlite.driver import BusyStoreError
from taskbound.ports.store import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_PATIENCE: Final = 60.0
"""Seconds that others may take to open it, which may be to bring it to another schema."""
_INSTANT: Final = 2.0
"""Seconds that may pass until a process that was killed has let go of it."""
_PAUSE: Final = 0.02
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class DatabaseInUseError(StoreUnavailableError):
    """Another process serves from this database, opens it or puts another one in its place."""

    code = "database-in-use"
    remedy = "end the daemon that serves it, of whichever data directory that is, then do it again"


def lock_of(database: Path) -> Path:
    """The file that is locked."""
    return database.with_name(f"{database.name}-lock")


def hold_database(database: Path) -> int:
    """Own the database until the descriptor is closed, which is the answer (rule 2).

    Raises:
        DatabaseInUseError: Another process owns it, or has been opening it for two seconds.
        OSError: There is no such folder, or it can't be written.
    """
    return _take(lock_of(database), _INSTANT, DatabaseInUseError(f"another process has `{database}` in use"))


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Alone among all processes that open the database, for the length of the context.

    Raises:
        BusyStoreError: Another process has been opening it for a minute, or serves from it.
        OSError: There is no such folder, or it can't be written.
    """
    path = lock_of(database)
    handle = _take(path, _PATIENCE, BusyStoreError(f"another process holds `{path.name}`"))
    try:
        yield
    finally:
        os.close(handle)


def _take(path: Path, patience: float, refused: StoreUnavailableError) -> int:
    """The descriptor that holds it, once nobody else does."""
    end = time.monotonic() + patience
    handle = os.open(path, _FLAGS, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise refused from None
                time.sleep(_PAUSE)
            else:
                return handle
    except BaseException:
        os.close(handle)
        raise
