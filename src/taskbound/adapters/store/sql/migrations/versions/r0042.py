"""How far windows of what is used once were forgotten; nothing is known of what went before."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0042"
down_revision: Final = "0041"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "claims_forgotten",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("until", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "kind"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
