"""The least that a durable decision can be: one counter, one action, one audit record, by hand.

This is what the store's commit is compared with, in the same run on the same disk. It
checks nothing and knows nothing: no namespace, task, chain, presentation or history.
`python -m dev.benchmarks.bare_commit FOLDER` prints µs a decision in groups of 1, 16 and 64.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3 as driver
    from collections.abc import Sequence
else:
    import pysqlite3.dbapi2 as driver


_TABLES: Final = (
    "CREATE TABLE counters (id TEXT PRIMARY KEY, left INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE actions (id TEXT PRIMARY KEY, task TEXT, digest BLOB, body BLOB)",
    "CREATE TABLE audit (number INTEGER PRIMARY KEY, prev BLOB, body BLOB)",
    "INSERT INTO counters VALUES ('g0', 1000000000)",
)
_TAKE: Final = "UPDATE counters SET left = left - ? WHERE id = ? AND left >= ?"
_ACTION: Final = "INSERT INTO actions (id, task, digest, body) VALUES (?, ?, ?, ?)"
_RECORD: Final = "INSERT INTO audit (prev, body) VALUES (?, ?)"
_BODY: Final = 700
"""Bytes of an action's row and of a record, about as many as ours have."""


class BareCommit:
    """A database of three tables, written as the driver does it fastest with every commit synced."""

    def __init__(self, path: Path) -> None:
        """Make the database."""
        self._connection = driver.connect(os.fspath(path), isolation_level=None, cached_statements=256)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *_TABLES):
            self._connection.execute(statement)

    def fill(self, count: int) -> None:
        """Write so many actions and records without a sync, then move all of them into the file."""
        self._connection.execute("PRAGMA synchronous=OFF")
        for start in range(0, count, 10_000):
            self.commit(rows(min(10_000, count - start)))
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.execute("PRAGMA synchronous=FULL")

    def commit(self, rows: Sequence[tuple[str, str, bytes, bytes]]) -> None:
        """Decide these in one transaction; durable when it returns."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_TAKE, [(1, "g0", 1)] * len(rows))
        self._connection.executemany(_ACTION, rows)
        self._connection.executemany(_RECORD, [(row[2], row[3]) for row in rows])
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()


def rows(count: int) -> list[tuple[str, str, bytes, bytes]]:
    """So many new actions with random names."""
    body = os.urandom(_BODY)
    return [(f"act_{os.urandom(13).hex()}", "tsk_1", body[:32], body) for _ in range(count)]


def measure(path: Path, *, group: int, groups: int, filled: int = 0) -> list[float]:
    """Seconds of each group's commit, in order.

    Args:
        path: A database that does not exist yet.
        group: Decisions in one transaction.
        groups: Transactions.
        filled: Actions that are there before the first.
    """
    bare = BareCommit(path)
    bare.fill(filled)
    times = []
    for _ in range(groups):
        ready = rows(group)
        start = time.perf_counter()
        bare.commit(ready)
        times.append(time.perf_counter() - start)
    bare.close()
    return times


def main() -> None:
    """Print the figures of an empty database."""
    folder = Path(sys.argv[1])
    for group in (1, 16, 64):
        times = measure(
            folder / f"bare-{group}.db", group=group, groups=2000 if group == 1 else 6400 // group
        )
        micros = sorted(one / group * 1e6 for one in times)
        middle, mean = statistics.median(micros), statistics.fmean(micros)
        print(f"{group:3} a group: {middle:7.1f} µs median, {mean:7.1f} mean")


if __name__ == "__main__":
    main()
