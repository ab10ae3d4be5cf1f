"""Maps rows to values and back; reader and writer are compiled, so a read costs one constructor call."""

from __future__ import annotations

from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, cast

from sqlalchemy import insert

from taskbound.adapters.store.sql.rows import (
    Statement,
    Versioned,
    json_texts,
    read_grantable,
    read_scope,
    read_texts,
    write_grantable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from enum import Enum

    from sqlalchemy import Table

    from taskbound.adapters.store.sql.rows import Link, Value

T = TypeVar("T")


class Form(NamedTuple):
    """How a column differs from the field that it holds; None leaves the value unchanged."""

    read: Callable[[Any], object] | None = None
    write: Callable[[Any], Value] | None = None
    field: str = ""
    """The field's name, if it is not the column's."""


FLAG: Final = Form(bool, int)
BYTES: Final = Form(bytes)
TEXTS: Final = Form(read_texts, json_texts)
SCOPE: Final = Form(read_scope, attrgetter("canonical"))
GRANTABLE: Final = Form(read_grantable, write_grantable)
ENDED: Final = Form(lambda column: column or None, lambda at: at or 0)
"""An instant; 0 for None."""


def enum(kind: type[Enum]) -> Form:
    return Form(kind, attrgetter("value"))


def reader(columns: str, made: Callable[..., T], **forms: Form) -> Callable[..., T]:
    """Returns a function that makes a value from these columns of a row, given in their order."""
    return _compiled(columns.split(), made, forms)[0]


class Record(Generic[T]):
    """The rows of one table as values of one class."""

    def __init__(self, table: Table, made: Callable[..., T], what: str = "", **forms: Form) -> None:
        """Columns without a form are fields of their own names; `what` names a row in errors."""
        self._table, self._what = table, what
        self.read, self.write = _compiled([one.name for one in table.columns], made, forms)

    def insert(self, link: Link, value: T) -> None:
        link.change(self._insert.text, self._insert.values(**self.write(value)))

    def put(self, link: Link, value: T, expect: int) -> None:
        """Writes a row whose version is `expect` (0: absent); raises ConflictError otherwise."""
        self._versioned.put(link, expect, **self.write(value))

    @cached_property
    def _insert(self) -> Statement:
        return Statement(insert(self._table))

    @cached_property
    def _versioned(self) -> Versioned:
        return Versioned(self._table, self._what)


def _compiled(
    columns: Sequence[str], made: Callable[..., T], forms: dict[str, Form]
) -> tuple[Callable[..., T], Callable[[T], dict[str, Value]]]:
    if unknown := forms.keys() - set(columns):
        raise ValueError(f"no such columns: {', '.join(unknown)}")
    known: dict[str, object] = {"made": made}
    arguments, pairs = [], []
    for number, column in enumerate(columns):
        form = forms.get(column, Form())
        field = form.field or column
        known[f"r{number}"], known[f"w{number}"] = form.read, form.write
        arguments.append(f"{field}=c{number}" if form.read is None else f"{field}=r{number}(c{number})")
        value = f"value.{field}" if form.write is None else f"w{number}(value.{field})"
        pairs.append(f"{column!r}: {value}")
    names = ", ".join(f"c{number}" for number in range(len(columns)))
    read = eval(f"lambda {names}: made({', '.join(arguments)})", known)  # noqa: S307 - our own names
    write = eval(f"lambda value: {{{', '.join(pairs)}}}", known)  # noqa: S307 - our own names
    return cast("Callable[..., T]", read), cast("Callable[[T], dict[str, Value]]", write)
