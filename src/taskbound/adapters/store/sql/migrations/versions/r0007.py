"""Issuers of evidence, and the signed tokens that tasks rest on.

A task's evidence stays as it is written. What a version before this took as free text reads as a remark.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0007"
down_revision: Final = "0006"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "issuers",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("issuer", _TEXT, nullable=False),
        sa.Column("audience", _TEXT, nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.Column("thumbprints", _TEXT, nullable=False),
        sa.Column("version", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name"),
        sa.UniqueConstraint("namespace", "issuer"),
        sqlite_strict=True,
    )
    op.create_table(
        "task_evidence",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("token", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "digest"),
        sqlite_strict=True,
    )
