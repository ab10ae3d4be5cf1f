from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.sql import (
    BusyStoreError,
    DiskFailedError,
    Machine,
    SqlStore,
    UnreadableRowError,
)
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.ports.store import AmbiguousCommitError, FullDiskError, StoreUnavailableError
from tests.contracts.store import rows
from tests.contracts.store.rows import NOW, SPACE, WRITER, append, event, open_chain, person, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POINTS = ("begin", "locked", "written", "before-commit", "after-commit")


class Stopped(Exception):  # noqa: N818  # no error of ours
    """What a test raises at a point."""


def lost(code: int | None = None) -> driver.OperationalError:
    error = driver.OperationalError("the connection is gone")
    if code is not None:
        error.sqlite_errorcode = code
    return error


class Commits(driver.Connection):
    """Answers the next commit as it is told to: the end comes before it or after."""

    before: BaseException | None = None
    after: BaseException | None = None
    made = 0

    def __init__(self, *args: object, **words: object) -> None:
        super().__init__(*args, **words)  # type: ignore[arg-type]  # passes on what the driver gives
        type(self).made += 1

    def execute(self, text: str, values: Any = ()) -> driver.Cursor:
        if text != "COMMIT":
            return super().execute(text, values)
        before, after = Commits.before, Commits.after
        Commits.before = Commits.after = None
        if before is not None:
            raise before
        done = super().execute(text)
        if after is not None:
            raise after
        return done


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    Commits.before = Commits.after = None
    opened = SqlStore(tmp_path / "t.db", reserve=4096, machine=Machine(factory=Commits))
    open_chain(opened)
    Commits.made = 0
    yield opened
    opened.close()


def count(store: SqlStore) -> int:
    return read(store, lambda seen: seen.audit.count())


def test_a_commit_that_happened_and_was_not_answered_is_ambiguous_and_found(store: SqlStore) -> None:
    Commits.after = lost()
    with pytest.raises(AmbiguousCommitError):
        append(store, event(1))
    assert count(store) == 2
    append(store, event(2))
    assert count(store) == 3


def test_a_commit_that_did_not_happen_and_was_not_answered_is_ambiguous_and_gone(store: SqlStore) -> None:
    Commits.before = lost()
    with pytest.raises(AmbiguousCommitError):
        append(store, event(1))
    assert count(store) == 1
    append(store, event(2))
    assert count(store) == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_after_an_ambiguous_commit_a_fresh_connection_writes(store: SqlStore, when: str) -> None:
    setattr(Commits, when, lost())
    with pytest.raises(AmbiguousCommitError):
        append(store, event(1))
    assert Commits.made == 0
    append(store, event(2))
    assert Commits.made == 1


