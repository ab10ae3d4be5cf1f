"""Statements compiled once, their values, and what a writing connection knows of rows.

Of `link`:

1. What failed once within a transaction is remembered, so that work which swallows
   an error can't commit what it did before.
2. A link is of no use after its transaction: what kept it reads nothing of another.
3. What a transaction writes is no longer known as it was before (`rows/known.py`).

Of `statement`:

One schema serves every engine; what runs per call is a text and a tuple.

Of `known`:

1. A row is known only from a transaction that read or wrote it under the write lock.
2. A write forgets all that is known of its table, whoever asks for it; one whose table
   can't be told from its text forgets everything.
3. The store keeps what a transaction knew only once that has committed. After anything
   else (a conflict, a full disk, a commit without an answer) nothing is known.
4. A commit of any other connection, of this process or another, shows in SQLite's data
   version, which the store asks for under the write lock: after it nothing is known.
5. What is known is bounded.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, cast

import msgspec
from sqlalchemy import Text, bindparam, func, insert, select, update
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.identity import Breadth, Grantable
from taskbound.core.scope import Scope, parse_scope
from taskbound.core.scope.algebra import Share
from taskbound.core.task import spent as entries
from taskbound.ports.store import ConflictError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy import BindParameter, Select, Table
    from sqlalchemy.sql import ClauseElement
    from sqlalchemy.sql.compiler import SQLCompiler

    from taskbound.core.policy import InForce
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.task import TaskHead


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


class Statement:
    """Text and order of parameters of a Core statement; compiled at its first use."""

    def __init__(self, clause: ClauseElement) -> None:
        """Keep the statement."""
        self._clause = clause

    @cached_property
    def text(self) -> str:
        """What the driver is given."""
        return str(self._compiled)

    def values(self, **given: Value) -> tuple[Value, ...]:
        """The parameters in order, what is not given as the statement itself has it."""
        return tuple([given.get(name, own) for name, own in self._parameters])

    @cached_property
    def _compiled(self) -> SQLCompiler:
        compiled = self._clause.compile(dialect=SQLiteDialect(paramstyle="qmark"))
        return cast("SQLCompiler", compiled)

    @cached_property
    def _parameters(self) -> tuple[tuple[str, Value], ...]:
        own: Mapping[str, Value] = self._compiled.params
        return tuple((name, own[name]) for name in self._compiled.positiontup or ())


class Versioned:
    """Rows with a version that are written compare-and-set."""

    def __init__(self, table: Table, what: str) -> None:
        """Make the statements of a table.

        Args:
            table: Its primary key names the row.
            what: How an error calls a row.
        """
        keys = tuple(table.primary_key.columns)
        self._keys = tuple(one.name for one in keys)
        self._what = what
        self._insert = Statement(insert(table))
        self._update = Statement(
            update(table)
            .where(*(one == bindparam(f"the_{one.name}") for one in keys))
            .where(table.c.version == bindparam("expect"))
            .values({one.name: bindparam(one.name) for one in table.columns if not one.primary_key})
        )

    def put(self, link: Link, expect: int, **columns: Value) -> None:
        """Write a row whose version is `expect`; 0 for one that is not there.

        Raises:
            ConflictError: The version is another one.
        """
        if expect == 0:
            link.change(self._insert.text, self._insert.values(**columns))
            return
        where = {f"the_{name}": columns[name] for name in self._keys}
        if link.change(self._update.text, self._update.values(expect=expect, **where, **columns)) != 1:
            link.conflict(f"{self._what} `{columns[self._keys[-1]]!s}`")


def given(name: str) -> BindParameter[str]:
    """A parameter of this name."""
    return bindparam(name, type_=Text())


def one_of(name: str) -> Select[tuple[str]]:
    """The texts of a parameter that holds them as a JSON array."""
    each = func.json_each(bindparam(name)).table_valued("value")
    return select(each.c.value)


_TEXTS: Final = msgspec.json.Decoder(tuple[str, ...])
_JSON: Final = msgspec.json.Encoder()
_BASE: Final = msgspec.json.Decoder(tuple[tuple[str, int], ...])
_SHARES: Final = msgspec.json.Decoder(tuple[tuple[str, str, tuple[tuple[str, int], ...]], ...])
_CEILING: Final = b'"ceiling"'


def bound(raw: bytes) -> bytearray:
    """Bytes as the driver takes them without asking what they adapt to: 0.1 instead of 3 µs a value."""
    return bytearray(raw)


def json_texts(texts: object) -> str:
    """Texts, or sequences of them, as JSON."""
    return _JSON.encode(texts).decode()


def read_texts(column: str) -> tuple[str, ...]:
    """The texts of a column."""
    return _TEXTS.decode(column)


@lru_cache(maxsize=2048)
def read_scope(column: bytes) -> Scope:
    """The scope of a column; one that was read before is not compiled again."""
    return parse_scope(column)


def write_grantable(grantable: Grantable) -> bytes | None:
    """What somebody may grant, for a column."""
    match grantable:
        case Breadth.NOTHING:
            return None
        case Breadth.CEILING:
            return _CEILING
        case Scope():
            return grantable.canonical


def read_grantable(column: bytes | None) -> Grantable:
    """What somebody may grant, of a column."""
    if column is None:
        return Breadth.NOTHING
    return Breadth.CEILING if column == _CEILING else read_scope(column)


def write_base(base: tuple[tuple[str, int], ...]) -> str:
    """Amounts by limit, as what each limit of a child held when it was carved, for a column."""
    return _JSON.encode(base).decode()


def read_base(column: str) -> tuple[tuple[str, int], ...]:
    """Amounts by limit, of a column."""
    return _BASE.decode(column)


def write_shares(shares: tuple[Share, ...]) -> str:
    """What the grants of a child are charged to, for a column."""
    return _JSON.encode([(one.child, one.parent, one.taken) for one in shares]).decode()


def read_shares(column: str) -> tuple[Share, ...]:
    """What the grants of a child are charged to, of a column."""
    return tuple(
        [Share(child=child, parent=parent, taken=taken) for child, parent, taken in _SHARES.decode(column)]
    )


def write_spent(spent: tuple[entries.Spent, ...]) -> str:
    """What was spent of a task before its amendment, for a column."""
    return json_texts(tuple(map(entries.spent_text, spent)))


@lru_cache(maxsize=2048)
def read_spent(column: str) -> tuple[entries.Spent, ...]:
    """What was spent of a task before its amendment, of a column; one that was read is not compiled again."""
    return tuple(map(entries.read_spent, read_texts(column)))


V = TypeVar("V")
_MOST: Final = 2048
_WRITES: Final = re.compile(r"\s*(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)\s")


@dataclass(slots=True)
class Known:
    """By table and key: rows as the transaction would read them; None where no row is."""

    version: int
    """SQLite's data version when this began (rule 4)."""
    agents: dict[tuple[str, str], int | None] = field(default_factory=dict)
    tools: dict[tuple[str, str], int | None] = field(default_factory=dict)
    tasks: dict[tuple[str, str], tuple[TaskHead, ...] | None] = field(default_factory=dict)
    """A task's head, and those of its ancestors."""
    remainders: dict[tuple[str, str], dict[str, int] | None] = field(default_factory=dict)
    kill_switches: dict[str, KillSwitch] = field(default_factory=dict)
    bundles_in_force: dict[str, InForce] = field(default_factory=dict)
    writers: dict[str, tuple[int, str, int]] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    """Under an empty name: how many there are."""

    def forget(self, text: str) -> None:
        """A statement of this text writes (rule 2)."""
        table = _table(text)
        for name in (table,) if table else _TABLES:
            rows = getattr(self, name, None)
            if rows is not None:
                rows.clear()


_TABLES: Final = (
    "agents", "tools", "tasks", "remainders", "kill_switches", "bundles_in_force", "writers", "records",
)  # fmt: skip  # a list of words reads better as words


@lru_cache(maxsize=256)
def _table(text: str) -> str:
    """The table that a statement writes; empty when that can't be told."""
    found = _WRITES.match(text)
    return found[1] if found else ""


def look_up(
    rows: dict[tuple[str, str], V | None],
    namespace: str,
    names: Collection[str],
    read: Callable[[Collection[str]], Mapping[str, V]],
) -> dict[str, V]:
    """By name: the rows of these names that there are; what is not known is read, all of it at once.

    Args:
        rows: What is known of their table.
        namespace: Of all the names.
        names: Of rows.
        read: Answers the rows of names.
    """
    found: dict[str, V] = {}
    missing: list[str] = []
    for name in names:
        key = (namespace, name)
        if key in rows:
            row = rows[key]
            if row is not None:
                found[name] = row
        else:
            missing.append(name)
    if missing:
        fresh = read(missing)
        if len(rows) + len(missing) > _MOST:
            rows.clear()  # 5
        for name in missing:
            rows[namespace, name] = fresh.get(name)
        found.update(fresh)
    return found
