"""Makes the schema of a new SQLite database at once, as the revisions would have made it one by one.

1. What they make is written down beside them by `dev/docs`; a test fails when that is old.
2. All of it and the note of its revision commit together: a kill in the middle leaves an empty file (K25).
3. What is newer than what was written down is left to the revisions, and so is all where it isn't known.

It costs milliseconds, and a process that only makes a database does not load Alembic.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from taskbound.adapters.store.sql import migrations
from taskbound.adapters.store.sql.sqlite.driver import driver

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

__all__ = ["MADE", "describe_schema", "make_schema"]

MADE: Final = Path(migrations.__file__).parent / "made.json"
"""What the revisions make (rule 1)."""


def make_schema(
    connection: driver.Connection, *, at: Callable[[str], None], first: Sequence[str], known: Collection[str]
) -> None:
    """Make the schema that was written down, in an empty database; nothing where its revision isn't known.

    Args:
        connection: Of the database; nobody else has one.
        at: Told where it is.
        first: What is done besides, in the same transaction.
        known: The revisions that there are.

    Raises:
        driver.Error: It could not be made, and nothing was.
    """
    made = json.loads(MADE.read_bytes())
    if made["revision"] not in known:  # rule 3
        return
    connection.execute("BEGIN IMMEDIATE")  # rule 2
    try:
        for statement in (*first, *made["statements"]):
            connection.execute(statement)
        connection.execute("INSERT INTO alembic_version VALUES (?)", (made["revision"],))
        at("made")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(driver.Error):  # a full disk has rolled back by itself
            connection.execute("ROLLBACK")
        raise


def describe_schema(connection: driver.Connection) -> dict[str, Any]:
    """What `make_schema` makes another database like this one of: its revision, and statements in order."""
    ((revision,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    rows = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
    return {"revision": revision, "statements": [text for (text,) in rows]}
