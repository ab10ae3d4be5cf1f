"""Checks before a SQLite database is used: library, ownership, completeness.

1. A library version that can lose committed writes is refused.
2. A foreign database is refused before anything in it changes.
3. A file shorter than its pages, where the WAL lacks the rest, is damaged; so is one that lost what its
   mark says was acknowledged.
4. We never open the database file ourselves: closing a descriptor would drop SQLite's locks.
"""

from __future__ import annotations

import os
import struct
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from taskbound.adapters.store.sql.schema.initial import READ_REVISION, initial_schema, require_revision
from taskbound.adapters.store.sql.sqlite.driver import (
    DamagedStoreError,
    DiskFailedError,
    connect,
    driver,
    translate,
)
from taskbound.adapters.store.sql.sqlite.files import (
    LogMark,
    MarkFile,
    Reserve,
    free_bytes,
    locked,
    read_mark,
)
from taskbound.core.audit import leaf_hash
from taskbound.core.dataclass import dataclass
from taskbound.ports.store import (
    AffectedLibraryError,
    ForeignDatabaseError,
    FullDiskError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.core.errors import UnavailableError


APPLICATION: Final = 0x54426E64
"""`TBnd` in the header of each of our files (`PRAGMA application_id`)."""

_FIRST_AFFECTED, _FIXED = (3, 7, 0), (3, 51, 3)
_BACKPORTS: Final = {(3, 50): 7, (3, 44): 6}
_SMALLEST: Final = 4096
_HEADER_BYTES: Final = 100
_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">4I8x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the store uses of the machine and the library; tests replace it to inject failures."""

    factory: type[driver.Connection] = driver.Connection
    """The class of the driver's connections."""
    library: str = driver.sqlite_version
    """The version of SQLite."""
    free: Callable[[Path], int] = free_bytes
    """How many bytes a folder's disk has left."""


@dataclass(slots=True, kw_only=True)
class Files:
    """An opened database and the files beside it."""

    path: Path
    writer: driver.Connection
    mark: LogMark
    mark_file: MarkFile
    reserve: Reserve


def open_files(
    path: Path, *, reserve: int, at: Callable[[str], None], machine: Machine, held: bool = False
) -> Files:
    """Opens or creates the database; `held`: this process already has the lock."""
    require_library(machine.library)
    kept = Reserve(beside(path, "reserve"), reserve, machine.free)
    try:
        with nullcontext() if held else locked(path):
            return _open_with_space(path, kept, at, machine)
    except OSError as error:
        raise StoreUnavailableError(f"`{path}` can't be opened: {error.strerror or error}") from error


def _open_with_space(path: Path, reserve: Reserve, at: Callable[[str], None], machine: Machine) -> Files:
    try:
        return _open(path, reserve, at, machine)
    except FullDiskError:
        if not reserve.release():
            raise
    return _open(path, reserve, at, machine)


def beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}-{ending}")


def _open(path: Path, reserve: Reserve, at: Callable[[str], None], machine: Machine) -> Files:
    mark = read_mark(beside(path, "mark"))
    _require_file(path, mark)
    try:
        connection = connect(path, machine.factory, reads=False)
    except driver.Error as error:
        raise _explain(error, path, mark, machine) from error
    try:
        empty = require_ours(connection, path)
        if not empty:
            require_pages(connection, path)
        at("looked")
        _prepare(connection, at, path, empty=empty)
        found = _require_mark(connection, mark, path)
        at("prepared")
        mark_file = MarkFile(beside(path, "mark"), found)
        with suppress(FullDiskError):
            reserve.require()
    except driver.Error as error:
        connection.close()
        raise _explain(error, path, mark, machine) from error
    except BaseException:
        connection.close()
        raise
    return Files(path=path, writer=connection, mark=found, mark_file=mark_file, reserve=reserve)


