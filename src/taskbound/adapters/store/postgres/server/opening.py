"""What is looked at before a PostgreSQL database is used: the server, whose database it is, its schema.

1. A server that is too old, that only reads, or that may lose what it acknowledged is
   refused; so is a database whose texts are not UTF-8.
2. A schema that is not ours is refused, and nothing of it is changed.
3. The daemon makes no tables: its role has no right to. A schema that is not there is refused with the
   command that a person runs, one of another version with what can be done.
4. A database that was loaded from another server is refused until its numbers go on
   (`number`, rule 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.driver import SCHEMA, ReadOnlyDatabaseError
from taskbound.adapters.store.postgres.server.number import NEXT
from taskbound.adapters.store.sql.schema.initial import READ_REVISION, require_revision
from taskbound.ports.store import ForeignDatabaseError, OlderDatabaseError, StoreUnavailableError

if TYPE_CHECKING:
    from taskbound.adapters.store.postgres.server.driver import Connection


MARK: Final = "Taskbound's store (TBnd)"
"""What the comment of our schema says."""
OLDEST: Final = 150_000
"""The oldest server that is tested: 15, which gives nobody rights in `public`."""


class OldDatabaseServerError(StoreUnavailableError):
    """The server is older than any that this version was tested on."""

    code = "old-database-server"
    remedy = "upgrade it to PostgreSQL 15 or newer"


class UnsafeDatabaseError(StoreUnavailableError):
    """The server may lose what it acknowledged, or keep other texts than it was given."""

    code = "unsafe-database"
    remedy = "set `fsync` and `full_page_writes` to on, and use a database with encoding UTF8"


class RestoredDatabaseError(StoreUnavailableError):
    """The database was loaded from another server: the order of its records would be lost here."""

    code = "restored-database"
    remedy = "run `taskbound db upgrade` as the role that owns the database: it lets the numbers go on"


_SERVER: Final = """
    SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
        current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on',
        current_setting('server_encoding'), current_setting('transaction_read_only') = 'on'
"""
_OURS: Final = f"""
    SELECT obj_description(n.oid, 'pg_namespace'),
        (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid)
    FROM pg_namespace n WHERE n.nspname = '{SCHEMA}'
"""  # noqa: S608  # our own constant
_HIGHEST: Final = f"SELECT coalesce((SELECT max(number) FROM records), 0) >= {NEXT}"  # noqa: S608  # our own constants


def require_server(connection: Connection) -> None:
    """Go on only with a server that keeps what it acknowledges (rule 1).

    Raises:
        OldDatabaseServerError: It is too old.
        ReadOnlyDatabaseError: It only reads.
        UnsafeDatabaseError: It may lose or change what it is given.
    """
    version, standby, safe, encoding, reads = _row(connection, _SERVER)
    if not isinstance(version, int) or version < OLDEST:
        raise OldDatabaseServerError(f"the server's version is {version}")
    if standby or reads:
        raise ReadOnlyDatabaseError("the server only reads")
    if not safe:
        raise UnsafeDatabaseError("the server does not sync what it writes")
    if encoding != "UTF8":
        raise UnsafeDatabaseError(f"the encoding of the database is {encoding}")


def require_ours(connection: Connection) -> bool:
    """Whether our schema is there, with tables (rule 2).

    Raises:
        ForeignDatabaseError: Somebody else's is, under its name.
    """
    found = connection.execute(_OURS).fetchone()
    if found is None:
        return False
    mark, count = found
    if count == 0 and mark in {None, MARK}:
        return False
    if mark == MARK:
        return True
    raise ForeignDatabaseError(
        f"the schema `{SCHEMA}` of this database is not Taskbound's", remedy="name another database"
    )


def require_schema(connection: Connection) -> None:
    """Go on only with this version's schema (rules 2 and 3).

    Raises:
        ForeignDatabaseError: The schema is not ours.
        NewerDatabaseError: It is of a newer version.
        OlderDatabaseError: It is of an older one, or not there.
    """
    if not require_ours(connection):
        raise OlderDatabaseError("the database has no tables of Taskbound")
    (there,) = _row(connection, f"SELECT to_regclass('{SCHEMA}.schema_revision') IS NOT NULL")
    found = connection.execute(READ_REVISION.encode()).fetchone() if there else None
    require_revision(found[0] if found else None, "the database")


def require_numbers(connection: Connection) -> None:
    """Go on only when every record's number is one of this server (rule 4).

    Raises:
        RestoredDatabaseError: One is above.
    """
    (above,) = _row(connection, _HIGHEST)
    if above:
        raise RestoredDatabaseError("the database holds records of another server")


def _row(connection: Connection, text: str) -> tuple[object, ...]:
    found = connection.execute(text.encode()).fetchone()
    if found is None:
        raise StoreUnavailableError("the server answers nothing")
    return found
