"""The SQLite driver: connections, and the store's errors for its errors.

1. We begin and end transactions ourselves (`isolation_level=None`).
2. A commit is durable when it returns: WAL with `synchronous=FULL`, and F_FULLFSYNC on macOS.
3. Every allocated page is written (`secure_delete`): a hole in the file is always damage, and deleted data
   is gone.
4. The driver's own checkpoint hides failures, so the store checkpoints itself.
5. An I/O error, damage and a restored database are fatal, since a retry after a failed sync proves
   nothing. A full disk and a busy database are not.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.ports.store import ConflictError, FullDiskError, StoreBehindError, StoreUnavailableError

if TYPE_CHECKING:
    import sqlite3 as driver
    from collections.abc import Mapping
    from pathlib import Path
else:
    import pysqlite3.dbapi2 as driver


__all__ = ["driver"]

StoreError: TypeAlias = StoreUnavailableError | ConflictError | FullDiskError
"""What an error of the driver can be."""

_STATEMENTS: Final = 256
_WRITER_KIB: Final = 8 * 1024
_READER_KIB: Final = 2 * 1024
_BUSY_SECONDS: Final = 5


class BusyStoreError(StoreUnavailableError):
    """Another process has held the write lock for too long."""

    code = "store-busy"
    remedy = "one daemon owns a data directory: see which other process has the database open"


class DamagedStoreError(StoreUnavailableError):
    """The database differs from what was last written."""

    code = "damaged-store"
    remedy = (
        "keep the files as they are, and put a copy back with `taskbound db restore`: docs/guides/backups.md"
    )


class DiskFailedError(StoreUnavailableError):
    """The disk failed: the last writes may be lost, so the store stops writing."""

    code = "disk-failed"
    remedy = "look at the system's log, mend the disk, and start the daemon again"


_NOMEM, _CONSTRAINT, _FULL, _BUSY = 7, 19, 13, 5
_MEANINGS: Final[Mapping[int, tuple[type[StoreError], str]]] = {
    _BUSY: (BusyStoreError, "another process is writing to the database"),
    6: (BusyStoreError, "another process is changing the database"),
    _NOMEM: (StoreUnavailableError, "there is no memory left"),
    10: (DiskFailedError, "the disk that holds the database failed"),
    11: (DamagedStoreError, "the database is damaged"),
    _FULL: (FullDiskError, "the disk that holds the database is full"),
    26: (DamagedStoreError, "the database does not begin as one"),
}
"""By SQLite's primary result code, all that the driver tells."""


def connect(path: Path, factory: type[driver.Connection], *, reads: bool) -> driver.Connection:
    """Returns a connection configured for the store, before any write; raises driver.Error."""
    connection = driver.connect(
        os.fspath(path),
        timeout=_BUSY_SECONDS,
        isolation_level=None,  # rule 1
        check_same_thread=False,
        factory=factory,
        cached_statements=_STATEMENTS,
    )
    for pragma in (
        f"cache_size=-{_READER_KIB if reads else _WRITER_KIB}",
        "temp_store=MEMORY",
        "foreign_keys=ON",
        "trusted_schema=OFF",
        "cell_size_check=ON",
        "synchronous=FULL",  # rule 2
        "fullfsync=ON",
        "checkpoint_fullfsync=ON",
        "secure_delete=ON",  # rule 3
        "wal_autocheckpoint=0",  # rule 4
        f"query_only={'ON' if reads else 'OFF'}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def translate(error: Exception) -> StoreError:
    code = _code(error)
    if code == _CONSTRAINT and str(error).startswith("UNIQUE "):
        return ConflictError("a row is there that must not be")
    kind, words = _MEANINGS.get(code, (StoreUnavailableError, f"the database refuses: {error}"))
    return kind(words)


def fatal(error: Exception | None) -> bool:
    """Returns whether the store must not be used after this error (rule 5)."""
    return isinstance(error, DamagedStoreError | DiskFailedError | StoreBehindError)


def known_uncommitted(error: Exception) -> bool:
    """Returns False after a failed sync: that commit may reappear on reopening."""
    return _code(error) in {_BUSY, _CONSTRAINT, _FULL}


def _code(error: Exception) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return code if isinstance(code, int) else 0
