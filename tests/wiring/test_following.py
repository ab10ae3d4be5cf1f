"""`--follow` believes that a store was reconciled only by what the store says, and each word once (I-15)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from taskbound.surfaces.cli.app import run
from taskbound.wire.connection import Done
from taskbound.wire.token import Stop
from taskbound.wiring.cli import make_plugs
from taskbound.wiring.home import find_socket, make_home
from taskbound.wiring.seen import read_begun
from tests.wiring.running import client, covered, daemon, settle_in, start_task, until


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    make_home(path)
    return path


def typed(home: Path, *words: str) -> int:
    return run((*words, "--home", str(home), "--yes"), make_plugs(os.environ))


def kept(home: Path, folder: Path) -> Path:
    """The database of now, to be put back by hand."""
    folder.mkdir()
    for one in home.glob("taskbound.db*"):
        shutil.copy2(one, folder)
    return folder


def put_back(folder: Path, home: Path) -> None:
    for one in folder.iterdir():
        shutil.copy2(one, home)


def go_on(home: Path) -> None:
    with daemon(home), client(find_socket(home)) as one:
        one.ask(Stop(stopped=False, reason=""), Done)
        start_task(one)
        until(lambda: covered(find_socket(home)), "the log goes on")


def test_a_store_that_nobody_reconciled_is_followed_neither_before_any_word_nor_by_an_old_one(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(home):
        settle_in(find_socket(home), home)
        until(lambda: covered(find_socket(home)), "the log is signed")
    first = kept(home, tmp_path / "first")
    go_on(home)
    put_back(first, home)
    assert typed(home, "db", "reconcile", "--follow") == 3
    assert "[not-reconciled]" in capsys.readouterr().err
    assert typed(home, "db", "reconcile") == 0
    said = read_begun(home)
    second = kept(home, tmp_path / "second")
    go_on(home)
    put_back(second, home)
    assert typed(home, "db", "reconcile", "--follow") == 3
    assert "[not-reconciled]" in capsys.readouterr().err
    (home / "log-begun").unlink()  # as where it was reconciled from another directory
    assert typed(home, "db", "reconcile", "--follow") == 0
    assert read_begun(home) == said


def test_a_directory_that_comes_to_a_store_later_knows_the_word_that_is_in_it(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(home):
        settle_in(find_socket(home), home)
        until(lambda: covered(find_socket(home)), "the log is signed")
    first = kept(home, tmp_path / "first")
    go_on(home)
    put_back(first, home)
    assert typed(home, "db", "reconcile") == 0
    said = read_begun(home)
    second = kept(home, tmp_path / "second")
    for name in ("log-seen", "log-begun"):
        (home / name).unlink()
    go_on(home)
    assert read_begun(home) == said
    put_back(second, home)
    assert typed(home, "db", "reconcile", "--follow") == 3
    assert "[not-reconciled]" in capsys.readouterr().err
