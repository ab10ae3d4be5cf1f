"""The driver of PostgreSQL: its connections, and what its errors mean for a store.

1. A transaction begins and ends when we say so (`autocommit`), at READ COMMITTED with
   row locks; nothing leans on SERIALIZABLE.
2. A commit is durable when it returns: never with `synchronous_commit` off or local,
   and never on a server that doesn't sync (`opening`).
3. Nothing waits for ever: connecting, a statement, a lock, and a transaction that its
   own process forgot each have their limit.
4. Names are looked up in our own schema only, so that nobody else's table or function
   takes the place of one of ours.
5. No word of an error of ours holds a password: it names the server, not the address.
6. Why a database can't be opened is said in the server's own words, or libpq's, to who opens it. Whoever
   is refused later, an agent that is afar too, is told that it is lost, and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import psycopg
from psycopg import conninfo
from psycopg.raw_cursor import RawCursor

from taskbound.ports.store import ConflictError, FullDiskError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping


Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"
StoreError: TypeAlias = StoreUnavailableError | ConflictError | FullDiskError
"""What an error of the driver can be."""

SCHEMA: Final = "taskbound"
"""Every table of ours lies in it."""

_CONNECT_SECONDS: Final = 5
_FATAL: Final = "FATAL:"
"""What stands before a server's own reason to let nobody in."""
_SESSION: Final = f"""
    SET search_path = {SCHEMA}, pg_temp;
    SET default_transaction_isolation = 'read committed';
    SET statement_timeout = '15s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '15s';
    SET bytea_output = 'hex';
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') IN ('off', 'local');
"""


class LostDatabaseError(StoreUnavailableError):
    """The database's server can't be reached, or was lost in the middle of something."""

    code = "database-lost"
    remedy = "see whether the server runs; what was not acknowledged did not happen, or is looked up"


class ReadOnlyDatabaseError(StoreUnavailableError):
    """The server only reads: a standby, or one that was set so."""

    code = "read-only-database"
    remedy = "name the server that writes"


_MEANINGS: Final[Mapping[str, tuple[type[StoreError], str]]] = {
    "23505": (ConflictError, "a row is there that must not be"),
    "40001": (ConflictError, "another transaction changed what this one read"),
    "40P01": (ConflictError, "another transaction waits for what this one holds"),
    "53100": (FullDiskError, "the disk that holds the database is full"),
    "53300": (LostDatabaseError, "the server has no connection left"),
    "55P03": (StoreUnavailableError, "another transaction holds what this one needs for too long"),
    "57014": (StoreUnavailableError, "the server took too long"),
    "25006": (ReadOnlyDatabaseError, "the server only reads"),
    "42501": (StoreUnavailableError, "the role lacks a right: see `taskbound db check`"),
    "25P03": (LostDatabaseError, "the server ended a transaction that was left alone"),
}
"""By SQLSTATE."""


def connect(url: str, *, reads: bool = False, application: str = "taskbound") -> Connection:
    """A connection as the store needs it.

    Args:
        url: Where the database is; what it doesn't say, libpq's own settings do.
        reads: Whether it shall refuse to write.
        application: What the server calls it.

    Raises:
        psycopg.Error: It can't be made.
    """
    connection = psycopg.connect(
        url,
        autocommit=True,  # rule 1
        cursor_factory=RawCursor,
        prepare_threshold=0,
        connect_timeout=_CONNECT_SECONDS,  # rule 3
        tcp_user_timeout=10_000,
        keepalives_idle=10,
        keepalives_interval=3,
        keepalives_count=3,
        client_encoding="utf8",
        application_name=application,
    )
    try:
        connection.execute(_SESSION, prepare=False)  # rules 2 to 4
        if reads:
            connection.execute("SET default_transaction_read_only = on", prepare=False)
    except BaseException:
        connection.close()
        raise
    return connection


def place(url: str) -> str:
    """Which server and database a URL names, without anything secret (rule 5)."""
    told = conninfo.conninfo_to_dict(url)
    host = str(told.get("host") or told.get("hostaddr") or "the local socket")
    port = f":{told['port']}" if told.get("port") else ""
    return f"database `{told.get('dbname') or 'of the role'}` at {host}{port}"


def translate(error: BaseException) -> StoreError:
    """The store's error for one of the driver."""
    if lost(error):
        return LostDatabaseError("the database's server can't be reached")
    state = getattr(error, "sqlstate", None) or ""
    kind, words = _MEANINGS.get(
        state, (StoreUnavailableError, f"the database refuses: {_first_line(error)} [{state or 'client'}]")
    )
    return kind(words)


def unopened(error: BaseException) -> StoreError:
    """The store's error for one of the driver, to who opens the database (rule 6)."""
    if not lost(error):
        return translate(error)
    told = next((one for one in str(error).splitlines() if _FATAL in one), "")
    if told:  # the server answered
        return LostDatabaseError(
            f"the database's server lets nobody in: {told.rpartition(_FATAL)[2].strip()}",
            remedy="see whether this database and role are there, and whether `pg_hba.conf` lets the role in",
        )
    reason = _first_line(error).removeprefix("connection failed: ")
    return LostDatabaseError(f"the database's server can't be reached: {reason}")


def lost(error: BaseException | None) -> bool:
    """Whether the connection is gone, so that nobody knows what the server did last."""
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if not state:
        return isinstance(error, psycopg.OperationalError)
    return state.startswith("08") or state in {"57P01", "57P02", "57P03", "57P05", "25P03"}


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
