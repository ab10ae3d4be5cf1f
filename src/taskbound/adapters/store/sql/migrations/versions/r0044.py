"""Credentials; there were none before."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0044"
down_revision: Final = "0043"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "credentials",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("target", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("identity", _TEXT, nullable=False),
        sa.Column("task", _TEXT, nullable=False),
        sa.Column("agent", _TEXT, nullable=False),
        sa.Column("action", _TEXT, nullable=False),
        sa.Column("arguments", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("made", _WHOLE, nullable=False),
        sa.Column("ends", _WHOLE, nullable=False),
        sa.Column("due", _WHOLE, nullable=False),
        sa.Column("fence", _WHOLE, nullable=False),
        sa.Column("leased", _WHOLE, nullable=False),
        sa.Column("shown", _WHOLE, nullable=False),
        sa.Column("acknowledged", _WHOLE, nullable=False),
        sa.Column("ended", _WHOLE, nullable=False),
        sa.Column("why", _TEXT, nullable=False),
        sa.Column("attempts", _WHOLE, nullable=False),
        sa.Column("trouble", _TEXT, nullable=False),
        sa.Column("late", _WHOLE, nullable=False),
        sa.Column("record", _WHOLE, nullable=False),
        sa.Column("version", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id"),
        sqlite_strict=True,
    )
    op.create_index("credentials_by_task", "credentials", ["namespace", "task", "id"])
    op.create_index("credentials_by_target", "credentials", ["namespace", "target", "id"])
    for name, columns, where in (
        ("credentials_due", ["namespace", "target", "due", "id"], "due > 0"),
        ("credentials_revoking", ["namespace", "ended", "id"], "state = 'revoking'"),
    ):
        op.create_index(
            name, "credentials", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )
