"""The last attempt of each act, unknown outcomes by act, and tools that were declared idempotent.

Of an act that was attempted before this revision the last attempt is not named: everything counts as
changed since then.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0009"
down_revision: Final = "0008"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UNKNOWN: Final = sa.text("state = 'unknown'")


def upgrade() -> None:
    """Add the columns and the index."""
    for table, name, kind, first in (
        ("acts", "last_action", _TEXT, "''"),
        ("acts", "last_at", _WHOLE, "0"),
        ("tools", "idempotent", _WHOLE, "0"),
    ):
        column = sa.Column(name, kind, nullable=False, server_default=sa.text(first))
        op.add_column(table, column)
    op.create_index(
        "actions_unknown",
        "actions",
        ["namespace", "root", "act_key"],
        sqlite_where=_UNKNOWN,
        postgresql_where=_UNKNOWN,
    )
