"""A SQLite store for a process that only reads it, while another one writes.

1. Nothing of it is made, changed or moved: the file is opened for reading, and its schema must be this
   version's.
2. A snapshot is one state of the whole store, and later ones never an older: each begins anew.
3. A database that is not there yet, or is being made, is one that can't be read now.
4. The account needs to read the file and what lies beside it under the endings `-wal` and `-shm`, which the
   writer makes with the file's own mode. It needs to write none of them: SQLite takes its locks on a file
   that is open for reading, and after a writer that was killed it makes an index of its own in memory
   ("Write-Ahead Logging", section Read-Only Databases). Never `immutable`: that leaves the log out.
5. What this account may not read is said to be so. Nothing is opened to find that out: closing a handle of
   ours would drop SQLite's locks.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from taskbound.adapters.store.sql.audit import last_instant
from taskbound.adapters.store.sql.sqlite.driver import driver, translate
from taskbound.adapters.store.sql.sqlite.link import SqliteLink
from taskbound.adapters.store.sql.sqlite.opening import APPLICATION, beside, require_library, require_schema
from taskbound.adapters.store.sql.sqlite.transaction import SqlTransaction
from taskbound.ports.store import (
    ForeignDatabaseError,
    StoreUnavailableError,
    UnreadableStoreError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.core.clock import Instant
    from taskbound.core.errors import TaskboundError
    from taskbound.ports.store import Snapshot


_PATIENCE: Final = 2.0


class SqlReader:
    """Reads the database of a daemon; safe from any thread."""

    def __init__(self, path: Path) -> None:
        """Read this file; it is opened when it is needed.

        Raises:
            AffectedLibraryError: The library can read what was never committed.
        """
        require_library(driver.sqlite_version)
        self._path = path

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        """A snapshot, for the length of the context (rule 2)."""
        connection, link = self._begin()
        try:
            yield SqlTransaction(link)
        finally:
            link.end()
            connection.close()

    def last_instant(self) -> Instant:
        """The latest instant that any record holds, 0 in an empty store."""
        connection, link = self._begin()
        try:
            return last_instant(link)
        finally:
            link.end()
            connection.close()

    def _begin(self) -> tuple[driver.Connection, SqliteLink]:
        """A connection that has read once (rules 1 and 3)."""
        try:
            connection = driver.connect(
                f"file:{quote(str(self._path))}?mode=ro",
                uri=True,
                timeout=_PATIENCE,
                isolation_level=None,
                check_same_thread=False,
            )
        except driver.Error as error:
            raise self._explain(error) from error
        try:
            for pragma in ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON"):
                connection.execute(f"PRAGMA {pragma}")
            self._require_ours(connection)
        except driver.Error as error:
            connection.close()
            raise self._explain(error) from error
        except BaseException:
            connection.close()
            raise
        return connection, SqliteLink(connection)

    def _explain(self, error: driver.Error) -> TaskboundError:
        """What an error means: what may not be read is named (rule 5)."""
        for one in (self._path, beside(self._path, "wal"), beside(self._path, "shm")):
            try:
                one.stat()
            except PermissionError:
                return UnreadableStoreError(f"the account {os.geteuid()} may not enter `{one.parent}`")
            except OSError:
                continue
            if not os.access(one, os.R_OK, effective_ids=True):
                return UnreadableStoreError(f"the account {os.geteuid()} may not read `{one}`")
        known = translate(error)
        if type(known) is not StoreUnavailableError:
            return known
        return StoreUnavailableError(f"`{self._path}` can't be read now: {error}")

    def _require_ours(self, connection: driver.Connection) -> None:
        """Begin, and go on only with a database of a daemon of this version (rule 1)."""
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
        if mark != APPLICATION:
            raise ForeignDatabaseError(f"`{self._path}` is no database of a daemon")
        connection.execute("BEGIN")
        require_schema(connection, self._path)
