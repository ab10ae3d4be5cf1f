"""Secrets of upstream servers, each sealed to the egress' key."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0024"
down_revision: Final = "0023"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "upstream_secrets",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("server", _TEXT, nullable=False),
        sa.Column("slot", _TEXT, nullable=False),
        sa.Column("number", _WHOLE, nullable=False),
        sa.Column("sealed", _TEXT, nullable=False),
        sa.Column("at", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "server", "slot"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
