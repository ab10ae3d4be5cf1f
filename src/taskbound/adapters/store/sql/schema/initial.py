"""Creates a new database, and checks the revision of an existing one.

1. The caller runs all statements in one transaction: a crash leaves a database without tables.
2. A database of another revision is refused; earlier revisions were never released.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Table
from sqlalchemy.schema import CreateTable

from taskbound.adapters.store.sql.schema import LIFTED, METADATA
from taskbound.adapters.store.sql.schema.columns import WHOLE, create_index
from taskbound.ports.store import NewerDatabaseError, OlderDatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Dialect


REVISION: Final = 1
"""Of the schema that stands here; the next schema has the next number."""
READ_REVISION: Final = "SELECT revision FROM schema_revision"

schema_revision: Final = Table(
    "schema_revision",
    METADATA,
    Column("revision", WHOLE, primary_key=True, autoincrement=False),
    sqlite_strict=True,
)
"""One row."""

_REFUSAL: Final = "what was decided does not change"
_UPDATE: Final = f"CREATE TRIGGER actions_lift BEFORE UPDATE OF {', '.join(LIFTED)} ON actions"
_CHANGED: Final = (
    "OLD.decision <> 'hold' OR OLD.state <> 'held' OR NEW.decision <> 'permit'"
    " OR NEW.state NOT IN ('permitted', 'unwatched')"
)
_FUNCTION: Final = f"""
    CREATE FUNCTION actions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE insufficient_privilege USING MESSAGE = '{_REFUSAL}'; END $$
"""
_TRIGGERS: Final = {
    "sqlite": (f"{_UPDATE} WHEN {_CHANGED} BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",),
    "postgresql": (
        _FUNCTION,
        f"{_UPDATE} FOR EACH ROW WHEN ({_CHANGED}) EXECUTE FUNCTION actions_stay()",
    ),
}
"""By engine: refuses changes to what was decided."""


def initial_schema(dialect: Dialect) -> Iterator[str]:
    """Yields the statements that create the schema and record its revision (rule 1)."""
    for table in METADATA.sorted_tables:
        yield str(CreateTable(table).compile(dialect=dialect))
        for index in sorted(table.indexes, key=lambda one: str(one.name)):
            yield create_index(index, dialect)
    yield from _TRIGGERS[dialect.name]
    yield f"INSERT INTO schema_revision VALUES ({REVISION})"  # noqa: S608  # our own number


def require_revision(found: object, database: str) -> None:
    """Raises Newer- or OlderDatabaseError unless `found` is this revision (rule 2); None counts as older."""
    if found == REVISION:
        return
    if isinstance(found, int) and found > REVISION:
        raise NewerDatabaseError(f"{database} has revision `{found}`, which this version does not know")
    raise OlderDatabaseError(f"{database} was made by a version before the first release")
