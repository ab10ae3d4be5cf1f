"""Eight writers, two daemons, readers that are cut off: nothing that was revoked is missed (T7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.postgres.audit import PostgresAudit
from taskbound.adapters.store.sql import SqlStore
from taskbound.ports.audit import PendingRecord
from tests.stories.feeding import Course, Told, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Server

WRITERS, WATCHERS = 8, 2
COUNT = 2_000
"""Of the 100,000 of dev/soak."""


def course(server: Server, count: int = COUNT, seed: int = 1) -> Told:
    """One course of events in a database of its own: a writer opens its chain there once."""
    name = server.database()
    opened = [PostgresStore(server.url(name)) for _ in range(WRITERS + WATCHERS)]
    try:
        return run(Course(writers=opened[WATCHERS:], watchers=opened[:WATCHERS], count=count, seed=seed))
    finally:
        for one in opened:
            one.close()
        server.drop(name)


@pytest.mark.soak
def test_t7_k20_nothing_is_missed_however_commits_are_ordered_and_answers_are_lost(server: Server) -> None:
    told = course(server)
    assert (len(told.committed), told.missed()) == (COUNT, 0)
    assert told.held > COUNT / 100, "commits came in another order than they began"
    assert told.lost > COUNT / 100
    assert told.late > 0
    assert told.other == 0


def test_t7_a_feed_that_goes_by_numbers_alone_misses_some(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_there_are(self: PostgresAudit, number: int, limit: int) -> tuple[PendingRecord, ...]:
        found = self._link.rows(
            "SELECT number, body FROM records WHERE number > ? ORDER BY number LIMIT ?", (number, limit)
        )
        return tuple(PendingRecord(number=int(row[0] or 0), body=bytes(row[1] or b"")) for row in found)  # type: ignore[arg-type]  # bytes of a column

    monkeypatch.setattr("tests.stories.feeding.DEADLINE", 1.0)
    monkeypatch.setattr(PostgresAudit, "following", all_there_are)
    assert any(course(server, 600, seed).missed() for seed in range(20)), "a course that sees what it is for"


def test_t7_beside_one_writer_of_a_file_nothing_is_missed(tmp_path: Path) -> None:
    opened = [SqlStore(tmp_path / "t.db", reserve=0) for _ in range(3)]
    told = run(Course(writers=opened[2:], watchers=opened[:2], count=300, seed=2, holds=0))
    assert (len(told.committed), told.missed()) == (300, 0)
    for one in opened:
        one.close()
