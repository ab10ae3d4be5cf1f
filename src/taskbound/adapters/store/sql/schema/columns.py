"""Column and index constructors."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Text, text

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
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))
