"""Which retry of which answered question a question is: each is asked about once."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0021"
down_revision: Final = "0020"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_RETRIED: Final = sa.text("retried <> ''")


def upgrade() -> None:
    """Add the column and the index."""
    op.add_column("approvals", sa.Column("retried", _TEXT, nullable=False, server_default=sa.text("''")))
    op.create_index(
        "approvals_retried",
        "approvals",
        ["namespace", "retried"],
        unique=True,
        sqlite_where=_RETRIED,
        postgresql_where=_RETRIED,
    )
