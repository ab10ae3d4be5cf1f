"""Open permits stand in the order in which they were given, not by connection.

They are few and come and go, so whoever asks for those of one connection looks through
all that are open. By connection each decision wrote a page of its own.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0002"
down_revision: Final = "0001"

_OPEN: Final = sa.text("state IN ('permitted', 'sent')")


def upgrade() -> None:
    """Make the index anew."""
    op.drop_index("actions_open", "actions")
    op.create_index("actions_open", "actions", ["namespace"], sqlite_where=_OPEN, postgresql_where=_OPEN)
