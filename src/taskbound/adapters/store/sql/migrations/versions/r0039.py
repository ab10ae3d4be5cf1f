"""Clients that act as a person: how whoever consented had signed in, and what that rests on."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0039"
down_revision: Final = "0038"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns; what was answered before was about agents."""
    _add("token_requests", "acr", _TEXT, "''")
    _add("token_requests", "authenticated", _WHOLE, "0")
    _add("token_requests", "session", _TEXT, "''")
    _add("token_admissions", "session", _TEXT, "''")


def _add(
    table: str, name: str, kind: sa.types.TypeEngine[str] | sa.types.TypeEngine[int], default: str
) -> None:
    op.add_column(table, sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
