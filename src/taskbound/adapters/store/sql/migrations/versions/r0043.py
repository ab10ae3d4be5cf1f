"""How somebody had signed in who answered; who answered before is known to have signed in no way."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0043"
down_revision: Final = "0042"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns."""
    _add("acr", _TEXT, "''")
    _add("authenticated", _WHOLE, "0")
    _add("token", _TEXT, "''")
    _add("session", _TEXT, "''")


def _add(name: str, kind: sa.types.TypeEngine[str] | sa.types.TypeEngine[int], default: str) -> None:
    op.add_column("approval_answers", sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
