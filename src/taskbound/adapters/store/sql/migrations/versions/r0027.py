"""Selectors: what a credential must say to be an agent's."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0027"
down_revision: Final = "0026"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "selectors",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("agent", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("issuer", _TEXT, nullable=False),
        sa.Column("subjects", _TEXT, nullable=False),
        sa.Column("claims", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id"),
        sqlite_strict=True,
    )
    op.create_index("selectors_of", "selectors", ["namespace", "kind", "issuer"])