@pytest.mark.parametrize(("when", "records"), [("before", 1), ("after", 2)])
def test_an_interrupt_during_a_commit_leaves_a_store_that_goes_on(
    store: SqlStore, when: str, records: int
) -> None:
    setattr(Commits, when, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        append(store, event(1))
    assert count(store) == records
    append(store, event(2))
    assert count(store) == records + 1


@pytest.mark.parametrize(("code", "error"), [(13, FullDiskError), (5, BusyStoreError)])
def test_a_commit_that_surely_did_not_happen_is_not_ambiguous(
    store: SqlStore, code: int, error: type[Exception]
) -> None:
    Commits.before = lost(code)
    with pytest.raises(error):
        append(store, event(1))
    assert count(store) == 1
    append(store, event(2))
    assert count(store) == 2


def test_f7_a_failed_sync_is_ambiguous_and_closes_the_store_for_good(store: SqlStore) -> None:
    Commits.after = lost(10)
    with pytest.raises(AmbiguousCommitError):
        append(store, event(1))
    attempts: list[Callable[[], object]] = [
        lambda: append(store, event(2)),
        lambda: count(store),
        store.last_instant,
        lambda: store.write(lambda tx: tx.audit.count(), reserve=True),
    ]
    for attempt in attempts:
        with pytest.raises(DiskFailedError):
            attempt()
    store.close()
    with pytest.raises(StoreUnavailableError):
        count(store)


FAILED = """
import sys
from pathlib import Path
from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.ports.store import AmbiguousCommitError
from tests.adapters.store.test_sqlite_commit import Commits, lost
from tests.contracts.store.rows import append, event, open_chain

store = SqlStore(Path(sys.argv[1]), reserve=4096, machine=Machine(factory=Commits))
open_chain(store)
with store.read():
    Commits.before = lost(10)
    try:
        append(store, event(1))
    except AmbiguousCommitError:
        pass
store.close()
"""


def test_f7_after_a_failed_disk_the_files_are_not_touched_even_by_the_end_of_the_process(
    tmp_path: Path,
) -> None:
    subprocess.run([sys.executable, "-c", FAILED, os.fspath(tmp_path / "t.db")], check=True)
    assert (tmp_path / "t.db-wal").stat().st_size
    again = SqlStore(tmp_path / "t.db", reserve=4096)
    assert count(again) == 1
    again.close()


def test_each_point_of_a_write_is_told_in_order(tmp_path: Path) -> None:
    told: list[str] = []
    store = SqlStore(tmp_path / "t.db", reserve=4096, at=told.append)
    assert told == ["looked", "made", "prepared"]
    told.clear()
    store.write(lambda tx: told.append(f"work {tx.audit.count()}"))
    assert told == ["begin", "locked", "work 0", "written", "before-commit", "after-commit"]
    store.close()


@pytest.mark.parametrize("point", POINTS)
def test_an_error_at_any_point_leaves_all_of_the_write_or_nothing(tmp_path: Path, point: str) -> None:
    armed: list[str] = []

    def at(now: str) -> None:
        if now in armed:
            armed.clear()
            raise Stopped

    store = SqlStore(tmp_path / "t.db", reserve=4096, at=at)
    open_chain(store)
    armed.append(point)
    with pytest.raises(Stopped):
        append(store, event(1), event(2))
    assert count(store) == (3 if point == "after-commit" else 1)
    append(store, event(3))
    assert count(store) == (4 if point == "after-commit" else 2)
    store.close()


class Impatient(driver.Connection):
    """Waits a moment for another writer, and no longer."""

    def __init__(self, path: str, **words: object) -> None:
        super().__init__(path, **{**words, "timeout": 0.05})  # type: ignore[arg-type]  # passes on what it was given


def test_f9_another_process_that_writes_for_too_long_makes_the_store_busy_and_nothing_more(
    tmp_path: Path,
) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=4096, machine=Machine(factory=Impatient))
    other = SqlStore(tmp_path / "t.db", reserve=4096)
    open_chain(store)

    def meanwhile(_tx: object) -> None:
        with pytest.raises(BusyStoreError):
            append(store, event(1))
        assert count(store) == 1

    other.write(meanwhile)
    append(store, event(2))
    assert count(store) == 2
    store.close()
    other.close()


