"""The tables of what proves agents; see the rules of the schema."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from taskbound.adapters.store.sql.schema.columns import METADATA, text_column

__all__ = ["selectors"]

selectors: Final = Table(
    "selectors",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("agent"),
    text_column("kind"),
    text_column("issuer"),
    text_column("subjects"),
    text_column("claims"),
    PrimaryKeyConstraint("namespace", "id"),
    Index("selectors_of", "namespace", "kind", "issuer"),
    sqlite_strict=True,
)
