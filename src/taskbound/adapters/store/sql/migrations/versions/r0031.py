"""What clients that people use ask for, and what they were let in to."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0031"
down_revision: Final = "0030"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "token_requests",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("client", _TEXT, nullable=False),
        sa.Column("request", _TEXT, nullable=False),
        sa.Column("shown", _TEXT, nullable=False),
        sa.Column("host", _TEXT, nullable=False),
        sa.Column("agent", _TEXT, nullable=False),
        sa.Column("browser", _TEXT, nullable=False),
        sa.Column("typed", _TEXT, nullable=False),
        sa.Column("asked", _WHOLE, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("person", _TEXT, nullable=False),
        sa.Column("task", _TEXT, nullable=False),
        sa.Column("code", _TEXT, nullable=False),
        sa.Column("coded", _WHOLE, nullable=False),
        sa.Column("admission", _TEXT, nullable=False),
        sa.Column("version", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id"),
        sqlite_strict=True,
    )
    op.create_index("token_requests_by_typed", "token_requests", ["namespace", "typed"])
    op.create_index("token_requests_by_code", "token_requests", ["namespace", "code"])
    op.create_index("token_requests_by_age", "token_requests", ["asked"])
    op.create_table(
        "token_admissions",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("client", _TEXT, nullable=False),
        sa.Column("agent", _TEXT, nullable=False),
        sa.Column("task", _TEXT, nullable=False),
        sa.Column("person", _TEXT, nullable=False),
        sa.Column("resource", _TEXT, nullable=False),
        sa.Column("scope", _TEXT, nullable=False),
        sa.Column("jkt", _TEXT, nullable=False),
        sa.Column("begun", _WHOLE, nullable=False),
        sa.Column("until", _WHOLE, nullable=False),
        sa.Column("turn", _WHOLE, nullable=False),
        sa.Column("ended", _WHOLE, nullable=False),
        sa.Column("why", _TEXT, nullable=False),
        sa.Column("version", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id"),
        sqlite_strict=True,
    )
    op.create_index("token_admissions_of", "token_admissions", ["namespace", "client", "ended"])
    op.create_table(
        "token_refreshes",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("admission", _TEXT, nullable=False),
        sa.Column("turn", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "digest"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
