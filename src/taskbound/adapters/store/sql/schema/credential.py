"""The table of credentials; see the schema.

1. What is due is found by target, and what is over is in no index of it: a target that has been away for days
   costs the others nothing.
2. What is under way is in an index of its own for the same reason: it is looked through again and again; and
   what lives of it in another: what is over of that is looked for twice a second, beside ten thousand that
   are being revoked.
3. The last renewal stands in the row: its action, until when, its record, and what came of it.
4. What ends one in its target where that has no name of ours is sealed to the broker (`kept`), and empty once
   the credential is over.
5. Rows are kept: that something was minted and is gone is what the log says too, and who asks a target for
   what it has compares it with them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, text

from taskbound.adapters.store.sql.schema.columns import (
    METADATA,
    TEXT,
    WHOLE,
    bytes_column,
    partial_index,
    text_column,
    whole_column,
)

UNFINISHED: Final = "'active', 'journaled', 'minting', 'revoking'"
"""States of what is under way (rule 2), as a statement lists them."""
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
