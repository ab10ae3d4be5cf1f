from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlReader, SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.errors import UnavailableError
from taskbound.ports.store import ForeignDatabaseError, NewerDatabaseError
from tests.contracts.store.rows import SPACE, append, event, open_chain, task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_a_reader_sees_what_is_committed_and_each_snapshot_anew_and_changes_nothing(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    reader = SqlReader(tmp_path / "t.db")
    with reader.read() as early:
        assert early.tasks.task(SPACE, "tsk_1") is None
        store.write(lambda tx: tx.tasks.put_task(task("tsk_1"), expect=0))
        assert early.tasks.task(SPACE, "tsk_1") is None
    with reader.read() as late:
        assert late.tasks.task(SPACE, "tsk_1") == task("tsk_1")
        with pytest.raises(UnavailableError):
            late.tasks.put_task(task("tsk_2"), expect=0)  # type: ignore[attr-defined]  # no word of a snapshot
    open_chain(store)
    append(store, event(1))
    assert reader.last_instant() == store.last_instant() > 0
    store.close()


def test_a_reader_reads_while_the_writer_has_a_transaction_open(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    reader = SqlReader(tmp_path / "t.db")

    def look() -> bool:
        with reader.read() as seen:
            return seen.tasks.task(SPACE, "tsk_1") is None

    def work(tx: object) -> bool:
        tx.tasks.put_task(task("tsk_1"), expect=0)  # type: ignore[attr-defined]  # it is a transaction, which has them
        return look()

    assert store.write(work)
    assert not look()
    store.close()


def test_what_is_no_database_of_this_version_is_not_read_and_none_is_made(tmp_path: Path) -> None:
    missing = SqlReader(tmp_path / "none.db")
    with pytest.raises(UnavailableError), missing.read():
        pass
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "foreign.db").touch()
    with pytest.raises(ForeignDatabaseError), SqlReader(tmp_path / "foreign.db").read():
        pass
    SqlStore(tmp_path / "old.db", reserve=0).close()
    old = driver.connect(tmp_path / "old.db")
    old.execute("UPDATE schema_revision SET revision = 9999")
    old.commit()
    old.close()
    with pytest.raises(NewerDatabaseError), SqlReader(tmp_path / "old.db").read():
        pass


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


@contextmanager
def another(path: Path, group: int) -> Iterator[Callable[[], str]]:
    """What an account of this group finds whenever it is asked: `read`, `nothing`, or the code of why not.

    It begins before anything is opened: SQLite's handles and locks of this process are none of its own.
    """
    ask, asked = os.pipe()
    answer, answered = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(asked)
        os.setgroups([])
        os.setgid(group)
        os.setuid(4243)
        while os.read(ask, 1):
            try:
                with SqlReader(path).read() as seen:
                    found = "nothing" if seen.tasks.task(SPACE, "tsk_1") is None else "read"
            except UnavailableError as error:
                found = error.code
            if os.access(path, os.W_OK):
                found = "writable"
            os.write(answered, found.encode())
        os._exit(0)

    def say() -> str:
        os.write(asked, b"?")
        return os.read(answer, 100).decode()

    try:
        yield say
    finally:
        for one in (ask, asked, answer, answered):
            os.close(one)
        os.waitpid(child, 0)


def test_another_account_reads_with_the_group_alone_and_is_told_which_file_it_may_not_read(
    open_folder: Path,
) -> None:
    if os.geteuid() != 0:
        reason = "only root reads as another account"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI must run this")
        pytest.skip(reason)
    group, path, before = 4242, open_folder / "t.db", os.umask(0o077)
    os.chown(open_folder, -1, group)
    open_folder.chmod(0o2750)
    path.touch(0o600)
    os.chown(path, -1, group)
    path.chmod(0o640)
    with another(path, group) as found:
        store = SqlStore(path, reserve=0)
        os.umask(before)
        assert found() == "nothing"
        store.write(lambda tx: tx.tasks.put_task(task("tsk_1"), expect=0))
        assert found() == "read"  # also what the file itself does not hold yet
        for ending in ("", "-wal", "-shm"):
            one = path.with_name(path.name + ending)
            assert (one.stat().st_mode & 0o777, one.stat().st_gid) == (0o640, group)
            one.chmod(0o600)
            assert found() == "store-unreadable", one
            one.chmod(0o640)
        open_folder.chmod(0o700)
        assert found() == "store-unreadable"
        open_folder.chmod(0o2750)
        assert found() == "read"
        store.close()
        assert found() == "store-unavailable"  # nobody writes it now, and there is no `-shm`
