"""A row of a SQLite file that other processes may write.

1. The file is regular, reached without links and opened read-only by its declared path; nothing is created or
   repaired. It is not opened as immutable, which would hide changes. (A reader of a WAL database may create
   its shared memory file.)
2. The table is neither view nor virtual and has exactly these columns, qualified by table: SQLite reads an
   unknown bare name as text.
3. Generated columns are not read, so no expression of the schema runs.
4. Lock waits and reads are bounded.
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
    """Returns the row of this key; raises OperandOutsideError for a closed folder, OperandUnreadableError."""
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
    plain = key.removeprefix("-").isdecimal() and str(int(key)) == key and int(key) in _INTEGERS
    return key, int(key) if plain else key, key.encode()


def _value(value: object) -> tuple[str, str | None]:
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
