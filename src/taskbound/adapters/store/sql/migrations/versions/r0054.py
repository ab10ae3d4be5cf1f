"""Whether a task was begun for a client that shows a token.

Of a task that has a token already it is not known: it counts as one that was.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0054"
down_revision: Final = "0053"

_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column."""
    op.add_column("tasks", sa.Column("for_token", _WHOLE, nullable=False, server_default=sa.text("0")))
    op.execute(
        "UPDATE tasks SET for_token = 1 WHERE EXISTS"
        " (SELECT 1 FROM tokens WHERE tokens.namespace = tasks.namespace AND tokens.task = tasks.id)"
    )
