"""The PostgreSQL driver: one connection in one transaction, and commits with an unknown outcome.

Of `link`:

1. The first failure in a transaction is kept and raised again: a server refuses everything after an
   error, so work that swallows one cannot commit.
2. A link is unusable after its transaction.
3. Writes whose result is not read are queued and sent with the next statement in one round trip. Each
   says how many rows it must change; any other count is a conflict.
4. Transactions that read without a row lock exclude each other across machines, so what they read holds
   until they write. The exclusion must be taken before any row lock, or two could deadlock: if the need
   shows too late, the transaction ends and runs again, exclusive from its start.
5. Statements are shared with SQLite; `_ours` translates them.
6. A text column cannot hold NUL; it is encoded as two other characters, and text order is preserved.

Of `driver`:

1. We begin and end transactions ourselves (`autocommit`), at READ COMMITTED with row locks; nothing
   relies on SERIALIZABLE.
2. A commit is durable when it returns: never with `synchronous_commit` off or local, and never on a
   server that doesn't sync (`opening`).
3. Connecting, statements, locks and idle transactions each have a time limit.
4. The search path holds our schema only, so no other table or function can shadow ours.
5. Our error texts name the server, never the address with its password.
6. The reason why a database can't be opened is passed on to the process that opens it. Later callers,
   remote agents among them, only learn that the database was lost.

Of `unsettled`:

1. A transaction that still runs may commit later, so its connection is terminated first.
2. If the server never issued this transaction id, it lost the transaction: it did not commit.
"""

from __future__ import annotations

import re
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, TypeVar, cast

import psycopg
from psycopg import conninfo
from psycopg.raw_cursor import RawCursor

from taskbound.adapters.store.sql.rows import Link
from taskbound.core.dataclass import dataclass
from taskbound.ports.store import ConflictError, FullDiskError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from psycopg import Cursor

    from taskbound.adapters.store.sql.rows import Value


Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"
StoreError: TypeAlias = StoreUnavailableError | ConflictError | FullDiskError
"""What an error of the driver can be."""

SCHEMA: Final = "taskbound"
"""Every table of ours lies in it."""

_CONNECT_SECONDS: Final = 5
_FATAL: Final = "FATAL:"
"""The prefix of a server's reason for refusing a login."""
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
    """The database server can't be reached, or the connection broke during a transaction."""

    code = "database-lost"
    remedy = "see whether the server runs; what was not acknowledged did not happen, or is looked up"


class ReadOnlyDatabaseError(StoreUnavailableError):
    """The database server is read-only: a standby, or configured so."""

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
    """Returns a connection configured for the store; raises psycopg.Error. With `reads` it refuses writes."""
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
    """Returns server and database of a URL, without secrets (rule 5)."""
    told = conninfo.conninfo_to_dict(url)
    host = str(told.get("host") or told.get("hostaddr") or "the local socket")
    port = f":{told['port']}" if told.get("port") else ""
    return f"database `{told.get('dbname') or 'of the role'}` at {host}{port}"


def translate(error: BaseException) -> StoreError:
    if lost(error):
        return LostDatabaseError("the database's server can't be reached")
    state = getattr(error, "sqlstate", None) or ""
    kind, words = _MEANINGS.get(
        state, (StoreUnavailableError, f"the database refuses: {_first_line(error)} [{state or 'client'}]")
    )
    return kind(words)


def unopened(error: BaseException) -> StoreError:
    """Maps a driver error while the database is opened, with the server's own reason (rule 6)."""
    if not lost(error):
        return translate(error)
    told = next((one for one in str(error).splitlines() if _FATAL in one), "")
    if told:  # the server answered
        return LostDatabaseError(
            f"the database server refuses the login: {told.rpartition(_FATAL)[2].strip()}",
            remedy="see whether this database and role are there, and whether `pg_hba.conf` lets the role in",
        )
    reason = _first_line(error).removeprefix("connection failed: ")
    return LostDatabaseError(f"the database's server can't be reached: {reason}")


def lost(error: BaseException | None) -> bool:
    """Returns whether the connection is gone, so that the last statement's outcome is unknown."""
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if not state:
        return isinstance(error, psycopg.OperationalError)
    return state.startswith("08") or state in {"57P01", "57P02", "57P03", "57P05", "25P03"}


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


T = TypeVar("T")

ALONE: Final = 0x5442_6E64_0001
"""The advisory lock of rule 4."""
_ALONE: Final = f"SELECT pg_advisory_xact_lock({ALONE})"

_UNKEPT = (psycopg.Error, OverflowError, UnicodeError)
_MARKS: Final = re.compile(r"json_each\(\?(\d*)\)|\?(\d*)| INDEXED BY \w+")


class _Told(NamedTuple):
    text: str
    values: Sequence[Value] = ()
    rows: int | None = None
    what: str = ""


