"""Tables of targets, the installation's mark, and epochs.

1. For decisions a target is a row of `servers`; this table holds what people, the broker and preflights
   need beside it.
2. One mark, used in names in targets, serves the whole installation and never changes.
3. The log has one record of each epoch that a broker reconciled, however often it is reported.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, Column, PrimaryKeyConstraint, Table

from taskbound.adapters.store.sql.schema.columns import (
    METADATA,
    WHOLE,
    bytes_column,
    text_column,
    whole_column,
)

targets: Final = Table(
    "targets",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    bytes_column("file"),
    text_column("identity"),
    text_column("state"),
    text_column("sealed"),
    whole_column("number"),
    text_column("trouble"),
    Column("begun", WHOLE, nullable=True),
    Column("tested", WHOLE, nullable=True),
    whole_column("version"),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
)

installation: Final = Table(
    "installation",
    METADATA,
    Column("id", WHOLE, nullable=False, autoincrement=False),
    text_column("mark"),
    PrimaryKeyConstraint("id"),
    CheckConstraint("id = 1", name="there_is_one"),
    sqlite_strict=True,
)
"""One row, or none (rule 2)."""

epochs: Final = Table(
    "epochs",
    METADATA,
    whole_column("epoch"),
    whole_column("since"),
    PrimaryKeyConstraint("epoch", "since"),
    sqlite_strict=True,
)
"""Those that the log has a record of (rule 3)."""
