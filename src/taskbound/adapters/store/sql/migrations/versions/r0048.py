"""Epochs of the store that the log has a record of; there were none."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0048"
down_revision: Final = "0047"

_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "epochs",
        sa.Column("epoch", _WHOLE, nullable=False),
        sa.Column("since", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("epoch", "since"),
        sqlite_strict=True,
    )