def _require_file(path: Path, mark: LogMark | None) -> None:
    """Creates an empty file only if the mark shows that there never was one (rule 3)."""
    size = path.stat().st_size if path.exists() else -1
    if mark is not None and size < _SMALLEST:
        raise DamagedStoreError(f"`{path}` is gone or cut off: it held {mark.count} records")
    if 0 < size < _HEADER_BYTES and path.is_file():  # a folder may be as small, and can't be opened
        raise ForeignDatabaseError(f"`{path}` is no database")
    if size < 0:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _prepare(connection: driver.Connection, at: Callable[[str], None], path: Path, *, empty: bool) -> None:
    if not empty:
        require_schema(connection, path)
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise StoreUnavailableError("the file system of the database can't hold a write-ahead log")
    if empty:
        _make(connection, at)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _make(connection: driver.Connection, at: Callable[[str], None]) -> None:
    """Marks an empty database as ours and creates its schema, in one transaction (K25)."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        for statement in initial_schema(SQLiteDialect()):
            connection.execute(statement)
        at("made")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(driver.Error):  # a full disk has rolled back by itself
            connection.execute("ROLLBACK")
        raise


def _require_mark(connection: driver.Connection, mark: LogMark | None, path: Path) -> LogMark:
    (count,) = connection.execute("SELECT coalesce(max(number), 0) FROM records").fetchone()
    (size,) = connection.execute("SELECT coalesce(max(place) + 1, 0) FROM places").fetchone()
    if mark is not None and (mark.count > count or mark.size > size):
        raise DamagedStoreError(
            f"`{path}` lost what was acknowledged: it held {mark.count} records, {mark.size} of them placed,"
            f" and holds {count} and {size}"
        )
    if mark is not None and mark.count and _hash(connection, mark.count) != mark.hash:
        raise DamagedStoreError(f"`{path}` is another database than the one that its mark is of")
    return LogMark(count=count, size=size, hash=_hash(connection, count) if count else LogMark().hash)


def _hash(connection: driver.Connection, number: int) -> str:
    (body,) = connection.execute("SELECT body FROM records WHERE number = ?", (number,)).fetchone()
    return leaf_hash(body).hex()


def _explain(error: driver.Error, path: Path, mark: LogMark | None, machine: Machine) -> UnavailableError:
    known = translate(error)
    if isinstance(known, DamagedStoreError) and mark is None:
        return ForeignDatabaseError(f"`{path}` is no database that can be read")
    if isinstance(known, DiskFailedError) and machine.free(path.parent) < _SMALLEST:
        return FullDiskError("the disk that holds the database has no space to open it")
    return known


def require_library(version: str) -> None:
    """Raises AffectedLibraryError if this SQLite version may lose commits or can't be parsed (rule 1)."""
    try:
        first, second, third = (int(part) for part in version.split("."))
    except ValueError:
        raise AffectedLibraryError(f"`{version}` is no version of SQLite that can be judged") from None
    number = (first, second, third)
    mended = third >= _BACKPORTS.get((first, second), third + 1)
    if number < _FIXED and not mended:
        raise AffectedLibraryError(f"SQLite {version} can lose committed writes")


def require_ours(connection: driver.Connection, path: Path) -> bool:
    """Returns whether the database is empty; raises ForeignDatabaseError, changes nothing (rule 2)."""
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (count,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if mark == APPLICATION:
        return False
    if mark == 0 and count == 0:
        return True
    raise ForeignDatabaseError(f"`{path}` is a database of another program")


def require_schema(connection: driver.Connection, path: Path) -> None:
    (there,) = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_revision'"
    ).fetchone()
    found = connection.execute(READ_REVISION).fetchone() if there else None
    require_revision(found[0] if found else None, f"`{path}`")


def require_pages(connection: driver.Connection, path: Path) -> None:
    """Raises DamagedStoreError if a page is in neither file nor WAL (rule 3), or driver.Error."""
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (width,) = connection.execute("PRAGMA page_size").fetchone()
        here = path.stat().st_size // width
        missing = set(range(here + 1, pages + 1))
        if missing:
            missing -= _pages_in_wal(beside(path, "wal"), width)
    finally:
        connection.execute("ROLLBACK")
    if missing:
        raise DamagedStoreError(f"`{path}` has {pages} pages, and {len(missing)} of them are gone")


def _pages_in_wal(path: Path, width: int) -> set[int]:
    """Returns the pages in the WAL's current generation (SQLite's "WAL-mode File Format")."""
    found: set[int] = set()
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return found
    try:
        header = os.pread(handle, _HEADER.size, 0)
        if len(header) < _HEADER.size:
            return found
        salts = _HEADER.unpack(header)[4:6]
        place = _HEADER.size
        step = _FRAME.size + width
        end = os.fstat(handle).st_size
        while place + step <= end:
            page, _size, *its_salts = _FRAME.unpack(os.pread(handle, _FRAME.size, place))
            if tuple(its_salts) != salts:
                break
            found.add(page)
            place += step
    finally:
        os.close(handle)
    return found
