"""One connection of the driver within one transaction: statements in, rows out, our errors for the driver's.

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
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, cast

import psycopg

from taskbound.adapters.store.postgres.server.driver import translate
from taskbound.adapters.store.sql.rows.link import Link
from taskbound.ports.store import ConflictError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from psycopg import Cursor

    from taskbound.adapters.store.postgres.server.driver import Connection
    from taskbound.adapters.store.sql.rows.link import Value


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
