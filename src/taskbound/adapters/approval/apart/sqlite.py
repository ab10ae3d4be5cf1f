"""The row of a SQLite file, read as one that somebody else wrote and goes on writing.

1. The file is there, is a plain one, and its path leads through no link; it is opened for reading, by the
   path that was declared. Nothing is made where there is none, and nothing is mended. It is not said to be
   immutable: then changes would not be seen. (Of a database in WAL mode any reader may make the shared memory
   beside it.)
2. The table is a table, neither a view nor virtual, and its columns have these very names. They are named
   with their table: alone, SQLite takes a name that it doesn't know for a text.
3. Columns that the schema computes are not read: so nothing that the schema says is run.
4. A lock of another is waited for so long, and what is read is bounded.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from taskbound.adapters.approval.apart.version import require_key, require_version, row_hash, tagged
from taskbound.core.approval import OperandOutsideError, OperandUnreadableError
from taskbound.core.approval.probe import NO_ROW

if TYPE_CHECKING:
    import sqlite3 as driver

    from taskbound.core.approval.probe import RowPlace
else:
    import pysqlite3.dbapi2 as driver


_BUSY: Final = 1.0
"""Seconds that a lock is waited for (rule 4)."""
_LARGEST: Final = 1 << 20
"""Characters of a row at most; a blob has two for each byte (rule 4)."""
_MANY: Final = 2
_INTEGERS: Final = range(-(2**63), 2**63)


def sqlite_row(place: RowPlace, key: str, closed: frozenset[tuple[int, int]]) -> dict[str, str]:
    """What a probe says of the row with this key.

    Raises:
        OperandOutsideError: The file is in a folder that is closed.
        OperandUnreadableError: There is no such table, or nothing that can be read as this one row.
    """
    device, inode = _state(Path(place.path), closed)
    try:
        connection = driver.connect(
            f"file:{quote(place.path)}?mode=ro", uri=True, timeout=_BUSY, isolation_level=None
        )
        try:
            version = _read(connection, place, key)
        finally:
            connection.close()
    except (driver.Error, MemoryError, UnicodeError) as error:
        raise OperandUnreadableError(f"the database could not be read ({_name(error)})") from error
    return version | {"row": place.text, "table": f"device {device}, inode {inode}"}


def _state(path: Path, closed: frozenset[tuple[int, int]]) -> tuple[int, int]:
    """Device and inode of the file (rule 1)."""
    try:
        state = path.lstat()
        above = [one.lstat() for one in path.parents]
    except OSError as error:
        raise OperandUnreadableError("there is no such database, or its folder may not be entered") from error
    if any((one.st_dev, one.st_ino) in closed for one in above):
        raise OperandOutsideError("it is in a folder of Taskbound itself")
    if not stat.S_ISREG(state.st_mode) or os.path.realpath(path) != str(path):
        raise OperandUnreadableError("the database is no plain file, or its path leads through a link")
    return state.st_dev, state.st_ino


def _read(connection: driver.Connection, place: RowPlace, key: str) -> dict[str, str]:
    connection.execute("BEGIN")
    columns = _columns(connection, place)
    version = [place.version] if place.version else columns
    names = ", ".join(f"t.{_quoted(one)}" for one in (place.key, *version))  # 2
    statement = (
        f"SELECT {names} FROM main.{_quoted(place.table)} AS t"  # noqa: S608 - names of the declaration, quoted
        f" WHERE t.{_quoted(place.key)} IN (?, ?, ?) LIMIT {_MANY}"
    )
    rows = connection.execute(statement, _spellings(key)).fetchall()
    if not rows:
        return {"key": tagged("text", key), "version": NO_ROW}
    if len(rows) == _MANY:
        raise OperandUnreadableError("there is more than one such row")
    found, *values = map(_value, rows[0])
    if sum(len(text or "") for _, text in values) > _LARGEST:
        raise OperandUnreadableError("the row is larger than what is read")  # 4
    require_key(found[1] or "", key)
    if not place.version:
        pairs = zip(columns, values, strict=True)
        said = row_hash(
            (name, "null" if text is None else tagged(kind, text)) for name, (kind, text) in pairs
        )
        return {"key": tagged(found[0], key), "version": said}
    return {"key": tagged(found[0], key), "version": require_version(*values[0])}


def _columns(connection: driver.Connection, place: RowPlace) -> list[str]:
    """The names of the table's columns, in order (rule 2)."""
    known = connection.execute(
        "SELECT 1 FROM main.sqlite_schema WHERE name = ? AND rootpage > 0", (place.table,)
    ).fetchall()
    all_of_it = connection.execute(f"PRAGMA main.table_xinfo({_quoted(place.table)})").fetchall()
    plain = [str(one[1]) for one in all_of_it if not one[6]]  # 3
    read = {place.key, place.version or place.key}
    if not known or not read <= set(plain) or (not place.version and len(plain) < len(all_of_it)):
        raise OperandUnreadableError("the database has no such table, or it has no such plain column")
    return plain


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _spellings(key: str) -> tuple[str | int | bytes, ...]:
    """The key in each type that a column without one may hold it in."""
    plain = key.removeprefix("-").isdecimal() and str(int(key)) == key and int(key) in _INTEGERS
    return key, int(key) if plain else key, key.encode()


def _value(value: object) -> tuple[str, str | None]:
    """The type of a value, and its text."""
    match value:
        case int():
            return "integer", str(value)
        case float():
            return "real", repr(value)
        case str():
            return "text", value
        case bytes():
            return "blob", value.hex()
        case _:
            return "null", None


def _name(error: Exception) -> str:
    return getattr(error, "sqlite_errorname", None) or type(error).__name__
