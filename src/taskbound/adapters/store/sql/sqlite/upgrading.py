"""Brings a SQLite database to the newest revision, on the connection that is to write it.

A module of its own because of what it loads: a daemon whose database is the newest never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from taskbound.adapters.store.sql.migrations.steps import upgrade
from taskbound.adapters.store.sql.sqlite.driver import driver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["upgrade_file"]


def upgrade_file(
    connection: driver.Connection, *, at: Callable[[str], None], first: Sequence[str], folders: Sequence[Path]
) -> str:
    """The newest revision, which the database has now.

    Args:
        connection: Of the database; nobody else has one.
        at: Told where the migration is.
        first: What the first step does besides, in its transaction.
        folders: Where revisions are looked for.

    Raises:
        NewerDatabaseError: The database has a revision that is in no folder.
    """
    engine = create_engine(
        "sqlite://",
        module=driver,
        creator=lambda: connection,
        poolclass=StaticPool,
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as through:
        return upgrade(through, at=at, first=first, folders=folders)
