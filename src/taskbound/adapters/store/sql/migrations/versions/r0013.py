"""Which question a question narrows: a question is answered with one narrower action, and no second."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0013"
down_revision: Final = "0012"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NARROWING: Final = sa.text("narrows <> ''")


def upgrade() -> None:
    """Add the column and the index."""
    op.add_column("approvals", sa.Column("narrows", _TEXT, nullable=False, server_default=sa.text("''")))
    op.create_index(
        "approvals_narrowing",
        "approvals",
        ["namespace", "narrows"],
        unique=True,
        sqlite_where=_NARROWING,
        postgresql_where=_NARROWING,
    )
