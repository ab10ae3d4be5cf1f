"""Precompiled statements, value conversions, and the writer's row cache.

Of `link`:

1. The first failure in a transaction is kept, so that work which swallows it cannot commit.
2. A link is unusable after its transaction.
3. A write invalidates cached rows of its table (`RowCache`).

Of `statement`:

One schema serves every engine; at run time a statement is a text and a tuple.

Of `known`:

1. A row is cached only by a transaction that read or wrote it under the write lock.
2. A write invalidates all cached rows of its table; if the table can't be told from the text, all rows.
3. The store keeps a transaction's cache only after it committed. After anything else (conflict, full
   disk, commit without an answer) the cache is empty.
4. A commit by any other connection or process changes SQLite's data version, which the store checks under
   the write lock; then the cache is empty.
5. The cache is bounded.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Protocol, TypeVar, cast

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

    from taskbound.core.policy import ActiveBundle
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.task import TaskHead


T = TypeVar("T")
E = TypeVar("E", bound=TaskboundError)
Value = str | int | bytes | bytearray | None
"""What a column can hold."""

_UNREAD = (ValueError, KeyError, TypeError, msgspec.MsgspecError, MalformedError)


SHARED: Final = "FOR SHARE"
CHANGING: Final = "FOR NO KEY UPDATE"
ALONE: Final = "FOR UPDATE"


class UnreadableRowError(StoreUnavailableError):
    """A row holds values that this program never writes."""

    code = "unreadable-row"
    remedy = "compare the database with a backup; `taskbound audit verify` says whether the log is whole"


class Link(ABC):
    """Runs statements on one connection until its transaction ends; one subclass per engine."""

    __slots__ = ("failure", "known")

    def __init__(self) -> None:
        self.failure: TaskboundError | None = None
        """The first thing that went wrong (rule 1)."""
        self.known: RowCache | None = None
        """What need not be read again; None in a snapshot."""

    @abstractmethod
    def end(self) -> None:
        pass

    @abstractmethod
    def rows(self, text: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        pass

    @abstractmethod
    def change(self, text: str, values: Sequence[Value] = (), *, told: bool = False) -> int:
        """Returns how many rows changed; with `told` the caller invalidates cached rows itself (rule 3)."""

    @abstractmethod
    def change_many(self, text: str, rows: Iterable[Sequence[Value]], *, told: bool = False) -> int:
        pass

    def all(self, read: Callable[..., T], text: str, values: Sequence[Value] = ()) -> tuple[T, ...]:
        """Applies `read` to the columns of each row; raises UnreadableRowError if it fails."""
        return self._read(read, self.rows(text, values))

    def one(self, read: Callable[..., T], text: str, values: Sequence[Value] = ()) -> T | None:
        """Applies `read` to the first row, None without one; raises UnreadableRowError if it fails."""
        found = self.all(read, text, values)
        return found[0] if found else None

    def locked(
        self,
        read: Callable[..., T],
        text: str,
        values: Sequence[Value] = (),
        lock: str = "",  # noqa: ARG002 - for engines with row locks
    ) -> tuple[T, ...]:
        """As `all`, with rows locked by this clause; SQLite's transaction holds the write lock already."""
        return self.all(read, text, values)

    def whole(self, text: str, values: Sequence[Value] = ()) -> int:
        """Returns the integer in the first column of the first row, or 0."""
        for row in self.rows(text, values):
            return int(row[0] or 0)
        return 0

    def conflict(self, what: str) -> NoReturn:
        """Raises ConflictError, and keeps it (rule 1)."""
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


class TableGroup:
    """Related tables, read and written over one link."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link


class Part(Generic[T]):
    """An attribute of a transaction: one group of tables over the transaction's link."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make

    def __get__(self, transaction: _Linked, _owner: type | None = None) -> T:
        return self._make(transaction._link)  # noqa: SLF001 - the transaction's own attribute


class _Linked(Protocol):
    _link: Any


class Statement:
    """Text and parameter order of a Core statement, compiled at first use."""

    def __init__(self, clause: ClauseElement) -> None:
        self._clause = clause

    @cached_property
    def text(self) -> str:
        return str(self._compiled)

    def values(self, **given: Value) -> tuple[Value, ...]:
        """Returns the parameters in order; those not given keep the statement's own value."""
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
    """Compare-and-set writes of rows that have a version."""

    def __init__(self, table: Table, what: str) -> None:
        """Prepares the statements; the primary key names a row, and `what` is its name in errors."""
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
        if expect == 0:
            link.change(self._insert.text, self._insert.values(**columns))
            return
        where = {f"the_{name}": columns[name] for name in self._keys}
        if link.change(self._update.text, self._update.values(expect=expect, **where, **columns)) != 1:
            link.conflict(f"{self._what} `{columns[self._keys[-1]]!s}`")


