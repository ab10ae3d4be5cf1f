"""Copies of a SQLite database, and reading one page by page.

Of `copying`:

1. It is made within one snapshot, so that what commits meanwhile is not in it and begins it anew for nobody;
   the daemon goes on deciding. Its WAL is written over again once the copy is made.
2. The copy is one file by itself, without a write-ahead log, and durable when this returns. Only this account
   may read it.
3. It is looked at as it was written: every page, every index, every foreign key; a copy that has something
   wrong is refused, as is one of a version that this program doesn't know.

Of `reading`:

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
from taskbound.adapters.store.sql.sqlite.driver import DamagedStoreError, driver, translate
from taskbound.adapters.store.sql.sqlite.link import SqliteLink, SqlTransaction
from taskbound.adapters.store.sql.sqlite.opening import APPLICATION, beside, require_library, require_schema
from taskbound.ports.store import ForeignDatabaseError, StoreUnavailableError, UnreadableStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.core.clock import Instant
    from taskbound.core.errors import TaskboundError
    from taskbound.ports.store import Snapshot


_PAGES: Final = 2048
"""Pages that are copied before somebody is told how far it is: 8 MiB."""
_PATIENCE: Final = 5.0


def copy_database(path: Path, to: Path, told: Callable[[int, int], None]) -> None:
    """Copy the database into a file that is not there yet (rules 1 and 2).

    Args:
        path: The database.
        to: The file; whoever calls takes it away where this fails.
        told: Told how many pages are copied, and of how many.

    Raises:
        ForeignDatabaseError: The database is no daemon's.
        NewerDatabaseError: It is of a newer version.
        OlderDatabaseError: It is of an older one.
        StoreUnavailableError: It can't be read, or the copy not be written.
        FullDiskError: There is no space for it.
    """
    require_library(driver.sqlite_version)
    os.close(os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        with _reading(path) as source:
            source.execute("BEGIN")
            _require_ours(source, path)  # reads the schema, which begins the snapshot of rule 1
            target = driver.connect(os.fspath(to), isolation_level=None)
            try:
                target.execute("PRAGMA synchronous=FULL")
                source.backup(target, pages=_PAGES, progress=lambda _, left, whole: told(whole - left, whole))
                target.execute("PRAGMA journal_mode=DELETE").fetchone()  # 2
            finally:
                target.close()
    except driver.Error as error:
        raise translate(error) from error
    handle = os.open(to, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def look_at_copy(path: Path) -> Iterator[Snapshot]:
    """What a copy holds, for the length of the context, once all of it is sound (rule 3).

    Raises:
        ForeignDatabaseError: It is no database of a daemon.
        NewerDatabaseError: It is of a newer version.
        OlderDatabaseError: It is of an older one.
        DamagedStoreError: Something in it is wrong.
        StoreUnavailableError: It can't be read.
    """
    try:
        with _reading(path) as connection:
            _require_ours(connection, path)
            found = [one for (one,) in connection.execute("PRAGMA integrity_check(1)")]
            wrong = [] if found == ["ok"] else found
            wrong += [f"a row of {one[0]} has none to belong to" for one in _foreign(connection)]
            if wrong:
                raise DamagedStoreError(f"`{path}` is damaged: {wrong[0]}")
            connection.execute("BEGIN")
            link = SqliteLink(connection)
            try:
                yield SqlTransaction(link)
            finally:
                link.end()
    except driver.Error as error:
        raise translate(error) from error


def _foreign(connection: driver.Connection) -> list[tuple[str, ...]]:
    return connection.execute("PRAGMA foreign_key_check").fetchmany(1)


@contextmanager
def _reading(path: Path) -> Iterator[driver.Connection]:
    if not path.is_file():
        raise StoreUnavailableError(f"there is no database `{path}`")
    connection = driver.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_PATIENCE, isolation_level=None
    )
    try:
        for pragma in ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON"):
            connection.execute(f"PRAGMA {pragma}")
        yield connection
    finally:
        connection.close()


def _require_ours(connection: driver.Connection, path: Path) -> None:
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    if mark != APPLICATION:
        raise ForeignDatabaseError(f"`{path}` is no database of a daemon", remedy="name another file")
    require_schema(connection, path)


_READING_PATIENCE: Final = 2.0


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
                timeout=_READING_PATIENCE,
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