def test_f9_writers_of_two_stores_on_one_file_pass_no_limit(tmp_path: Path) -> None:
    stores = [SqlStore(tmp_path / "t.db", reserve=4096) for _ in range(2)]
    stores[0].write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {"g0/uses": 50}))
    barrier = threading.Barrier(10)
    won: list[int] = []

    def run(store: SqlStore) -> None:
        barrier.wait()
        won.extend(store.write(take) for _ in range(8))

    def take(tx: object) -> int:
        assert hasattr(tx, "tasks")
        left: int = tx.tasks.lock_remainders(SPACE, ["tsk_1"])["tsk_1"]["g0/uses"]
        if left:
            tx.tasks.set_remainders(SPACE, {("tsk_1", "g0/uses"): (left, left - 1)})
        return min(left, 1)

    threads = [threading.Thread(target=run, args=(stores[n % 2],)) for n in range(10)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (len(won), sum(won)) == (80, 50)
    assert read(stores[1], lambda seen: seen.tasks.remainders(SPACE, "tsk_1")) == {"g0/uses": 0}
    for store in stores:
        store.close()


def test_a_checkpoint_follows_when_the_write_ahead_log_is_long_and_loses_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    store = SqlStore(tmp_path / "t.db", reserve=4096, at=told.append)
    open_chain(store)
    for number in range(40):
        append(store, *(event(number * 1000 + n) for n in range(300)))
    assert 1 <= told.count("checkpoint") <= 20
    assert (tmp_path / "t.db-wal").stat().st_size < 8 * 1024 * 1024
    assert count(store) == 40 * 300 + 1
    store.close()


class Looks(driver.Connection):
    """Counts how often the write-ahead log is looked at."""

    count = 0

    def execute(self, text: str, values: Any = ()) -> driver.Cursor:
        Looks.count += text == "PRAGMA wal_checkpoint(NOOP)"
        return super().execute(text, values)


def test_after_commits_of_a_few_rows_the_log_is_looked_at_now_and_then_and_never_grows_long(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    machine = Machine(factory=Looks)
    store = SqlStore(tmp_path / "t.db", reserve=4096, at=told.append, machine=machine)
    open_chain(store)
    Looks.count = 0
    for number in range(480):
        append(store, event(number))
    assert Looks.count == 30
    assert told.count("checkpoint") >= 1
    assert (tmp_path / "t.db-wal").stat().st_size < 5 * 1024 * 1024
    append(store, *(event(number) for number in range(9)))
    assert Looks.count == 31
    store.close()


def test_while_the_reserve_is_in_use_the_log_is_looked_at_after_each_commit(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=4096, machine=Machine(factory=Looks))
    open_chain(store)
    store._files.reserve.release()  # noqa: SLF001  # as a full disk would have made it
    Looks.count = 0
    for _ in range(3):
        store.write(lambda tx: tx.audit.append(SPACE, WRITER, [event(1)], NOW), reserve=True)
    assert Looks.count == 3
    store.close()


def test_a_number_or_text_that_no_column_can_hold_is_refused_and_nothing_stays(store: SqlStore) -> None:
    with pytest.raises(StoreUnavailableError):
        store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {"fine": 1, "g0/uses": 2**63}))
    with pytest.raises(StoreUnavailableError):
        store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {"\ud800": 1}))
    assert read(store, lambda seen: seen.tasks.remainders(SPACE, "tsk_1")) == {}


def test_f39_a_row_that_nothing_of_ours_wrote_is_named_and_the_rest_goes_on(
    store: SqlStore, tmp_path: Path
) -> None:
    store.write(lambda tx: tx.identities.put_person(person(), expect=0))
    store.write(lambda tx: tx.identities.put_person(person("bob"), expect=0))
    stranger = driver.connect(tmp_path / "t.db")
    stranger.execute("UPDATE persons SET state = 'nowhere' WHERE name = 'bob'")
    stranger.commit()
    stranger.close()
    with pytest.raises(UnreadableRowError):
        read(store, lambda seen: seen.identities.person(SPACE, "bob"))
    assert read(store, lambda seen: seen.identities.person(SPACE, "ann")) == person()
    append(store, event(1))


def test_a_float_can_not_get_into_a_limit(store: SqlStore, tmp_path: Path) -> None:
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {"g0/uses": 1}))
    stranger = driver.connect(tmp_path / "t.db")
    with pytest.raises(driver.IntegrityError):
        stranger.execute("UPDATE remainders SET remaining = 0.5")
    stranger.close()


@pytest.mark.parametrize("decision", ["refuse", "hold", "permit"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE actions SET decision = 'permit'",
        "UPDATE actions SET charges = '[]'",
        "UPDATE actions SET connection = 'con_9'",
    ],
)
def test_of_what_was_decided_the_database_changes_only_that_what_is_held_is_permitted(
    tmp_path: Path, decision: str, statement: str
) -> None:
    path = tmp_path / "t.db"
    store = SqlStore(path, reserve=0)
    rows.insert(store, rows.action(1, decision=decision))
    store.close()
    with closing(driver.connect(path)) as beside:
        with pytest.raises(driver.Error, match="what was decided does not change"):
            beside.execute(statement)
        beside.execute("UPDATE actions SET note = 'more'")
