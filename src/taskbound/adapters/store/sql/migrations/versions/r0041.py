"""Tokens that could not be signed, and so are nobody's; of those of before it is not known."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0041"
down_revision: Final = "0040"

_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column."""
    op.add_column("tokens", sa.Column("unsigned", _WHOLE, nullable=False, server_default=sa.text("0")))
