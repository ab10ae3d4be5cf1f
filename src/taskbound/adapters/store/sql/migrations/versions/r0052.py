"""Services with the keys that prove them, and by which of them a service's token was asked for."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0052"
down_revision: Final = "0051"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables and the column."""
    op.create_table(
        "services",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("owner", _TEXT, nullable=False),
        sa.Column("audience", _TEXT, nullable=False),
        sa.Column("tools", _TEXT, nullable=False),
        sa.Column("added", _WHOLE, nullable=False),
        sa.Column("version", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name"),
        sa.UniqueConstraint("namespace", "audience"),
        sqlite_strict=True,
    )
    op.create_table(
        "service_keys",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("kid", _TEXT, nullable=False),
        sa.Column("service", _TEXT, nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("added", _WHOLE, nullable=False),
        sa.Column("removed", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "kid"),
        sqlite_strict=True,
    )
    op.create_index("service_keys_of", "service_keys", ["namespace", "service"])
    op.add_column("tokens", sa.Column("proven_by", _TEXT, nullable=False, server_default=sa.text("''")))
