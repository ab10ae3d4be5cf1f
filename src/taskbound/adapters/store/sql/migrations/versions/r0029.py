"""Clients that people use."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0029"
down_revision: Final = "0028"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "token_clients",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("shown", _TEXT, nullable=False),
        sa.Column("redirects", _TEXT, nullable=False),
        sa.Column("added", _WHOLE, nullable=False),
        sa.Column("added_by", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id"),
        sqlite_strict=True,
    )
