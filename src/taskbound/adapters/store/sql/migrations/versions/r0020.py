"""What was spent of a task before it was amended, also of grants that it has no more."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0020"
down_revision: Final = "0019"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column."""
    op.add_column("tasks", sa.Column("spent", _TEXT, nullable=False, server_default=sa.text("'[]'")))
