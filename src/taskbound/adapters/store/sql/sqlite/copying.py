"""Copies a SQLite database, and reads one from another process.

Of `copying`:

1. The copy is made in one snapshot while the daemon goes on deciding; the WAL is reused afterwards.
2. It is one durable file without a WAL, readable by this account only.
3. It is verified: every page, index and foreign key. A damaged copy or another version is refused.

Of `reading`:

1. The file is opened read-only, and its schema must be of this version.
2. Snapshots never go back: each begins anew.
3. A database that is absent or being created is unavailable.
4. The account needs read access to the file and to its `-wal` and `-shm`, which the writer creates with
   the same mode, and no write access: after a killed writer SQLite builds an index in memory
   ("Write-Ahead Logging", Read-Only Databases). Never `immutable`, which ignores the WAL.
5. Errors name files that this account may not read. Nothing is opened to find out: closing a descriptor
   of ours would drop SQLite's locks.
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
"""Pages copied between two progress reports: 8 MiB."""
_PATIENCE: Final = 5.0


def copy_database(path: Path, to: Path, told: Callable[[int, int], None]) -> None:
    """Copies the database into a new file (rules 1 and 2); after an error the caller deletes the file."""
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
    """Yields a snapshot of a verified copy (rule 3)."""
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
    """Reads a daemon's database from another process; thread-safe."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet; raises AffectedLibraryError if the library may return uncommitted data."""
        require_library(driver.sqlite_version)
        self._path = path

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        connection, link = self._begin()
        try:
            yield SqlTransaction(link)
        finally:
            link.end()
            connection.close()

    def last_instant(self) -> Instant:
        connection, link = self._begin()
        try:
            return last_instant(link)
        finally:
            link.end()
            connection.close()

    def _begin(self) -> tuple[driver.Connection, SqliteLink]:
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
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
        if mark != APPLICATION:
            raise ForeignDatabaseError(f"`{self._path}` is no database of a daemon")
        connection.execute("BEGIN")
        require_schema(connection, self._path)
