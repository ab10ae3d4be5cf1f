"""Tokens, and the keys that sign them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0028"
down_revision: Final = "0027"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_PLACED: Final = sa.text("list > 0")
_ALONE: Final = sa.text("state IN ('next', 'current')")


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]


def _whole(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, _WHOLE, nullable=False) for name in names]


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tokens",
        *_text(
            "namespace", "id", "form", "issuer", "subject", "actors", "audience", "bound_by", "thumbprint"
        ),
        *_whole("issued", "expires"),
        *_text("kid", "task", "agent", "parent", "action", "content", "acr"),
        *_whole("authenticated", "list", "place"),
        *_text("digest"),
        *_whole("record", "revoked"),
        *_text("why"),
        sa.PrimaryKeyConstraint("namespace", "id"),
        sqlite_strict=True,
    )
    op.create_index("tokens_by_task", "tokens", ["namespace", "task", "id"])
    op.create_index("tokens_by_agent", "tokens", ["namespace", "agent", "id"])
    op.create_index(
        "tokens_by_place",
        "tokens",
        ["list", "place"],
        unique=True,
        sqlite_where=_PLACED,
        postgresql_where=_PLACED,
    )
    op.create_table(
        "token_keys",
        sa.Column("kid", _TEXT, primary_key=True),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        *_text("state"),
        *_whole("made", "used", "retired", "revoked"),
        *_text("why"),
        sqlite_strict=True,
    )
    op.create_index(
        "token_keys_alone",
        "token_keys",
        ["state"],
        unique=True,
        sqlite_where=_ALONE,
        postgresql_where=_ALONE,
    )
