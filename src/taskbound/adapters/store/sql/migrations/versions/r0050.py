"""Tools of which a person declared that nobody tells what comes of their calls: none so far.

What was held may be permitted to somebody who tells nothing, once, as it may to anybody: the trigger knows
that state as well.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0050"
down_revision: Final = "0049"

_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SQLITE: Final = """
    CREATE TRIGGER actions_lift BEFORE UPDATE OF decision, code, charges, detail, grant_id, attempt,
    connection, request, idempotency, until ON actions
    WHEN OLD.decision <> 'hold' OR OLD.state <> 'held' OR NEW.decision <> 'permit'
    OR NEW.state NOT IN ('permitted', 'unwatched')
    BEGIN SELECT RAISE(ABORT, 'what was decided does not change'); END
"""
_POSTGRES: Final = """
    CREATE TRIGGER actions_lift BEFORE UPDATE OF decision, code, charges, detail, grant_id, attempt,
    connection, request, idempotency, until ON actions FOR EACH ROW
    WHEN (OLD.decision <> 'hold' OR OLD.state <> 'held' OR NEW.decision <> 'permit'
    OR NEW.state NOT IN ('permitted', 'unwatched'))
    EXECUTE FUNCTION actions_stay()
"""


def upgrade() -> None:
    """Add the column, and put the trigger in the place of the one before."""
    op.add_column("tools", sa.Column("unwatched", _WHOLE, nullable=False, server_default=sa.text("0")))
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute("DROP TRIGGER actions_lift" if sqlite else "DROP TRIGGER actions_lift ON actions")
    op.execute(_SQLITE if sqlite else _POSTGRES)
