"""Making a PostgreSQL database Taskbound's, granting what each process needs, and saying how it stands.

1. Only a person's command does this, as a role that owns the database: daemons only look.
2. Two that upgrade at once take turns. The schema is made in one transaction, and
   everything here can be run again: what is as it should be stays.
3. A database that was loaded from another server goes on with numbers above its last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
from sqlalchemy.dialects.postgresql.base import PGDialect

from taskbound.adapters.store.postgres.server.driver import SCHEMA, connect, place, translate, unopened
from taskbound.adapters.store.postgres.server.number import MADE, WIDTH
from taskbound.adapters.store.postgres.server.opening import (
    MARK,
    require_numbers,
    require_ours,
    require_schema,
    require_server,
)
from taskbound.adapters.store.postgres.server.roles import (
    BROKER,
    DAEMON,
    GROUPS,
    SIGNER,
    actual_rights,
    excess_of,
    grant_rights,
    wanted_rights,
)
from taskbound.adapters.store.sql.schema.initial import initial_schema
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError

if TYPE_CHECKING:
    from taskbound.adapters.store.postgres.server.driver import Connection


_TURN: Final = 0x5442_6E64_0002
_SHIFT: Final = f"""
    UPDATE numbering SET shift = greatest(shift, (SELECT coalesce(max(number), 0) >> {WIDTH} FROM records)
        - pg_current_xact_id()::text::bigint + 1)
    WHERE (SELECT coalesce(max(number), 0) >> {WIDTH} FROM records)
        >= pg_current_xact_id()::text::bigint + shift
"""  # noqa: S608  # our own constant


_NAMES: Final = ", ".join(f"`{one}`" for one in GROUPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    well: bool
    text: str


def upgrade_database(url: str, *, daemon: str = "", signer: str = "", broker: str = "") -> None:
    """Make the schema where there is none, and grant every process what it needs.

    Args:
        url: The database, as a role that owns it and may make roles.
        daemon: The role that the daemon logs in with; empty to grant it later.
        signer: The same for the signer.
        broker: The same for the broker.

    Raises:
        UnavailableError: The server or the database is not fit, or the role may not.
    """
    try:
        connection = connect(url, application="taskbound db upgrade")
    except psycopg.Error as error:
        raise unopened(error) from error
    try:
        connection.execute("SET statement_timeout = 0")
        connection.execute("SET lock_timeout = '60s'")
        connection.execute("SELECT pg_advisory_lock($1::bigint)", (_TURN,))  # 2
        require_server(connection)
        if not require_ours(connection):
            _make(connection)
        require_schema(connection)
        with connection.transaction():
            grant_rights(connection, {DAEMON: daemon, SIGNER: signer, BROKER: broker})
            connection.execute(_SHIFT)  # 3
        require_numbers(connection)
    except psycopg.Error as error:
        raise translate(error) from error
    finally:
        connection.close()


def examine_database(url: str) -> tuple[Finding, ...]:
    """How the database stands, and the role that looks: everything that differs, by name."""
    try:
        connection = connect(url, application="taskbound db check")
    except psycopg.Error as error:
        return (Finding(well=False, text=f"{place(url)}: {unopened(error).message}"),)
    try:
        return tuple(_look(connection, url))
    except psycopg.Error as error:
        return (Finding(well=False, text=f"{place(url)}: {translate(error).message}"),)
    finally:
        connection.close()


def _look(connection: Connection, url: str) -> list[Finding]:
    version = connection.info.server_version
    found = [
        Finding(well=True, text=f"PostgreSQL {version // 10_000}.{version % 10_000}, {place(url)}"),
    ]
    for require, well in (
        (require_server, "the server keeps what it acknowledges"),
        (require_schema, "the schema is the newest"),
        (require_numbers, "the records are numbered by this server"),
    ):
        try:
            require(connection)
        except TaskboundError as error:
            found.append(Finding(well=False, text=f"{error.message}: {error.advice}"))
            return found
        found.append(Finding(well=True, text=well))
    wanted, actual = wanted_rights(), actual_rights(connection)
    found += [
        Finding(well=False, text=f"`{group}` lacks {right} on `{table}`")
        for group, table, right in sorted(wanted - actual)
    ]
    found += [
        Finding(well=False, text=f"`{group}` has {right} on `{table}`, which it does not need")
        for group, table, right in sorted(actual - wanted)
    ]
    if wanted == actual:
        found.append(Finding(well=True, text=f"{_NAMES} have exactly what they need"))
    excess = excess_of(connection)
    role = connection.info.user
    if excess:
        found.append(
            Finding(well=False, text=f"as a daemon's role `{role}` has too much: it {', '.join(excess)}")
        )
    else:
        found.append(Finding(well=True, text=f"role `{role}` can do no more than it needs"))
    return found


def _make(connection: Connection) -> None:
    """Make the schema and mark it as ours: all of it, or nothing."""
    mark = MARK.replace("'", "''")
    with connection.transaction():
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}".encode())
        connection.execute(f"COMMENT ON SCHEMA {SCHEMA} IS '{mark}'".encode())
        for statement in (*initial_schema(PGDialect()), *MADE):  # type: ignore[no-untyped-call]  # SQLAlchemy gives it no types
            connection.execute(statement.encode())
