"""Tables of policy bundles and of feed entries, which the transaction that places their record writes."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table

from taskbound.adapters.store.sql.schema.columns import (
    METADATA,
    WHOLE,
    bytes_column,
    text_column,
    whole_column,
)

bundles: Final = Table(
    "bundles",
    METADATA,
    text_column("namespace"),
    text_column("digest"),
    bytes_column("archive"),
    text_column("author"),
    whole_column("at"),
    text_column("note"),
    whole_column("record"),
    PrimaryKeyConstraint("namespace", "digest"),
    sqlite_strict=True,
)

activations: Final = Table(
    "activations",
    METADATA,
    text_column("namespace"),
    whole_column("epoch"),
    text_column("digest"),
    text_column("how"),
    text_column("actor"),
    whole_column("at"),
    whole_column("record"),
    PrimaryKeyConstraint("namespace", "epoch"),
    sqlite_strict=True,
)

bundles_in_force: Final = Table(
    "bundles_in_force",
    METADATA,
    text_column("namespace"),
    whole_column("epoch"),
    text_column("digest"),
    PrimaryKeyConstraint("namespace"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)


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
