"""To whom a question was shown first, and how much people of a namespace may be asked."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0014"
down_revision: Final = "0013"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "approval_displays",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("approval", _TEXT, nullable=False),
        sa.Column("person", _TEXT, nullable=False),
        sa.Column("at", _WHOLE, nullable=False),
        sa.Column("length", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "approval", "person"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "approval_limits",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("open", _WHOLE, nullable=False),
        sa.Column("hourly", _WHOLE, nullable=False),
        sa.Column("speed", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
