from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlReader, SqlStore
from taskbound.wiring.database import DatabaseElsewhereError, OpenFolderError, place_database
from taskbound.wiring.home import ForeignHomeError
from taskbound.wiring.store import DATABASE

if TYPE_CHECKING:
    from pathlib import Path

MINE = os.getegid()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    one = tmp_path / "home"
    one.mkdir(mode=0o700)
    return one


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that a group may enter."""
    one = tmp_path / "store"
    one.mkdir()
    os.chown(one, -1, MINE)
    one.chmod(0o2750)
    return one


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_without_a_word_the_database_is_in_the_data_directory_and_nothing_is_made(home: Path) -> None:
    assert place_database(home, "", None) == home / DATABASE
    assert list(home.iterdir()) == []


def test_the_file_and_what_sqlite_makes_beside_it_are_for_the_group_to_read_and_nothing_else(
    home: Path, shared: Path
) -> None:
    before = os.umask(0o077)
    try:
        path = place_database(home, str(shared / "t.db"), MINE)
        store = SqlStore(path, reserve=0)
        found = {one.name.removeprefix("t.db"): mode(one) for one in shared.iterdir()}
        with SqlReader(path).read() as seen:
            assert seen.audit.count() == 0
        store.close()
    finally:
        os.umask(before)
    assert {ending for ending, bits in found.items() if bits == 0o640} == {"", "-wal", "-shm"}
    assert {bits for ending, bits in found.items() if ending not in {"", "-wal", "-shm"}} == {0o600}
    shared.chmod(0o700)
    place_database(home, str(path), None)  # and closed again, when nobody is to read it any more
    assert mode(path) == 0o600


def test_what_a_killed_daemon_left_is_given_to_the_group_too(home: Path, shared: Path) -> None:
    for ending in ("", "-wal", "-shm", "-mark"):
        (shared / f"t.db{ending}").touch(0o600)
    place_database(home, str(shared / "t.db"), MINE)
    assert {one.name: mode(one) for one in shared.iterdir()} == {
        "t.db": 0o640,
        "t.db-wal": 0o640,
        "t.db-shm": 0o640,
        "t.db-mark": 0o600,
    }


@pytest.mark.parametrize("bits", [0o700, 0o750, 0o2770, 0o2751, 0o2755, 0o6750])
def test_a_folder_for_readers_lets_in_its_group_alone_and_lets_nobody_write(
    home: Path, shared: Path, bits: int
) -> None:
    shared.chmod(bits)
    with pytest.raises(OpenFolderError):
        place_database(home, str(shared / "t.db"), MINE)
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize("bits", [0o750, 0o711, 0o2700])
def test_a_folder_without_readers_lets_in_nobody(home: Path, shared: Path, bits: int) -> None:
    shared.chmod(bits)
    with pytest.raises(OpenFolderError):
        place_database(home, str(shared / "t.db"), None)


def test_a_folder_of_another_group_or_account_and_one_that_is_a_link_are_refused(
    home: Path, shared: Path, tmp_path: Path
) -> None:
    with pytest.raises(OpenFolderError):
        place_database(home, str(shared / "t.db"), MINE + 1)
    (tmp_path / "link").symlink_to(shared)
    for told in (tmp_path / "link" / "t.db", tmp_path / "nowhere" / "t.db"):
        with pytest.raises(ForeignHomeError):
            place_database(home, str(told), MINE)
    with pytest.raises(OpenFolderError):
        place_database(home, "t.db", MINE)
    (shared / "t.db").symlink_to(home / "elsewhere")
    with pytest.raises(ForeignHomeError):
        place_database(home, str(shared / "t.db"), MINE)
    assert list(home.iterdir()) == []
    if os.geteuid() == 0:
        (shared / "t.db").unlink()
        os.chown(shared, 4243, MINE)
        with pytest.raises(ForeignHomeError):
            place_database(home, str(shared / "t.db"), MINE)


@pytest.mark.parametrize("left", [DATABASE, f"{DATABASE}-mark"])
def test_a_database_that_was_not_moved_or_only_in_part_is_not_left_behind_for_a_new_one(
    home: Path, shared: Path, left: str
) -> None:
    (home / left).touch()
    with pytest.raises(DatabaseElsewhereError):
        place_database(home, str(shared / "t.db"), MINE)
    assert list(shared.iterdir()) == []