class PostgresLink(Link):
    """Runs statements on one connection until its transaction ends."""

    __slots__ = ("_alone", "_begun", "_connection", "_waiting", "late")

    def __init__(self, connection: Connection, *begin: str, writes: bool, alone: bool = False) -> None:
        """Wraps an idle connection; `begin` goes with the first statement, `alone` is rule 4."""
        super().__init__()
        self._connection: Connection | None = connection
        self._waiting = [_Told(text) for text in begin]
        if alone:
            self._waiting.append(_Told(_ALONE))
        self._alone = alone or not writes
        self._begun = len(self._waiting)
        self.late = False
        """Whether it would have been alone only after it had locked something (rule 4)."""

    def end(self) -> None:
        self._connection = None

    def rows(self, text: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """Returns all rows, read without a row lock (rule 4)."""
        if not self._alone and self._connection is not None:
            if self._begun != len(self._waiting):
                self.late = True
                raise self._fail(ConflictError("what it reads may change: it runs again, alone"))
            self._alone = True
            self._waiting.append(_Told(_ALONE))
        return self._run(text, values)

    def locked(
        self, read: Callable[..., T], text: str, values: Sequence[Value] = (), lock: str = ""
    ) -> tuple[T, ...]:
        """Applies `read` to rows that the statement itself, or this clause, locks."""
        return self._read(read, self._run(f"{text} {lock}" if lock else text, values))

    def change(
        self,
        text: str,
        values: Sequence[Value] = (),
        *,
        told: bool = False,  # noqa: ARG002 - nothing is known here from one transaction to the next
    ) -> int:
        return self._send([_Told(text, values)])[-1].rowcount

    def change_many(
        self,
        text: str,
        rows: Iterable[Sequence[Value]],
        *,
        told: bool = False,  # noqa: ARG002 - as in `change`
    ) -> int:
        sent = [_Told(text, one) for one in rows]
        return sum(one.rowcount for one in self._send(sent)[-len(sent) :]) if sent else 0

    def later(self, text: str, values: Sequence[Value], *, rows: int | None = None, what: str = "") -> None:
        """Queues a write (rule 3) that must change `rows` rows; `what` names them in a conflict."""
        self._waiting.append(_Told(text, values, rows, what))

    def finish(self) -> None:
        """Sends all queued writes; raises the first failure of the transaction."""
        self._send([])
        if self.failure is not None:
            raise self.failure

    def _run(self, text: str, values: Sequence[Value]) -> list[tuple[Value, ...]]:
        cursor = self._send([_Told(text, values)])[-1]
        try:
            rows = cast("list[tuple[Value, ...]]", cursor.fetchall())
        except _UNKEPT as error:
            raise self._fail(translate(error)) from error
        return [tuple([read_text(one) if isinstance(one, str) else one for one in row]) for row in rows]

    def _send(self, more: list[_Told]) -> list[Cursor[tuple[object, ...]]]:
        connection = self._live()
        if self.failure is not None:
            raise self.failure  # rule 1
        told = [*self._waiting, *more]
        self._waiting, self._begun = [], -1
        try:
            if len(told) == 1:
                cursors = [_execute(connection, told[0])]
            else:
                with connection.pipeline():
                    cursors = [_execute(connection, one) for one in told]
        except _UNKEPT as error:
            raise self._fail(translate(error)) from error
        for cursor, one in zip(cursors, told, strict=True):
            if one.rows is not None and cursor.rowcount != one.rows:
                self.conflict(one.what)
        return cursors

    def _live(self) -> Connection:
        if self._connection is None:
            raise StoreUnavailableError("this snapshot or transaction has ended")
        return self._connection


def _execute(connection: Connection, told: _Told) -> Cursor[tuple[object, ...]]:
    values = [write_text(one) if isinstance(one, str) else one for one in told.values]
    return connection.cursor(binary=True).execute(_ours(told.text), values or None)


@lru_cache(maxsize=1024)
def _ours(text: str) -> str:
    """Translates a shared statement: numbered parameters, no JSON or index hints of SQLite (rule 5)."""
    number = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal number
        if found[0].startswith(" INDEXED"):
            return ""  # the planner's own affair here
        said = found[1] or found[2]
        if not said:
            number += 1
        name = f"${said or number}"
        return f"json_array_elements_text({name}::json)" if found[0].startswith("json") else name

    return _MARKS.sub(mark, text)


def write_text(text: str) -> str:
    if "\x00" in text or "\x01" in text:
        return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
    return text


def read_text(column: str) -> str:
    if "\x01" in column:
        return column.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01")
    return column


def write_texts(texts: Iterable[str]) -> str:
    """Formats texts as an array literal for `$1::text[]`; rule 6 is applied where it is sent."""
    quoted = [one.replace("\\", "\\\\").replace('"', '\\"') for one in texts]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"


def write_wholes(numbers: Iterable[int | None]) -> str:
    return "{" + ",".join(["NULL" if one is None else str(one) for one in numbers]) + "}"


def write_bytes(several: Iterable[bytes | None]) -> str:
    return "{" + ",".join(["NULL" if one is None else f'"\\\\x{one.hex()}"' for one in several]) + "}"


_END: Final = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = $1 AND backend_xid::text = $2
"""
_STATUS: Final = "SELECT pg_xact_status($1::xid8)"
_WIDTH: Final = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A transaction whose COMMIT was sent and not acknowledged."""

    xid: str
    """Its id, with the epoch."""
    backend: int
    """The server's process that ran it."""
    grown: Mapping[str, int] = field(default_factory=dict)
    """How far our chains are, by writer, if it committed."""

    def settle(self, connection: Connection) -> bool:
        """Returns whether it committed, once it has ended; raises StoreUnavailableError if it runs on."""
        short = str(int(self.xid) % _WIDTH)  # as `pg_stat_activity` shows it
        connection.execute(_END, (self.backend, short)).fetchall()  # 1
        try:
            found = connection.execute(_STATUS, (self.xid,)).fetchone()
        except psycopg.errors.InvalidParameterValue:  # 2
            return False
        if found is not None and found[0] == "in progress":
            raise StoreUnavailableError("a commit that was not answered has not ended yet")
        return found is not None and found[0] == "committed"
