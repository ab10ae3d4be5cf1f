"""No bearers of tasks any more: agents over HTTP show tokens."""

from __future__ import annotations

from typing import Final

from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0038"
down_revision: Final = "0037"


def upgrade() -> None:
    """Drop the table; what it let in is let in no more."""
    op.drop_table("task_bearers")
