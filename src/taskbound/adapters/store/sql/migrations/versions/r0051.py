"""Entries of the feed; there were none, and no token named what they would be looked for by."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0051"
down_revision: Final = "0050"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "revocations",
        sa.Column("place", _WHOLE, nullable=False, autoincrement=False),
        sa.Column("at", _WHOLE, nullable=False),
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("about", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("turn", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("place"),
        sqlite_strict=True,
    )
    op.create_index("revocations_by_instant", "revocations", ["at"])
