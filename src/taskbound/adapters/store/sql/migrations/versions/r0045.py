"""Targets, the installation's mark, and an index of credentials under way; every server was a server."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0045"
down_revision: Final = "0044"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables and the index, and add the column."""
    op.create_table(
        "targets",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("file", sa.LargeBinary(), nullable=False),
        sa.Column("identity", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("sealed", _TEXT, nullable=False),
        sa.Column("number", _WHOLE, nullable=False),
        sa.Column("trouble", _TEXT, nullable=False),
        sa.Column("begun", _WHOLE, nullable=True),
        sa.Column("tested", _WHOLE, nullable=True),
        sa.Column("version", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name"),
        sqlite_strict=True,
    )
    op.create_table(
        "installation",
        sa.Column("id", _WHOLE, nullable=False, autoincrement=False),
        sa.Column("mark", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("id = 1", name="there_is_one"),
        sqlite_strict=True,
    )
    where = sa.text("state IN ('active', 'journaled', 'minting', 'revoking')")
    op.create_index(
        "credentials_unfinished",
        "credentials",
        ["namespace", "id"],
        sqlite_where=where,
        postgresql_where=where,
    )
    op.add_column("servers", sa.Column("target", _WHOLE, nullable=False, server_default=sa.text("0")))
