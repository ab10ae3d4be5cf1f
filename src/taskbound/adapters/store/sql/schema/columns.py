"""Column and index constructors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Text, text
from sqlalchemy.schema import CreateIndex

if TYPE_CHECKING:
    from sqlalchemy import Dialect


METADATA: Final = MetaData()

TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared by code points, like everything else that compares texts here."""
WHOLE: Final = BigInteger().with_variant(Integer(), "sqlite")


def text_column(name: str) -> Column[str]:
    return Column(name, TEXT, nullable=False)


def whole_column(name: str) -> Column[int]:
    return Column(name, WHOLE, nullable=False)


def bytes_column(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where))


def create_index(index: Index, dialect: Dialect) -> str:
    """Returns the statement that creates an index of `METADATA`."""
    where = index.kwargs.get("sqlite_where")
    if where is not None and dialect.name == "postgresql":
        # Not in the table: PostgreSQL's dialect is loaded at its first keyword, by all who use SQLite too.
        index.kwargs["postgresql_where"] = where
    return str(CreateIndex(index).compile(dialect=dialect))
