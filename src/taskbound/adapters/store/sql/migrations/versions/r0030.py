"""Keys of agents that we keep ourselves: their public halves."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0030"
down_revision: Final = "0029"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "agent_keys",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("kid", _TEXT, nullable=False),
        sa.Column("agent", _TEXT, nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("made", _WHOLE, nullable=False),
        sa.Column("ended", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "kid"),
        sqlite_strict=True,
    )
    standing = sa.text("ended = 0")
    op.create_index(
        "agent_keys_standing",
        "agent_keys",
        ["namespace", "agent"],
        unique=True,
        sqlite_where=standing,
        postgresql_where=standing,
    )
