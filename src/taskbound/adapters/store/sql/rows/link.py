"""One connection of a driver within one transaction: statements in, rows out, our errors for the driver's.

1. What failed once within a transaction is remembered, so that work which swallows
   an error can't commit what it did before.
2. A link is of no use after its transaction: what kept it reads nothing of another.
3. What a transaction writes is no longer known as it was before (`rows/known.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NoReturn, TypeVar

import msgspec

from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.ports.store import ConflictError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from taskbound.adapters.store.sql.rows.known import Known


T = TypeVar("T")
E = TypeVar("E", bound=TaskboundError)
Value = str | int | bytes | bytearray | None
"""What a column can hold."""

_UNREAD = (ValueError, KeyError, TypeError, msgspec.MsgspecError, MalformedError)


class UnreadableRowError(StoreUnavailableError):
    """A row holds what nothing of ours wrote there."""

    code = "unreadable-row"
    remedy = "compare the database with a backup; `taskbound audit verify` says whether the log is whole"


class Link(ABC):
    """Runs statements on one connection, until it is ended; each engine has its own."""

    __slots__ = ("failure", "known")

    def __init__(self) -> None:
        """Begin with nothing gone wrong."""
        self.failure: TaskboundError | None = None
        """The first thing that went wrong (rule 1)."""
        self.known: Known | None = None
        """What need not be read again; None in a snapshot."""

    @abstractmethod
    def end(self) -> None:
        """Be of no further use (rule 2)."""

    @abstractmethod
    def rows(self, text: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """All rows."""

    @abstractmethod
    def change(self, text: str, values: Sequence[Value] = (), *, told: bool = False) -> int:
        """How many rows changed; `told` when the caller sees to what is known of them (rule 3)."""

    @abstractmethod
    def change_many(self, text: str, rows: Iterable[Sequence[Value]], *, told: bool = False) -> int:
        """How many rows changed over all executions of one statement; `told` as in `change`."""

    def all(self, read: Callable[..., T], text: str, values: Sequence[Value] = ()) -> tuple[T, ...]:
        """What `read` makes of the columns of each row.

        Raises:
            UnreadableRowError: It can make nothing of one.
        """
        return self._read(read, self.rows(text, values))

    def one(self, read: Callable[..., T], text: str, values: Sequence[Value] = ()) -> T | None:
        """What `read` makes of the columns of the first row; None when there is none.

        Raises:
            UnreadableRowError: It can make nothing of it.
        """
        found = self.all(read, text, values)
        return found[0] if found else None

    def whole(self, text: str, values: Sequence[Value] = ()) -> int:
        """The number in the first column of the first row; 0 when there is none."""
        for row in self.rows(text, values):
            return int(row[0] or 0)
        return 0

    def conflict(self, what: str) -> NoReturn:
        """Refuse, and remember it (rule 1).

        Raises:
            ConflictError: Always.
        """
        raise self._fail(ConflictError(f"{what} is not what it was when it was read"))

    def _read(self, read: Callable[..., T], rows: Iterable[tuple[Value, ...]]) -> tuple[T, ...]:
        try:
            return tuple([read(*row) for row in rows])
        except _UNREAD as error:
            raise UnreadableRowError(f"a row of the database can't be read: {error}") from error

    def _fail(self, error: E) -> E:
        if self.failure is None:
            self.failure = error
        return error
