"""What a person declared of a tool to show whether a call had its effect."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0017"
down_revision: Final = "0016"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column."""
    op.add_column("tools", sa.Column("checks", _TEXT, nullable=False, server_default=sa.text("'[]'")))
