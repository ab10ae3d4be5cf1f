"""People's accounts at issuers, their sign-ins and sessions, and groups by an issuer's word."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0037"
down_revision: Final = "0036"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_EMPTY: Final = {"token_at": "''", "secret_file": "''", "groups_at": "''", "groups_by": "'[]'"}


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]


def upgrade() -> None:
    """Make the tables, and add the columns."""
    op.create_table(
        "accounts",
        *_texts("namespace", "issuer", "subject", "person"),
        sa.Column("linked", _WHOLE, nullable=False),
        *_texts("linked_by"),
        sa.PrimaryKeyConstraint("namespace", "issuer", "subject"),
        sqlite_strict=True,
    )
    op.create_table(
        "sign_ins",
        *_texts("namespace", "state", "browser", "issuer"),
        sa.Column("begun", _WHOLE, nullable=False),
        *_texts("address", "back"),
        sa.Column("promised", _WHOLE, nullable=False),
        sa.Column("max_age", _WHOLE, nullable=False),
        *_texts("acr"),
        sa.PrimaryKeyConstraint("namespace", "state"),
        sqlite_strict=True,
    )
    op.create_index("sign_ins_of", "sign_ins", ["namespace", "address"])
    op.create_index("sign_ins_by_age", "sign_ins", ["begun"])
    op.create_table(
        "browser_sessions",
        *_texts("namespace", "id", "secret", "person", "issuer", "subject"),
        sa.Column("authenticated", _WHOLE, nullable=False),
        *_texts("acr"),
        sa.Column("began", _WHOLE, nullable=False),
        sa.Column("until", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id"),
        sa.UniqueConstraint("namespace", "secret"),
        sqlite_strict=True,
    )
    op.create_index("browser_sessions_by_end", "browser_sessions", ["until"])
    for name, value in _EMPTY.items():
        op.add_column(
            "identity_issuers", sa.Column(name, _TEXT, nullable=False, server_default=sa.text(value))
        )
    op.add_column(
        "person_groups", sa.Column("claimed", _TEXT, nullable=False, server_default=sa.text("'[]'"))
    )
