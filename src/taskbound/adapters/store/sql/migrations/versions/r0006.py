"""Questions about held actions, and what people answered.

What was decided of an action never changes, but that a held one may be permitted, once: a trigger of the
database sees to that, whatever the code above it does.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0006"
down_revision: Final = "0005"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OPEN: Final = sa.text("state IN ('pending', 'approved')")
_SQLITE: Final = """
    CREATE TRIGGER actions_lift BEFORE UPDATE OF decision, code, charges, detail, grant_id, attempt,
    connection, request, idempotency, until ON actions
    WHEN OLD.decision <> 'hold' OR OLD.state <> 'held' OR NEW.decision <> 'permit' OR NEW.state <> 'permitted'
    BEGIN SELECT RAISE(ABORT, 'what was decided does not change'); END
"""
_FUNCTION: Final = """
    CREATE FUNCTION actions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE insufficient_privilege USING MESSAGE = 'what was decided does not change'; END $$
"""
_TRIGGER: Final = """
    CREATE TRIGGER actions_lift BEFORE UPDATE OF decision, code, charges, detail, grant_id, attempt,
    connection, request, idempotency, until ON actions FOR EACH ROW
    WHEN (OLD.decision <> 'hold' OR OLD.state <> 'held' OR NEW.decision <> 'permit'
    OR NEW.state <> 'permitted')
    EXECUTE FUNCTION actions_stay()
"""


def upgrade() -> None:
    """Add the tables and the trigger."""
    op.create_table(
        "approvals",
        *_columns("namespace id action task act state", _TEXT),
        sa.Column("question", sa.LargeBinary(), nullable=False),
        *_columns("connection request", _TEXT),
        *_columns("waits asked finished", _WHOLE),
        *_columns("reason", _TEXT),
        sa.PrimaryKeyConstraint("namespace", "id"),
        sqlite_strict=True,
    )
    op.create_index("approvals_by_action", "approvals", ["namespace", "action"], unique=True)
    op.create_index("approvals_by_act", "approvals", ["namespace", "task", "act"])
    op.create_index("approvals_by_time", "approvals", ["namespace", "asked", "id"])
    for name, columns in (
        ("approvals_open", ["asked", "id"]),
        ("approvals_open_by_task", ["namespace", "task"]),
    ):
        op.create_index(name, "approvals", columns, sqlite_where=_OPEN, postgresql_where=_OPEN)
    op.create_table(
        "approval_answers",
        *_columns("namespace approval person kind person_key", _TEXT),
        *_columns("at received", _WHOLE),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "approval", "person", "kind"),
        sqlite_strict=True,
    )
    for statement in (_SQLITE,) if op.get_bind().dialect.name == "sqlite" else (_FUNCTION, _TRIGGER):
        op.execute(statement)


def _columns(names: str, kind: sa.types.TypeEngine[Any]) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names.split()]
