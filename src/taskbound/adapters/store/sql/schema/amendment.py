"""Tables of amendments."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from taskbound.adapters.store.sql.schema.columns import (
    METADATA,
    bytes_column,
    partial_index,
    text_column,
    whole_column,
)

amendments: Final = Table(
    "amendments",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("task"),
    text_column("agent"),
    text_column("wanted"),
    text_column("state"),
    bytes_column("question"),
    whole_column("asked"),
    whole_column("finished"),
    text_column("reason"),
    PrimaryKeyConstraint("namespace", "id"),
    Index("amendments_by_time", "namespace", "asked", "id"),
    partial_index("amendments_open", "asked", "id", where="state = 'pending'"),
    partial_index("amendments_open_by_task", "namespace", "task", where="state = 'pending'", unique=True),
    partial_index("amendments_denied", "namespace", "task", "wanted", where="state = 'denied'"),
    sqlite_strict=True,
)

amendment_answers: Final = Table(
    "amendment_answers",
    METADATA,
    text_column("namespace"),
    text_column("amendment"),
    text_column("person"),
    text_column("kind"),
    text_column("person_key"),
    whole_column("at"),
    whole_column("received"),
    bytes_column("statement"),
    bytes_column("signature"),
    PrimaryKeyConstraint("namespace", "amendment", "person", "kind"),
    sqlite_strict=True,
)
