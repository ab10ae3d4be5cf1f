"""The table of trust domains, with source and bundle."""

from __future__ import annotations

from typing import Final

from sqlalchemy import PrimaryKeyConstraint, Table

from taskbound.adapters.store.sql.schema.columns import METADATA, bytes_column, text_column, whole_column

trusts: Final = Table(
    "trusts",
    METADATA,
    text_column("namespace"),
    text_column("domain"),
    text_column("source"),
    text_column("place"),
    text_column("endpoint"),
    whole_column("private"),
    whole_column("bound"),
    bytes_column("bundle"),
    whole_column("confirmed"),
    whole_column("version"),
    PrimaryKeyConstraint("namespace", "domain"),
    sqlite_strict=True,
)
