"""The table of the feed's entries of the last hour.

1. A row is written in the transaction that gives its record a place, with the record's content.
2. Like the log, its key has no namespace: places are shared by all namespaces.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Table

from taskbound.adapters.store.sql.schema.columns import METADATA, WHOLE, text_column, whole_column

revocations: Final = Table(
    "revocations",
    METADATA,
    Column("place", WHOLE, primary_key=True, autoincrement=False),
    whole_column("at"),
    text_column("namespace"),
    text_column("about"),
    text_column("id"),
    text_column("turn"),
    Index("revocations_by_instant", "at"),
    sqlite_strict=True,
)
