"""An index of credentials that live, by what is due: however many are being revoked, none of them is read."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0049"
down_revision: Final = "0048"


def upgrade() -> None:
    """Make the index."""
    where = sa.text("state IN ('active', 'journaled', 'minting')")
    op.create_index(
        "credentials_living",
        "credentials",
        ["namespace", "target", "due", "id"],
        sqlite_where=where,
        postgresql_where=where,
        if_not_exists=True,
    )
