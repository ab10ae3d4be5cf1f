"""What was answered under a key, so that a request that is sent again is not done again."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0033"
down_revision: Final = "0032"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "answered",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("principal", _TEXT, nullable=False),
        sa.Column("key", _TEXT, nullable=False),
        sa.Column("request", _TEXT, nullable=False),
        sa.Column("until", _WHOLE, nullable=False),
        sa.Column("answer", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "principal", "key"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("answered_by_end", "answered", ["until"])
