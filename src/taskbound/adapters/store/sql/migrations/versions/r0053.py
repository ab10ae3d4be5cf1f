"""Claims that are kept for services which run on several machines; there were none."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0053"
down_revision: Final = "0052"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "shared_claims",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("service", _TEXT, nullable=False),
        sa.Column("txn", _TEXT, nullable=False),
        sa.Column("request", _TEXT, nullable=False),
        sa.Column("claimant", _TEXT, nullable=False),
        sa.Column("until", _WHOLE, nullable=False),
        sa.Column("still", _WHOLE, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "service", "txn"),
        sqlite_strict=True,
    )
    op.create_index("shared_claims_by_end", "shared_claims", ["namespace", "service", "until"])
    op.create_index("shared_claims_due", "shared_claims", ["until"])
    op.create_table(
        "shared_tallies",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("service", _TEXT, nullable=False),
        sa.Column("turn", _WHOLE, nullable=False),
        sa.Column("claims", _WHOLE, nullable=False),
        sa.Column("room", _WHOLE, nullable=False),
        sa.Column("forgotten", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "service"),
        sa.CheckConstraint("claims >= 0 AND room >= 0", name="shared_tallies_not_below_nothing"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
