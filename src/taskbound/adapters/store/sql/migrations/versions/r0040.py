"""Notes of tasks that nobody has anything of yet; those of before have none."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0040"
down_revision: Final = "0039"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "unclaimed_tasks",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("task", _TEXT, nullable=False),
        sa.Column("until", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "task"),
        sqlite_strict=True,
    )
    op.create_index("unclaimed_tasks_due", "unclaimed_tasks", ["until", "namespace", "task"])
