"""Plans: ordered lists of questions that are answered together, and the plan that a question names."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0018"
down_revision: Final = "0017"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OPEN: Final = sa.text("state IN ('pending', 'approved')")
_STEP: Final = sa.text("plan <> ''")


def upgrade() -> None:
    """Add the column and make the table."""
    op.add_column("approvals", sa.Column("plan", _TEXT, nullable=False, server_default=sa.text("''")))
    op.create_index(
        "approvals_by_plan", "approvals", ["namespace", "plan"], sqlite_where=_STEP, postgresql_where=_STEP
    )
    op.create_table(
        "approval_plans",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("task", _TEXT, nullable=False),
        sa.Column("agent", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("used", _WHOLE, nullable=False),
        sa.Column("plan", sa.LargeBinary(), nullable=False),
        sa.Column("asked", _WHOLE, nullable=False),
        sa.Column("finished", _WHOLE, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id"),
        sqlite_strict=True,
    )
    op.create_index(
        "approval_plans_open",
        "approval_plans",
        ["namespace", "task"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
