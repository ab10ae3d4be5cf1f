"""How risky an agent is, and who said so."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0019"
down_revision: Final = "0018"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns."""
    op.add_column("agents", sa.Column("risk", _TEXT, nullable=False, server_default=sa.text("'low'")))
    op.add_column("agents", sa.Column("risk_by", _TEXT, nullable=False, server_default=sa.text("''")))
