"""What persons sign with, who is the same human as whom, and what is said of a namespace."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0004"
down_revision: Final = "0003"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column and the tables."""
    op.add_column("persons", sa.Column("human", _TEXT, nullable=False, server_default=sa.text("''")))
    op.create_table(
        "person_keys",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("person", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", _TEXT, nullable=False),
        sa.Column("enrolled", _WHOLE, nullable=False),
        sa.Column("usable_from", _WHOLE, nullable=False),
        sa.Column("enrolled_by", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("custody", _TEXT, nullable=False),
        sa.Column("nonce", _TEXT, nullable=False),
        sa.Column("label", _TEXT, nullable=False),
        sa.Column("counter", _WHOLE, nullable=False),
        sa.Column("version", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id"),
        sqlite_strict=True,
    )
    op.create_table(
        "namespaces",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("demo", _WHOLE, nullable=False),
        sa.Column("keys", _WHOLE, nullable=False),
        sa.Column("version", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
