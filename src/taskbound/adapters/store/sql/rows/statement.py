"""Statements of SQLAlchemy Core, compiled once to the driver's own text.

One schema serves every engine; what runs per call is a text and a tuple.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

from sqlalchemy import Text, bindparam, func, insert, select, update
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import BindParameter, Select, Table
    from sqlalchemy.sql import ClauseElement
    from sqlalchemy.sql.compiler import SQLCompiler

    from taskbound.adapters.store.sql.rows.link import Link, Value


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
