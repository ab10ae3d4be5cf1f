"""What a person declared that a tool does, and what its arguments are for."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0023"
down_revision: Final = "0022"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns."""
    op.add_column("tools", sa.Column("effect", _TEXT, nullable=False, server_default=sa.text("''")))
    op.add_column("tools", sa.Column("roles", _TEXT, nullable=False, server_default=sa.text("'[]'")))
