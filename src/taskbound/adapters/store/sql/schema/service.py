"""Tables of services and their keys."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, Table, UniqueConstraint

from taskbound.adapters.store.sql.schema.columns import METADATA, bytes_column, text_column, whole_column

services: Final = Table(
    "services",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    text_column("owner"),
    text_column("audience"),
    text_column("tools"),
    whole_column("added"),
    whole_column("version"),
    PrimaryKeyConstraint("namespace", "name"),
    UniqueConstraint("namespace", "audience"),
    sqlite_strict=True,
)

service_keys: Final = Table(
    "service_keys",
    METADATA,
    text_column("namespace"),
    text_column("kid"),
    text_column("service"),
    bytes_column("public"),
    whole_column("added"),
    whole_column("removed"),  # 0 for one that counts
    PrimaryKeyConstraint("namespace", "kid"),
    Index("service_keys_of", "namespace", "service"),
    sqlite_strict=True,
)
