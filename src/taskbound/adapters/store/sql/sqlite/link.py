"""The link of SQLite: each statement runs at once, on the one connection that writes or on a reader's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.adapters.store.sql.rows.link import Link
from taskbound.adapters.store.sql.sqlite.driver import driver, translate
from taskbound.ports.store import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskbound.adapters.store.sql.rows.link import Value


_UNKEPT = (driver.Error, OverflowError, UnicodeError)


class SqliteLink(Link):
    """Runs statements on one connection, until it is ended."""

    __slots__ = ("_connection",)

    def __init__(self, connection: driver.Connection) -> None:
        """Speak to this connection."""
        super().__init__()
        self._connection: driver.Connection | None = connection

    def end(self) -> None:
        """Be of no further use."""
        self._connection = None

    def rows(self, text: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """All rows."""
        try:
            return self._live().execute(text, values).fetchall()
        except _UNKEPT as error:
            raise self._fail(translate(error)) from error

    def change(self, text: str, values: Sequence[Value] = (), *, told: bool = False) -> int:
        """How many rows changed; `told` when the caller sees to what is known of them."""
        if self.known is not None and not told:
            self.known.forget(text)
        try:
            return self._live().execute(text, values).rowcount
        except _UNKEPT as error:
            raise self._fail(translate(error)) from error

    def change_many(self, text: str, rows: Iterable[Sequence[Value]], *, told: bool = False) -> int:
        """How many rows changed over all executions of one statement; `told` as in `change`."""
        if self.known is not None and not told:
            self.known.forget(text)
        try:
            return self._live().executemany(text, rows).rowcount
        except _UNKEPT as error:
            raise self._fail(translate(error)) from error

    def _live(self) -> driver.Connection:
        if self._connection is None:
            raise StoreUnavailableError("this snapshot or transaction has ended")
        return self._connection
