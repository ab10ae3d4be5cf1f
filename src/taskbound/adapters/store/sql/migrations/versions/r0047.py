"""What is kept to end a credential in its target, sealed to the broker; nothing was."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0047"
down_revision: Final = "0046"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column."""
    column: sa.Column[object] = sa.Column("kept", _TEXT, nullable=False, server_default=sa.text("''"))
    op.add_column("credentials", column)
