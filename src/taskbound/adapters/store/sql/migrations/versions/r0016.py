"""Widening amendments that people are asked about, and what was used of a limit beyond what it is by now."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0016"
down_revision: Final = "0015"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OPEN: Final = sa.text("state = 'pending'")
_DENIED: Final = sa.text("state = 'denied'")


def upgrade() -> None:
    """Make the tables, and add the column."""
    op.create_table(
        "amendments",
        *(sa.Column(name, _TEXT, nullable=False) for name in _NAMES),
        sa.Column("question", sa.LargeBinary(), nullable=False),
        sa.Column("asked", _WHOLE, nullable=False),
        sa.Column("finished", _WHOLE, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id"),
        sqlite_strict=True,
    )
    op.create_index("amendments_by_time", "amendments", ["namespace", "asked", "id"])
    for name, columns, where, unique in (
        ("amendments_open", ["asked", "id"], _OPEN, False),
        ("amendments_open_by_task", ["namespace", "task"], _OPEN, True),
        ("amendments_denied", ["namespace", "task", "wanted"], _DENIED, False),
    ):
        op.create_index(
            name, "amendments", columns, unique=unique, sqlite_where=where, postgresql_where=where
        )
    op.create_table(
        "amendment_answers",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("amendment", _TEXT, nullable=False),
        sa.Column("person", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("person_key", _TEXT, nullable=False),
        sa.Column("at", _WHOLE, nullable=False),
        sa.Column("received", _WHOLE, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "amendment", "person", "kind"),
        sqlite_strict=True,
    )
    op.add_column("tasks", sa.Column("over", _TEXT, nullable=False, server_default=sa.text("'[]'")))


_NAMES: Final = ("namespace", "id", "task", "agent", "wanted", "state")