def given(name: str) -> BindParameter[str]:
    return bindparam(name, type_=Text())


def one_of(name: str) -> Select[tuple[str]]:
    """Selects the texts of a parameter that holds a JSON array."""
    each = func.json_each(bindparam(name)).table_valued("value")
    return select(each.c.value)


_TEXTS: Final = msgspec.json.Decoder(tuple[str, ...])
_JSON: Final = msgspec.json.Encoder()
_BASE: Final = msgspec.json.Decoder(tuple[tuple[str, int], ...])
_SHARES: Final = msgspec.json.Decoder(tuple[tuple[str, str, tuple[tuple[str, int], ...]], ...])
_CEILING: Final = b'"ceiling"'


def bound(raw: bytes) -> bytearray:
    """Wraps bytes so that the driver skips its adapter lookup: 0.1 instead of 3 µs a value."""
    return bytearray(raw)


def json_texts(texts: object) -> str:
    return _JSON.encode(texts).decode()


def read_texts(column: str) -> tuple[str, ...]:
    return _TEXTS.decode(column)


@lru_cache(maxsize=2048)
def read_scope(column: bytes) -> Scope:
    """Decodes a scope column; equal bytes are compiled once."""
    return parse_scope(column)


def write_grantable(grantable: Grantable) -> bytes | None:
    match grantable:
        case Breadth.NOTHING:
            return None
        case Breadth.CEILING:
            return _CEILING
        case Scope():
            return grantable.canonical


def read_grantable(column: bytes | None) -> Grantable:
    if column is None:
        return Breadth.NOTHING
    return Breadth.CEILING if column == _CEILING else read_scope(column)


def write_base(base: tuple[tuple[str, int], ...]) -> str:
    return _JSON.encode(base).decode()


def read_base(column: str) -> tuple[tuple[str, int], ...]:
    return _BASE.decode(column)


def write_shares(shares: tuple[Share, ...]) -> str:
    return _JSON.encode([(one.child, one.parent, one.taken) for one in shares]).decode()


def read_shares(column: str) -> tuple[Share, ...]:
    return tuple(
        [Share(child=child, parent=parent, taken=taken) for child, parent, taken in _SHARES.decode(column)]
    )


def write_spent(spent: tuple[entries.GrantUsage, ...]) -> str:
    """Encodes what a task had spent before its amendment."""
    return json_texts(tuple(map(entries.spent_text, spent)))


@lru_cache(maxsize=2048)
def read_spent(column: str) -> tuple[entries.GrantUsage, ...]:
    """Decodes what a task had spent before its amendment; equal texts are decoded once."""
    return tuple(map(entries.read_spent, read_texts(column)))


V = TypeVar("V")
_MOST: Final = 2048
_WRITES: Final = re.compile(r"\s*(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)\s")


@dataclass(slots=True)
class RowCache:
    """The row cache, by table and key; None marks a row known to be absent."""

    version: int
    """SQLite's data version when this began (rule 4)."""
    agents: dict[tuple[str, str], int | None] = field(default_factory=dict)
    tools: dict[tuple[str, str], int | None] = field(default_factory=dict)
    tasks: dict[tuple[str, str], tuple[TaskHead, ...] | None] = field(default_factory=dict)
    """A task's head, and those of its ancestors."""
    remainders: dict[tuple[str, str], dict[str, int] | None] = field(default_factory=dict)
    kill_switches: dict[str, KillSwitch] = field(default_factory=dict)
    bundles_in_force: dict[str, ActiveBundle] = field(default_factory=dict)
    writers: dict[str, tuple[int, str, int]] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    """Under an empty name: how many there are."""

    def forget(self, text: str) -> None:
        """Invalidates what a write with this text may change (rule 2)."""
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
    found = _WRITES.match(text)
    return found[1] if found else ""


def look_up(
    rows: dict[tuple[str, str], V | None],
    namespace: str,
    names: Collection[str],
    read: Callable[[Collection[str]], Mapping[str, V]],
) -> dict[str, V]:
    """Returns the rows of these names that exist, by name; one call of `read` fetches those not in `rows`."""
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
