"""The driver of PostgreSQL: a connection within one transaction, and a commit whose end is unknown.

Of `link`:

1. What failed once within a transaction is remembered and told again: a server
   refuses everything after an error, and work which swallows one can't commit.
2. A link is of no use after its transaction: what kept it reads nothing of another.
3. Writes of which nothing is read wait, and go with the next statement in one turn;
   each says how many rows it must change, and another number is a conflict.
4. A transaction that reads without a lock is alone among those that do, on whatever
   machine they run: what it read is still so when it writes. It is alone before it locks a row, or two
   would wait for each other: where it turns out to be late, it ends and runs again, alone from its beginning.
5. The words of the store share their statements with SQLite; `_ours` writes them as this engine does.
6. Texts can't hold a zero character here; it is kept as two others, and the order of texts stays.

Of `driver`:

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

Of `unsettled`:

1. A transaction that still runs there may commit later: its connection is ended first.
2. A server that never gave out this id has lost the transaction: it did not happen there.
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


T = TypeVar("T")

ALONE: Final = 0x5442_6E64_0001
"""The advisory lock of rule 4."""
_ALONE: Final = f"SELECT pg_advisory_xact_lock({ALONE})"

_UNKEPT = (psycopg.Error, OverflowError, UnicodeError)
_MARKS: Final = re.compile(r"json_each\(\?(\d*)\)|\?(\d*)| INDEXED BY \w+")


class _Told(NamedTuple):
    """A statement on its way."""

    text: str
    values: Sequence[Value] = ()
    rows: int | None = None
    what: str = ""


class PostgresLink(Link):
    """Runs statements on one connection, until it is ended."""

    __slots__ = ("_alone", "_begun", "_connection", "_waiting", "late")

    def __init__(self, connection: Connection, *begin: str, writes: bool, alone: bool = False) -> None:
        """Speak to this connection.

        Args:
            connection: It is in no transaction.
            begin: What begins one; it goes with the first statement.
            writes: Whether this is a transaction, and no snapshot.
            alone: Whether it is alone from its beginning (rule 4).
        """
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
        """Be of no further use (rule 2)."""
        self._connection = None

    def rows(self, text: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """All rows, read without a lock of their own (rule 4)."""
        if not self._alone and self._connection is not None:
            if self._begun != len(self._waiting):
                self.late = True
                raise self._fail(ConflictError("what it reads may change: it runs again, alone"))
            self._alone = True
            self._waiting.append(_Told(_ALONE))
        return self._run(text, values)

    def locked(self, read: Callable[..., T], text: str, values: Sequence[Value] = ()) -> tuple[T, ...]:
        """What `read` makes of rows that the statement itself locks."""
        return self._read(read, self._run(text, values))

    def change(
        self,
        text: str,
        values: Sequence[Value] = (),
        *,
        told: bool = False,  # noqa: ARG002 - nothing is known here from one transaction to the next
    ) -> int:
        """How many rows changed."""
        return self._send([_Told(text, values)])[-1].rowcount

    def change_many(
        self,
        text: str,
        rows: Iterable[Sequence[Value]],
        *,
        told: bool = False,  # noqa: ARG002 - as in `change`
    ) -> int:
        """How many rows changed over all executions of one statement, which go in one turn."""
        sent = [_Told(text, one) for one in rows]
        return sum(one.rowcount for one in self._send(sent)[-len(sent) :]) if sent else 0

    def later(self, text: str, values: Sequence[Value], *, rows: int | None = None, what: str = "") -> None:
        """Write with the next statement (rule 3).

        Args:
            text: The statement.
            values: Its parameters.
            rows: How many it must change, if that is known.
            what: How a conflict calls them.
        """
        self._waiting.append(_Told(text, values, rows, what))

    def finish(self) -> None:
        """Send all that waits.

        Raises:
            TaskboundError: What failed first.
        """
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
        """Send what waits and this, in one turn; the cursors of all."""
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
    """The statement as this engine writes it (rule 5): numbered parameters, no JSON of SQLite, no index."""
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
    """The text as a column can hold it (rule 6)."""
    if "\x00" in text or "\x01" in text:
        return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
    return text


def read_text(column: str) -> str:
    """The text of a column."""
    if "\x01" in column:
        return column.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01")
    return column


def write_texts(texts: Iterable[str]) -> str:
    """Texts as an array of this engine, `$1::text[]`; rule 6 is kept where it is sent."""
    quoted = [one.replace("\\", "\\\\").replace('"', '\\"') for one in texts]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"


def write_wholes(numbers: Iterable[int | None]) -> str:
    """Whole numbers as an array, `$1::bigint[]`."""
    return "{" + ",".join(["NULL" if one is None else str(one) for one in numbers]) + "}"


def write_bytes(several: Iterable[bytes | None]) -> str:
    """Bytes as an array, `$1::bytea[]`."""
    return "{" + ",".join(["NULL" if one is None else f'"\\\\x{one.hex()}"' for one in several]) + "}"


_END: Final = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = $1 AND backend_xid::text = $2
"""
_STATUS: Final = "SELECT pg_xact_status($1::xid8)"
_WIDTH: Final = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A transaction whose COMMIT was sent and not answered."""

    xid: str
    """Its id, with the epoch."""
    backend: int
    """The server's process that ran it."""
    grown: Mapping[str, int] = field(default_factory=dict)
    """How far our chains are, by writer, if it committed."""

    def settle(self, connection: Connection) -> bool:
        """Whether it committed; once this returns it has ended.

        Raises:
            StoreUnavailableError: It still runs.
            psycopg.Error: The server can't be asked.
        """
        short = str(int(self.xid) % _WIDTH)  # as `pg_stat_activity` shows it
        connection.execute(_END, (self.backend, short)).fetchall()  # 1
        try:
            found = connection.execute(_STATUS, (self.xid,)).fetchone()
        except psycopg.errors.InvalidParameterValue:  # 2
            return False
        if found is not None and found[0] == "in progress":
            raise StoreUnavailableError("a commit that was not answered has not ended yet")
        return found is not None and found[0] == "committed"
