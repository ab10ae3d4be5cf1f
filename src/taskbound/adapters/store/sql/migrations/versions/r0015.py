"""What becomes of held actions when their calls are over, of tasks and templates."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0015"
down_revision: Final = "0014"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns; those of before end with the call, as they did."""
    for table in ("tasks", "templates"):
        column = sa.Column("holds", _TEXT, nullable=False, server_default=sa.text("'end-with-the-call'"))
        op.add_column(table, column)
