"""Bearers of tasks, of which the digest is kept."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0022"
down_revision: Final = "0021"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "task_bearers",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("task", _TEXT, nullable=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("made", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "task"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
