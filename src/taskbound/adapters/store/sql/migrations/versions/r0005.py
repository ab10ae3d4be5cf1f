"""Steps, amendments, child tasks and heartbeats of tasks.

A task that runs goes on as it is: in its first step, with the first version of its scope, without a
heartbeat. No task had a parent until now, so that nothing was carved.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0005"
down_revision: Final = "0004"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CHILD: Final = sa.text("parent <> ''")


def upgrade() -> None:
    """Add the columns and the table."""
    _add("step", _WHOLE, "0")
    _add("scope_version", _WHOLE, "1")
    _add("since", _WHOLE, "0")
    _add("base", _TEXT, "'[]'")
    _add("shares", _TEXT, "'[]'")
    _add("heartbeat", _WHOLE, "0")
    _add("grace", _WHOLE, "0")
    op.create_index(
        "tasks_by_root", "tasks", ["namespace", "root"], sqlite_where=_CHILD, postgresql_where=_CHILD
    )
    op.create_table(
        "heartbeats",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("task", _TEXT, nullable=False),
        sa.Column("due", _WHOLE, nullable=False),
        sa.Column("missed", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "task"),
        sqlite_strict=True,
    )
    op.create_index("heartbeats_due", "heartbeats", ["due", "namespace", "task"])


def _add(name: str, kind: sa.types.TypeEngine[Any], default: str) -> None:
    op.add_column("tasks", sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
