"""A row of a PostgreSQL table, read in a transaction that can't write.

1. The transaction is read-only; statements, locks and connection have time limits.
2. The search path is the system catalog, and text has one format. Both are repeated in the transaction, since
   a pooler may drop connection settings.
3. Only a real table is read, locked before its catalog is read: a view or foreign table could run its owner's
   code.
4. Columns are looked up first: an unknown name could be read as a function.
5. Row policies that would hide rows make the query fail.
6. Only an error's class is reported; its text may quote foreign data.
7. A replica is refused: its missing rows may exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from taskbound.adapters.approval.apart.version import (
    LONGEST,
    require_key,
    require_version,
    row_hash,
    tagged,
)
from taskbound.core.approval import OperandUnreadableError
from taskbound.core.approval.probe import NO_ROW

if TYPE_CHECKING:
    from taskbound.core.approval.probe import RowPlace


_CONNECT_SECONDS: Final = 2
_SETTINGS: Final = {
    "default_transaction_read_only": "on",
    "statement_timeout": "1500ms",
    "lock_timeout": "1000ms",
    "search_path": "pg_catalog",
    "row_security": "off",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "jit": "off",
}
_SET: Final = sql.SQL("; ").join(
    sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value))
    for name, value in _SETTINGS.items()
)
"""No query: the first of those takes what the transaction sees, and must come after the lock (rule 3)."""
_MANY: Final = 2
_TABLE: Final = """
SELECT c.oid, d.oid FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
WHERE n.nspname = %s AND c.relname = %s
"""
_KINDS: Final = """
WITH RECURSIVE all_of_it(oid) AS (
    SELECT %s::pg_catalog.oid
    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN all_of_it a ON a.oid = i.inhparent
)
SELECT DISTINCT c.relkind FROM pg_catalog.pg_class c JOIN all_of_it a ON a.oid = c.oid
"""
_COLUMNS: Final = """
SELECT attname, attnum FROM pg_catalog.pg_attribute
WHERE attrelid = %s AND NOT attisdropped ORDER BY attnum
"""


def postgresql_row(place: RowPlace, key: str) -> dict[str, str]:
    """Returns the row of this key; raises OperandUnreadableError."""
    try:
        with psycopg.connect(**_where(place)) as connection:
            connection.read_only = True  # 1
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            return _read(connection, place, key)
    except (psycopg.Error, UnicodeError) as error:
        raise OperandUnreadableError(
            f"the database could not be asked ({type(error).__name__})"
        ) from error  # 6


def _where(place: RowPlace) -> dict[str, Any]:
    found: dict[str, str | int] = {
        "service": place.service,
        "host": place.path,
        "port": place.port,
        "dbname": place.database,
        "user": place.user,
        "connect_timeout": _CONNECT_SECONDS,
        "target_session_attrs": "primary",  # 7
        "application_name": "taskbound",
        "client_encoding": "UTF8",
        "options": " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items()),
    }
    return {name: value for name, value in found.items() if value != ""}


def _read(connection: psycopg.Connection[tuple[object, ...]], place: RowPlace, key: str) -> dict[str, str]:
    connection.execute(_SET)  # 2
    table = sql.Identifier(place.schema, place.table)
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(table))  # 3
    known = connection.execute(_TABLE, (place.schema, place.table)).fetchone()
    kinds = set() if known is None else {one for (one,) in connection.execute(_KINDS, (known[0],))}
    if known is None or not kinds <= {"r", "p"}:
        raise OperandUnreadableError("the declared table is not a table")
    columns = connection.execute(_COLUMNS, (known[0],)).fetchall()
    own = [str(name) for name, number in columns if isinstance(number, int) and number > 0]
    if place.key not in own or (place.version and place.version not in {name for name, _ in columns}):
        raise OperandUnreadableError("the table has no such column")  # 4
    values = [_said(one) for one in ([place.version] if place.version else own)]
    asked = sql.SQL("SELECT {key}, {values} FROM {table} AS t WHERE t.{column} = %s LIMIT {most}").format(
        key=_said(place.key),
        values=sql.SQL(", ").join(values),
        table=_named(place.schema, place.table),
        column=_named(place.key),
        most=sql.Literal(_MANY),
    )
    rows = connection.execute(asked, (key,)).fetchall()
    where = {"row": place.text, "table": f"database {known[1]}, table {known[0]}"}
    if not rows:
        return where | {"key": tagged("text", key), "version": NO_ROW}
    if len(rows) == _MANY:
        raise OperandUnreadableError("there is more than one such row")
    types, texts = rows[0][0::2], rows[0][1::2]
    require_key(str(texts[0]), key)
    said = [(str(kind), None if text is None else str(text)) for kind, text in zip(types, texts, strict=True)]
    version = require_version(*said[1]) if place.version else _hash(own, said[1:])
    return where | {"key": tagged(said[0][0], key), "version": version}


def _said(column: str) -> sql.Composed:
    return sql.SQL(
        "pg_catalog.pg_typeof(t.{0})::pg_catalog.text,"
        " CASE WHEN t.{0} IS NOT NULL THEN pg_catalog.format('%%s', t.{0}) END"
    ).format(_named(column))


def _named(*names: str) -> sql.Identifier:
    """Escapes percent signs, which would start a placeholder."""
    return sql.Identifier(*(one.replace("%", "%%") for one in names))


def _hash(columns: list[str], said: list[tuple[str, str | None]]) -> str:
    if sum(len(text or "") for _, text in said) > LONGEST * LONGEST:
        raise OperandUnreadableError("the row is larger than what is read")
    pairs = zip(columns, said, strict=True)
    return row_hash((name, "null" if text is None else tagged(kind, text)) for name, (kind, text) in pairs)
