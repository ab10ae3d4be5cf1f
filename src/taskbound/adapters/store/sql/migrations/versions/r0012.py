"""Who approves for a tool, and under which accounts an agent has run for a task.

Of tasks that began before this revision no account is known until their agent calls again.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0012"
down_revision: Final = "0011"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tool_approvers",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("tool", _TEXT, nullable=False),
        sa.Column("approvers", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "tool"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "task_accounts",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("task", _TEXT, nullable=False),
        sa.Column("uid", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "task", "uid"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
