"""Brings a database to the newest revision of the schema, one transaction a step.

1. A step and the note that it was taken commit together: a kill in the middle leaves
   the revision of before, and the next opening takes the step again (K25).
2. A revision that this version does not know is of a newer one: it is refused.
3. The caller holds the lock of the file or of the database; two processes never migrate at once.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from taskbound.adapters.store.sql.migrations import REVISIONS
from taskbound.ports.store import NewerDatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(
    connection: Connection,
    *,
    at: Callable[[str], None],
    first: Sequence[str] = (),
    folders: Sequence[Path] = (REVISIONS,),
) -> str:
    """The newest revision, which the database has now.

    Args:
        connection: In autocommit: what begins and ends is said here.
        at: Told where the migration is.
        first: What the first step does besides, in its transaction.
        folders: Where revisions are looked for.

    Raises:
        NewerDatabaseError: The database has a revision that is in no folder (rule 2).
    """
    scripts = _scripts(folders)
    context = MigrationContext.configure(connection, opts={"transactional_ddl": True})
    now = context.get_current_revision()
    if now is not None and now not in {one.revision for one in scripts.walk_revisions()}:
        raise NewerDatabaseError(f"the database has revision `{now}`, which this version does not know")
    newest = scripts.get_current_head() or ""
    if now == newest:
        return newest
    begin = "BEGIN IMMEDIATE" if connection.dialect.name == "sqlite" else "BEGIN"
    for step in reversed(list(scripts.iterate_revisions(newest, now or "base"))):
        connection.exec_driver_sql(begin)  # rule 1
        try:
            for statement in first if now is None and step.down_revision is None else ():
                connection.exec_driver_sql(statement)
            with Operations.context(context):
                step.module.upgrade()
            at(f"migrated {step.revision}")
            context.stamp(scripts, step.revision)
            at(f"stamped {step.revision}")
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            with suppress(DBAPIError):  # a full disk has rolled back by itself
                connection.exec_driver_sql("ROLLBACK")
            raise
    return newest


def _scripts(folders: Sequence[Path]) -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(REVISIONS.parent))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(str(one) for one in folders))
    return ScriptDirectory.from_config(config)
