"""What persons and groups may grant, and tasks that are for learning.

Until now every person could grant anything. A person who is alone in a namespace still can, within the
agent's ceiling; where there are several, the account that owns the data directory says who may what.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0003"
down_revision: Final = "0002"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("persons", sa.Column("grantable", sa.LargeBinary(), nullable=True))
    op.add_column("tasks", sa.Column("learning", _WHOLE, nullable=False, server_default=sa.text("0")))
    op.create_table(
        "person_groups",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("members", _TEXT, nullable=False),
        sa.Column("version", _WHOLE, nullable=False),
        sa.Column("grantable", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("namespace", "name"),
        sqlite_strict=True,
    )
    persons = sa.table("persons", sa.column("namespace", sa.Text()), sa.column("grantable", sa.LargeBinary()))
    alone = sa.select(persons.c.namespace).group_by(persons.c.namespace).having(sa.func.count() == 1)
    op.execute(
        persons.update()
        .where(persons.c.namespace.in_(alone.scalar_subquery()))
        .values(grantable=sa.literal(b'"ceiling"', sa.LargeBinary()))
    )
