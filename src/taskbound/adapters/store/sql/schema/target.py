"""Tables of targets, credentials and upstream servers' sealed secrets.

The installation's mark never changes. The index of due credentials omits ended ones, so an absent target
does not slow others. `kept` is sealed to the broker and emptied once the credential ended. Rows of
credentials are never deleted: the broker compares what a target holds with them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, Column, Index, PrimaryKeyConstraint, Table, text

from taskbound.adapters.store.sql.schema.columns import (
    METADATA,
    TEXT,
    WHOLE,
    bytes_column,
    partial_index,
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
"""At most one row."""

epochs: Final = Table(
    "epochs",
    METADATA,
    whole_column("epoch"),
    whole_column("since"),
    PrimaryKeyConstraint("epoch", "since"),
    sqlite_strict=True,
)
"""Those that the log has a record of."""


UNFINISHED: Final = "'active', 'journaled', 'minting', 'revoking'"
"""States of what is under way, as a statement lists them."""
LIVING: Final = "'active', 'journaled', 'minting'"
"""States of what lives."""

credentials: Final = Table(
    "credentials",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("target"),
    text_column("kind"),
    text_column("identity"),
    text_column("task"),
    text_column("agent"),
    text_column("action"),
    bytes_column("arguments"),
    text_column("recipient"),
    text_column("state"),
    whole_column("made"),
    whole_column("ends"),
    whole_column("due"),
    whole_column("fence"),
    whole_column("leased"),
    whole_column("shown"),
    whole_column("acknowledged"),
    whole_column("ended"),
    text_column("why"),
    whole_column("attempts"),
    text_column("trouble"),
    whole_column("late"),
    whole_column("record"),
    whole_column("version"),
    Column("renewal", TEXT, nullable=False, server_default=text("''")),
    Column("renewed", WHOLE, nullable=False, server_default=text("0")),
    Column("renewal_record", WHOLE, nullable=False, server_default=text("0")),
    Column("renewal_state", TEXT, nullable=False, server_default=text("''")),
    Column("renewal_attempts", WHOLE, nullable=False, server_default=text("0")),
    Column("kept", TEXT, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("namespace", "id"),
    Index("credentials_by_task", "namespace", "task", "id"),
    Index("credentials_by_target", "namespace", "target", "id"),
    partial_index("credentials_due", "namespace", "target", "due", "id", where="due > 0"),
    partial_index("credentials_unfinished", "namespace", "id", where=f"state IN ({UNFINISHED})"),
    partial_index("credentials_living", "namespace", "target", "due", "id", where=f"state IN ({LIVING})"),
    partial_index("credentials_revoking", "namespace", "ended", "id", where="state = 'revoking'"),
    sqlite_strict=True,
)


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
