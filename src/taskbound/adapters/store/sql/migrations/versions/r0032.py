"""Trust domains: whose word counts about workloads, where it comes from, and what it is now."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0032"
down_revision: Final = "0031"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "trusts",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("domain", _TEXT, nullable=False),
        sa.Column("source", _TEXT, nullable=False),
        sa.Column("place", _TEXT, nullable=False),
        sa.Column("endpoint", _TEXT, nullable=False),
        sa.Column("private", _WHOLE, nullable=False),
        sa.Column("bound", _WHOLE, nullable=False),
        sa.Column("bundle", sa.LargeBinary, nullable=False),
        sa.Column("confirmed", _WHOLE, nullable=False),
        sa.Column("version", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "domain"),
        sqlite_strict=True,
    )
