"""A copy of a SQLite database as it is at one place of its log, made while a daemon writes to it.

1. It is made within one snapshot, so that what commits meanwhile is not in it and begins it anew for nobody;
   the daemon goes on deciding. Its WAL is written over again once the copy is made.
2. The copy is one file by itself, without a write-ahead log, and durable when this returns. Only this account
   may read it.
3. It is looked at as it was written: every page, every index, every foreign key; a copy that has something
   wrong is refused, as is one of a version that this program doesn't know.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from taskbound.adapters.store.sql.sqlite.driver import DamagedStoreError, driver, translate
from taskbound.adapters.store.sql.sqlite.link import SqliteLink
from taskbound.adapters.store.sql.sqlite.opening import APPLICATION, require_library, require_schema
from taskbound.adapters.store.sql.sqlite.transaction import SqlTransaction
from taskbound.ports.store import ForeignDatabaseError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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
