"""The last renewal of each credential; none had one."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0046"
down_revision: Final = "0045"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns."""
    for name, kind, empty in (
        ("renewal", _TEXT, "''"),
        ("renewed", _WHOLE, "0"),
        ("renewal_record", _WHOLE, "0"),
        ("renewal_state", _TEXT, "''"),
        ("renewal_attempts", _WHOLE, "0"),
    ):
        column: sa.Column[object] = sa.Column(name, kind, nullable=False, server_default=sa.text(empty))
        op.add_column("credentials", column)
