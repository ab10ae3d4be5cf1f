"""The tables of clients that people use; see the rules of the schema."""

from __future__ import annotations

from typing import Final

from sqlalchemy import PrimaryKeyConstraint, Table

from taskbound.adapters.store.sql.schema.columns import METADATA, text_column, whole_column

__all__ = ["token_clients"]

token_clients: Final = Table(
    "token_clients",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("shown"),
    text_column("redirects"),
    whole_column("added"),
    text_column("added_by"),
    PrimaryKeyConstraint("namespace", "id"),
    sqlite_strict=True,
)
