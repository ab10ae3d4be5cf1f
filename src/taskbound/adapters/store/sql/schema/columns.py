"""What every table is made of: columns by kind, each never null, and indexes over a part of the rows."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Text, text

METADATA: Final = MetaData()

TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared by code points, like everything else that compares texts here."""
WHOLE: Final = BigInteger().with_variant(Integer(), "sqlite")


def text_column(name: str) -> Column[str]:
    """A text, never null."""
    return Column(name, TEXT, nullable=False)


def whole_column(name: str) -> Column[int]:
    """A whole number, never null."""
    return Column(name, WHOLE, nullable=False)


def bytes_column(name: str) -> Column[bytes]:
    """Bytes, never null."""
    return Column(name, LargeBinary, nullable=False)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index over the rows of which this is so."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))
