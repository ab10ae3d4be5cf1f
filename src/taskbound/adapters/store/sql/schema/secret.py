"""The table of upstream servers' sealed secrets."""

from __future__ import annotations

from typing import Final

from sqlalchemy import PrimaryKeyConstraint, Table

from taskbound.adapters.store.sql.schema.columns import METADATA, text_column, whole_column

upstream_secrets: Final = Table(
    "upstream_secrets",
    METADATA,
    text_column("namespace"),
    text_column("server"),
    text_column("slot"),
    whole_column("number"),
    text_column("sealed"),
    whole_column("at"),
    PrimaryKeyConstraint("namespace", "server", "slot"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
