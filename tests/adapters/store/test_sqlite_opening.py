from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.adapters.store.sql.sqlite.opening import APPLICATION, require_library
from taskbound.ports.store import AffectedLibraryError, ForeignDatabaseError, StoreUnavailableError
from tests.contracts.store.rows import append, event, open_chain, read
from tests.core.audit.logs import verify_chain

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "version",
    ["3.7.0", "3.44.5", "3.45.0", "3.46.1", "3.49.9", "3.50.0", "3.50.6", "3.51.0", "3.51.2", "3.43.6"],
)
def test_a_library_that_can_lose_committed_writes_is_refused(version: str, tmp_path: Path) -> None:
    with pytest.raises(AffectedLibraryError):
        SqlStore(tmp_path / "t.db", machine=Machine(library=version))
    assert not (tmp_path / "t.db").exists()


@pytest.mark.parametrize("version", ["3.44.6", "3.44.9", "3.50.7", "3.51.3", "3.52.0", "3.53.4", "4.0.0"])
def test_a_mended_library_is_not_refused(version: str) -> None:
    require_library(version)


@pytest.mark.parametrize("version", ["", "3.53", "3.53.4.1", "three", "3.53.x", "3.6.23"])
def test_a_library_that_can_not_be_judged_is_refused(version: str) -> None:
    with pytest.raises(AffectedLibraryError):
        require_library(version)


def test_the_driver_brings_a_library_that_is_not_affected() -> None:
    require_library(driver.sqlite_version)


def test_a_database_is_marked_as_ours_and_kept_from_everybody_else(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = SqlStore(tmp_path / "t.db", reserve=4096)
    finally:
        os.umask(before)
    open_chain(store)
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()}
    store.close()
    assert set(modes) == {"t.db", "t.db-lock", "t.db-mark", "t.db-reserve", "t.db-shm", "t.db-wal"}
    assert set(modes.values()) == {0o600}
    connection = driver.connect(os.fspath(tmp_path / "t.db"))
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_both_kinds_of_connections_are_durable_and_readers_can_not_write(tmp_path: Path) -> None:
    made: list[driver.Connection] = []

    class Kept(driver.Connection):
        def __init__(self, *args: object, **words: object) -> None:
            super().__init__(*args, **words)  # type: ignore[arg-type]  # passes on what the driver gives
            made.append(self)

    store = SqlStore(tmp_path / "t.db", reserve=0, machine=Machine(factory=Kept))
    with store.read():
        writer, reader = made
        for one in made:
            assert one.execute("PRAGMA synchronous").fetchone() == (2,)
            assert one.execute("PRAGMA secure_delete").fetchone() == (1,)
            assert one.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
            assert one.execute("PRAGMA foreign_keys").fetchone() == (1,)
        with pytest.raises(driver.OperationalError):
            reader.execute("DELETE FROM persons")
        writer.execute("DELETE FROM persons")
    store.close()


@pytest.mark.parametrize("mark", [0, 1, 252006673])
def test_a_database_of_another_program_is_refused_and_not_changed(tmp_path: Path, mark: int) -> None:
    path = tmp_path / "t.db"
    connection = driver.connect(os.fspath(path))
    connection.execute("CREATE TABLE theirs (a)")
    connection.execute(f"PRAGMA application_id = {mark}")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ForeignDatabaseError):
        SqlStore(path)
    assert path.read_bytes() == before
    assert {one.name for one in tmp_path.iterdir()} == {"t.db", "t.db-lock"}


def test_an_empty_database_that_another_program_has_marked_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    connection = driver.connect(os.fspath(path))
    connection.execute("PRAGMA application_id = 252006673")
    connection.close()
    with pytest.raises(ForeignDatabaseError):
        SqlStore(path)


@pytest.mark.parametrize(
    "content", [b"x", b"# notes\n" * 1000, b"\x00" * 8192, b"SQLite format 3\x00" + b"\xff" * 9000]
)
def test_a_file_that_is_no_database_is_refused_and_not_changed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(content)
    with pytest.raises(ForeignDatabaseError):
        SqlStore(path)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / "t.db").touch()
    store = SqlStore(tmp_path / "t.db")
    open_chain(store)
    store.close()


def test_what_was_written_is_there_when_the_database_is_opened_again(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=4096)
    open_chain(store)
    raw = append(store, event(1))
    store.close()
    again = SqlStore(tmp_path / "t.db", reserve=4096)
    assert [one.body for one in read(again, lambda seen: seen.audit.pending(9))][1:] == list(raw)
    assert again.last_instant() > 0
    assert "SQLite 3." in again.describe()
    assert os.fspath(tmp_path) in again.describe()
    again.close()


def test_a_closed_database_leaves_no_write_ahead_log(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    open_chain(store)
    with store.read():
        pass
    store.close()
    assert {one.name for one in tmp_path.iterdir()} == {"t.db", "t.db-lock", "t.db-mark"}


def test_a_place_where_no_file_can_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="nowhere"):
        SqlStore(tmp_path / "nowhere" / "t.db")
    (tmp_path / "t.db").mkdir()
    with pytest.raises(StoreUnavailableError):
        SqlStore(tmp_path / "t.db")


def test_two_stores_on_one_file_see_each_other_and_lose_nothing(tmp_path: Path) -> None:
    one, other = (SqlStore(tmp_path / "t.db", reserve=4096) for _ in range(2))
    open_chain(one, "wrt_a")
    open_chain(other, "wrt_b")
    for number in range(20):
        append(one, event(number), writer="wrt_a")
        append(other, event(number), writer="wrt_b")
        assert read(one, lambda seen: seen.audit.count()) == 2 * number + 4
    one.close()
    append(other, event(99), writer="wrt_b")
    with other.read() as seen:
        chains = verify_chain(record.body for record in seen.audit.pending(1000))
    assert chains.count == 43
    other.close()


OPENER = """
import sys
from pathlib import Path
from taskbound.adapters.store.sql import SqlStore
from tests.contracts.store.rows import append, event, open_chain
sys.stdin.readline()
store = SqlStore(Path(sys.argv[1]), reserve=4096)
open_chain(store, sys.argv[2])
for number in range(25):
    append(store, event(number), writer=sys.argv[2])
store.close()
"""


def test_processes_that_make_one_database_at_once_all_write_to_it(tmp_path: Path) -> None:
    path = os.fspath(tmp_path / "t.db")
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, path, f"wrt_{number}"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(4)
    ]
    for one in openers:
        if one.stdin is not None:
            one.stdin.write(b"\n")
            one.stdin.flush()
    ends = [one.communicate()[1] for one in openers]
    assert ends == [b""] * 4
    store = SqlStore(tmp_path / "t.db", reserve=4096)
    with store.read() as seen:
        chains = verify_chain(record.body for record in seen.audit.pending(1000))
    assert chains.count == 4 * 26
    store.close()
