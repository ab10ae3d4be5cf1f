"""What a person declared of a tool's arguments: which of them name something that can change."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0011"
down_revision: Final = "0010"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column."""
    op.add_column("tools", sa.Column("probes", _TEXT, nullable=False, server_default=sa.text("'[]'")))
