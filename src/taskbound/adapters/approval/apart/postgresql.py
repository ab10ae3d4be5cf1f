"""The row of a PostgreSQL table, asked for in a transaction that can write nothing.

1. The transaction is read-only, and statements, locks and the connection have bounds of time.
2. The search path is the system's own catalog, so neither a name nor an operator is another's. Text has one
   form, whatever server or role are set to. All of it is said once more in the transaction: a pooler may
   leave out what is said when the connection begins.
3. The table is a table: a view or a foreign table could call what its owner likes, as this account. It is
   locked against being replaced by one before its catalog is read.
4. Columns are looked up before they are named: a name that is no column's is read as a function's.
5. Where policies of the table would hide rows the question fails, instead of finding none.
6. What the database says of a failure is not passed on but its name: it may quote what others wrote.
7. A server that only follows another is not asked: what it has not heard yet is not absent.
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
    """What a probe says of the row with this key.

    Raises:
        OperandUnreadableError: There is no such table, or nothing that can be read as this one row.
    """
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
        raise OperandUnreadableError("what is declared as a table is none")
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
    """The type of a column's value, and its text as the type writes it, without a cast of somebody's own."""
    return sql.SQL(
        "pg_catalog.pg_typeof(t.{0})::pg_catalog.text,"
        " CASE WHEN t.{0} IS NOT NULL THEN pg_catalog.format('%%s', t.{0}) END"
    ).format(_named(column))


def _named(*names: str) -> sql.Identifier:
    """The name in a statement with values, where a percent sign would announce another value."""
    return sql.Identifier(*(one.replace("%", "%%") for one in names))


def _hash(columns: list[str], said: list[tuple[str, str | None]]) -> str:
    if sum(len(text or "") for _, text in said) > LONGEST * LONGEST:
        raise OperandUnreadableError("the row is larger than what is read")
    pairs = zip(columns, said, strict=True)
    return row_hash((name, "null" if text is None else tagged(kind, text)) for name, (kind, text) in pairs)
