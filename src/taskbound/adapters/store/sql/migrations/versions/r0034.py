"""Issuers whose word proves workloads or people."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0034"
down_revision: Final = "0033"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "identity_issuers",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("issuer", _TEXT, nullable=False),
        sa.Column("audience", _TEXT, nullable=False),
        sa.Column("use", _TEXT, nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.Column("keys_at", _TEXT, nullable=False),
        sa.Column("private", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name"),
        sa.UniqueConstraint("namespace", "issuer", "use"),
        sqlite_strict=True,
    )
