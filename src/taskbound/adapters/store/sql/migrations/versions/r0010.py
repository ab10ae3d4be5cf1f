"""Heartbeat and grace of templates."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0010"
down_revision: Final = "0009"

_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns; templates of before have no heartbeat."""
    for name in ("heartbeat", "grace"):
        op.add_column("templates", sa.Column(name, _WHOLE, nullable=False, server_default=sa.text("0")))
