"""Bundles of policies that are kept, and which is in force. Until now the base alone was, and still is."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0008"
down_revision: Final = "0007"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "bundles",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("archive", sa.LargeBinary(), nullable=False),
        sa.Column("author", _TEXT, nullable=False),
        sa.Column("at", _WHOLE, nullable=False),
        sa.Column("note", _TEXT, nullable=False),
        sa.Column("record", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "digest"),
        sqlite_strict=True,
    )
    op.create_table(
        "activations",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("epoch", _WHOLE, nullable=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("how", _TEXT, nullable=False),
        sa.Column("actor", _TEXT, nullable=False),
        sa.Column("at", _WHOLE, nullable=False),
        sa.Column("record", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "epoch"),
        sqlite_strict=True,
    )
    op.create_table(
        "bundles_in_force",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("epoch", _WHOLE, nullable=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("namespace"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
