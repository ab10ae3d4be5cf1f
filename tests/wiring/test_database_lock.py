"""One process has a SQLite database in use, whatever data directories there are, and nobody moves it then."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from pathlib import Path

import pytest

from taskbound.adapters.store.sql import hold_database, lock_of
from taskbound.surfaces.cli.app import run
from taskbound.wiring.cli import make_plugs
from taskbound.wiring.home import find_socket, make_home
from taskbound.wiring.restoring import restore_sqlite
from taskbound.wiring.seen import RestoreUnfinishedError, journal_of, open_believed
from taskbound.wiring.store import DATABASE
from tests.wiring.running import covered, daemon, decide, settle_in, status, until

MINE = os.getegid()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    make_home(path)
    return path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other"
    make_home(path)
    return path


def typed(home: Path, *words: str) -> int:
    return run((*words, "--home", str(home), "--yes"), make_plugs(os.environ))


def copied(home: Path, database: Path, copy: Path) -> None:
    """A copy of what a daemon serves that is just running."""
    settle_in(find_socket(home), home)
    until(lambda: covered(find_socket(home)), "the log is signed")
    words = ("db", "backup", str(copy), "--database", str(database), "--home", str(home))
    assert run(words, make_plugs(os.environ)) == 0


def beside(database: Path) -> dict[str, int]:
    """What lies in the database's folder, and which file each is."""
    return {one.name: one.stat().st_ino for one in database.parent.iterdir()}


def test_i15_what_a_daemon_serves_is_moved_from_no_other_directory_until_it_has_ended_or_was_killed(
    home: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, folder = tmp_path / "one.db", tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o2750)
    database = folder / "t.db"
    one = daemon(home, "--database", str(database), "--readers", str(MINE))
    with one:
        copied(home, database, copy)
        shutil.copytree(home / "signer", other / "signer")
        assert (lock_of(database).stat().st_mode & 0o777, database.stat().st_mode & 0o777) == (0o600, 0o640)
        there = beside(database)
        for words in (("restore", str(copy)), ("reconcile",)):
            assert typed(other, "db", *words, "--database", str(database)) == 4
            assert "[database-in-use]" in capsys.readouterr().err
            assert beside(database) == there
        assert decide(find_socket(home), request="2").action
        assert one.end(signal.SIGKILL) == -signal.SIGKILL
    assert typed(other, "db", "restore", str(copy), "--database", str(database)) == 0
    assert beside(database)[lock_of(database).name] == there[lock_of(database).name]
    assert beside(database)[database.name] != there[database.name]


def test_two_daemons_of_two_directories_do_not_serve_one_file(home: Path, other: Path) -> None:
    with daemon(home):
        second = daemon(other, "--database", str(home / DATABASE))
        assert second.wait() == 4
        assert "[database-in-use]" in second.words
        assert status(find_socket(home)).records
    with daemon(other, "--database", str(home / DATABASE)):
        assert status(find_socket(other)).records


def test_nobody_gets_the_lock_in_any_step_of_a_restore(home: Path, tmp_path: Path) -> None:
    copy, free = tmp_path / "one.db", []
    with daemon(home):
        copied(home, home / DATABASE, copy)

    def at(point: str) -> None:
        with lock_of(home / DATABASE).open("rb") as mine:
            try:
                fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            free.append(point)

    restore_sqlite(home, home / DATABASE, copy, at=at)
    assert free == []
    os.close(hold_database(home / DATABASE))


def test_a_daemon_that_waited_while_a_restore_was_begun_makes_no_database_in_its_place(home: Path) -> None:
    journal_of(home / DATABASE).write_text("{}")
    with pytest.raises(RestoreUnfinishedError):
        open_believed(home, home / DATABASE, "", failed=lambda: None)
    assert not (home / DATABASE).exists()
    os.close(hold_database(home / DATABASE))  # and keeps nobody else from it
