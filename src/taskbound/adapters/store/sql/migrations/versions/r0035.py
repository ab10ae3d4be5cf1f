"""The agent that a task token is handed on to; those of before are handed on to nobody."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0035"
down_revision: Final = "0034"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column."""
    op.add_column("tokens", sa.Column("may_act", _TEXT, nullable=False, server_default=sa.text("''")))
