"""Tokens by when they end: those that ended long ago are forgotten."""

from __future__ import annotations

from typing import Final

from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0036"
down_revision: Final = "0035"


def upgrade() -> None:
    """Make the index."""
    op.create_index("tokens_by_end", "tokens", ["expires"])
