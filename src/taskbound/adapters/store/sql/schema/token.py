"""The tables of tokens and of what was used once; see the rules of the schema."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from taskbound.adapters.store.sql.schema.columns import METADATA, text_column, whole_column

__all__ = ["claims"]

claims: Final = Table(
    "claims",
    METADATA,
    text_column("namespace"),
    text_column("kind"),
    text_column("digest"),
    whole_column("until"),
    PrimaryKeyConstraint("namespace", "kind", "digest"),
    Index("claims_by_end", "until"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
