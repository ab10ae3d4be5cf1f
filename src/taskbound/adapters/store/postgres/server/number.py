"""How records are numbered where several daemons write at once.

1. A record's number is its transaction's id, shifted, and its place within it. Ids are
   given in an order of their own, and transactions commit in another: a reader of
   "number > last seen" would lose records.
2. So the log is read only up to the lowest id that can still commit (the snapshot's
   `xmin`): below it everything has been decided, and nothing comes later. Within that
   the numbers are the order, and what has no place is what comes after the last that has one.
3. A writer's own records are in their order, since its transactions follow each other.
   A record that names another writer's head comes after it: the head had committed
   before this transaction got its id (`PostgresAudit.append` holds that).
4. A database that was loaded into another server finds smaller ids there. Its numbers
   go on above the last one (`shift`), or the store is refused: nothing is passed over.
"""

from __future__ import annotations

from typing import Final

MADE: Final = ("CREATE TABLE numbering (shift bigint NOT NULL)", "INSERT INTO numbering VALUES (0)")
"""What makes the table of one row that only this engine has (rule 4)."""

WIDTH: Final = 20
"""Bits for the place within a transaction: a million records."""

NUMBER: Final = f"(SELECT (pg_current_xact_id()::text::bigint + shift) << {WIDTH} FROM numbering)"  # noqa: S608  # our own constant
"""The number before the first record of this transaction."""

SETTLED: Final = (
    f"(SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + shift) << {WIDTH} FROM numbering)"  # noqa: S608  # our own constant
)
"""All records below have been decided (rule 2)."""

NEXT: Final = (
    f"(SELECT (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + shift) << {WIDTH} FROM numbering)"  # noqa: S608  # our own constant
)
"""No record of this server is here or above (rule 4)."""
