"""The table of the feed's entries, of its last hour; see the rules of the schema.

1. A row is written with its record's place, in one transaction, and says what the record says.
2. It has no namespace in its key, like the log: its place is one of all namespaces.
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
