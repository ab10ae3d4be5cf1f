"""The table of groups."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, LargeBinary, PrimaryKeyConstraint, Table, text

from taskbound.adapters.store.sql.schema.columns import METADATA, TEXT, text_column, whole_column

person_groups: Final = Table(
    "person_groups",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    text_column("members"),
    whole_column("version"),
    Column("grantable", LargeBinary, nullable=True),
    Column("claimed", TEXT, nullable=False, server_default=text("'[]'")),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
)
