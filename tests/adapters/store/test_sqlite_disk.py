from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.sql import DiskFailedError, Machine, SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.task import TaskState
from taskbound.ports.store import FullDiskError
from tests.contracts.store.rows import (
    NOW,
    SPACE,
    WRITER,
    action,
    append,
    decided,
    event,
    open_chain,
    read,
    task,
)
from tests.core.audit.logs import verify_chain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.ports.store import Transaction

RESERVE = 4 * 1024 * 1024
TASKS = 500
"""Whose ends take more space than the pages that a refused group of decisions leaves."""


def start(tx: Transaction) -> None:
    for number in range(TASKS):
        tx.tasks.put_task(task(f"tsk_{number}"), expect=0)


def end(store: SqlStore, number: int) -> None:
    ended = replace(task(f"tsk_{number}", version=2), state=TaskState.CANCELLED)

    def work(tx: Transaction) -> None:
        tx.tasks.put_task(ended, expect=1)
        tx.audit.append(SPACE, WRITER, [event(number)], NOW)

    store.write(work, reserve=True)


def decide(store: SqlStore, number: int) -> None:
    rows = [replace(action(number * 10 + n), arguments=os.urandom(3000)) for n in range(10)]

    def work(tx: Transaction) -> None:
        tx.actions.insert_actions(rows)
        tx.audit.append(SPACE, WRITER, [decided(one) for one in rows], NOW)

    store.write(work)


def decide_until_full(store: SqlStore) -> int:
    for number in range(10_000):
        try:
            decide(store, number)
        except FullDiskError:
            return number
    raise AssertionError("the disk never filled up")


def require_only_acknowledged(store: SqlStore, groups: int, ended: int) -> None:
    with store.read() as seen:
        assert seen.actions.count(SPACE, "tsk_1") == groups * 10
        assert seen.tasks.count(SPACE, TaskState.CANCELLED) == ended
        records = [one.body for one in seen.audit.pending(1_000_000)]
    assert verify_chain(records).count == 1 + groups * 10 + ended


def walk_through_a_full_disk(store: SqlStore) -> int:
    """Fill the disk with decisions, then end every task; how many groups of decisions were acknowledged."""
    open_chain(store)
    store.write(start)
    assert store.reserve_state() == "whole"
    groups = decide_until_full(store)
    require_only_acknowledged(store, groups, 0)
    for number in range(TASKS):
        end(store, number)
    assert store.reserve_state() != "whole"
    assert "reserve in use" in store.describe()
    for _ in range(3):
        with pytest.raises(FullDiskError):
            append(store, event(0))
    require_only_acknowledged(store, groups, TASKS)
    return groups


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", os.fspath(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no leave to mount a disk here; a limit on pages proves the same below")
    yield disk
    subprocess.run(["umount", "--lazy", os.fspath(disk)], check=True)


def test_f6_a_disk_that_is_really_full_refuses_decisions_and_still_ends_every_task(small_disk: Path) -> None:
    store = SqlStore(small_disk / "t.db", reserve=RESERVE)
    (small_disk / "filler").write_bytes(b"\x00" * 8_000_000)
    groups = walk_through_a_full_disk(store)
    (small_disk / "filler").unlink()
    append(store, event(99))
    assert store.reserve_state() == "whole"
    assert (small_disk / "t.db-reserve").stat().st_size == RESERVE
    store.close()
    again = SqlStore(small_disk / "t.db", reserve=RESERVE)
    assert read(again, lambda seen: seen.audit.count()) == 2 + groups * 10 + TASKS
    again.close()


def test_f6_a_small_reserve_is_not_spent_on_moving_more_than_fits(small_disk: Path) -> None:
    store = SqlStore(small_disk / "t.db", reserve=256 * 1024)
    open_chain(store)
    store.write(start)
    groups = decide_until_full(store)
    for number in range(4):
        end(store, number)
    require_only_acknowledged(store, groups, 4)
    store.close()


def fill(disk: Path) -> None:
    with (disk / "filler").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"\x00" * 4096)
        except OSError:
            return


def test_f6_a_daemon_that_starts_on_a_full_disk_can_end_every_task(small_disk: Path) -> None:
    store = SqlStore(small_disk / "t.db", reserve=RESERVE)
    open_chain(store)
    store.write(start)
    store.close()
    fill(small_disk)
    again = SqlStore(small_disk / "t.db", reserve=RESERVE)
    with pytest.raises(FullDiskError):
        append(again, event(1))
    for number in range(TASKS):
        end(again, number)
    require_only_acknowledged(again, 0, TASKS)
    again.close()
    (small_disk / "filler").unlink()
    once_more = SqlStore(small_disk / "t.db", reserve=RESERVE)
    assert once_more.reserve_state() == "whole"
    require_only_acknowledged(once_more, 0, TASKS)
    once_more.close()


def test_f6_a_new_store_on_a_full_disk_is_refused_and_leaves_nothing_half_made(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(FullDiskError):
        SqlStore(small_disk / "t.db", reserve=RESERVE)
    (small_disk / "filler").unlink()
    store = SqlStore(small_disk / "t.db", reserve=RESERVE)
    open_chain(store)
    store.close()


class Limited(driver.Connection):
    """A database that can't grow beyond so many pages."""

    pages = 0

    @classmethod
    def limit(cls, pages: int) -> None:
        cls.pages = pages

    def __init__(self, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)

    def execute(self, text: str, values: Any = ()) -> driver.Cursor:
        if text.startswith("BEGIN") and Limited.pages:
            super().execute(f"PRAGMA max_page_count = {Limited.pages}")
        return super().execute(text, values)


def test_f6_a_database_that_can_not_grow_refuses_decisions_and_still_ends_every_task(tmp_path: Path) -> None:
    space = [10 * RESERVE]

    def at(point: str) -> None:
        if point == "released":
            Limited.limit(pages[0] + 200)

    Limited.limit(0)
    machine = Machine(factory=Limited, free=lambda _: space[0])
    store = SqlStore(tmp_path / "t.db", reserve=RESERVE, at=at, machine=machine)
    pages = [(tmp_path / "t.db").stat().st_size // 4096 + 300]
    Limited.limit(pages[0])
    space[0] = 0
    groups = walk_through_a_full_disk(store)
    assert (tmp_path / "t.db-reserve").stat().st_size == 0
    space[0] = 2 * RESERVE - 1
    with pytest.raises(FullDiskError):
        append(store, event(0))
    space[0] = 2 * RESERVE
    Limited.limit(1_000_000)
    append(store, event(0))
    assert store.reserve_state() == "whole"
    assert read(store, lambda seen: seen.audit.count()) == 2 + groups * 10 + TASKS
    store.close()


def test_f6_work_that_ends_things_finds_no_second_reserve(tmp_path: Path) -> None:
    Limited.limit(0)
    store = SqlStore(tmp_path / "t.db", reserve=RESERVE, machine=Machine(factory=Limited, free=lambda _: 0))
    assert store.reserve_state() != "whole"
    with pytest.raises(FullDiskError):
        open_chain(store)
    store.write(start, reserve=True)
    Limited.limit(1)
    with pytest.raises(FullDiskError):
        store.write(lambda tx: tx.audit.put_tiles({(0, 0): os.urandom(500_000)}), reserve=True)
    Limited.limit(0)
    store.close()


class Unmovable(driver.Connection):
    """A database whose file can't grow, while its write-ahead log still can."""

    full = False

    def execute(self, text: str, values: Any = ()) -> driver.Cursor:
        if text == "PRAGMA wal_checkpoint(PASSIVE)" and Unmovable.full:
            error = driver.OperationalError("database or disk is full")
            error.sqlite_errorcode = 13
            raise error
        return super().execute(text, values)


def test_f6_a_checkpoint_that_finds_no_space_refuses_decisions_until_one_does(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=4096, machine=Machine(factory=Unmovable))
    open_chain(store)
    Unmovable.full = True
    groups = decide_until_full(store)
    assert 10 <= groups <= 100
    store.write(lambda tx: tx.audit.append(SPACE, WRITER, [event(1)], NOW), reserve=True)
    with pytest.raises(FullDiskError):
        append(store, event(2))
    assert store.reserve_state() == "whole"
    Unmovable.full = False
    append(store, event(3))
    assert read(store, lambda seen: seen.audit.count()) == 3 + groups * 10
    store.close()


def test_a_store_without_a_reserve_says_that_it_is_whole_and_has_none_to_give(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0, machine=Machine(factory=Limited))
    open_chain(store)
    assert store.reserve_state() == "whole"
    assert not (tmp_path / "t.db-reserve").exists()
    Limited.limit(1)
    with pytest.raises(FullDiskError):
        store.write(lambda tx: tx.audit.put_tiles({(0, 0): os.urandom(500_000)}), reserve=True)
    Limited.limit(0)
    store.close()


def test_a_reserve_that_was_cut_off_is_made_whole_when_the_store_opens(tmp_path: Path) -> None:
    SqlStore(tmp_path / "t.db", reserve=RESERVE).close()
    os.truncate(tmp_path / "t.db-reserve", 5)
    store = SqlStore(tmp_path / "t.db", reserve=RESERVE)
    assert store.reserve_state() == "whole"
    assert (tmp_path / "t.db-reserve").stat().st_size == RESERVE
    store.close()


def test_f7_a_mark_that_can_not_be_written_ends_the_store_after_the_write_that_was_durable(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    store = SqlStore(tmp_path / "t.db", reserve=4096, at=told.append)
    open_chain(store)
    handle = os.open(tmp_path / "t.db-mark", os.O_RDONLY)
    os.dup2(handle, store._files.mark_file._handle)  # noqa: SLF001  # the disk takes no more writes to this file
    os.close(handle)
    append(store, *(event(n) for n in range(3000)))
    assert "checkpoint" not in told
    with pytest.raises(DiskFailedError):
        append(store, event(1))
    store.close()
    again = SqlStore(tmp_path / "t.db", reserve=4096)
    assert read(again, lambda seen: seen.audit.count()) == 3001
    again.close()


FAULTY = """
import ctypes, os, resource, struct, sys
from pathlib import Path
from taskbound.adapters.store.sql import DiskFailedError, SqlStore
from taskbound.ports.store import AmbiguousCommitError
from tests.contracts.store.rows import append, event, open_chain, read

EIO = 5
CALLS = {"x86_64": (0xC000003E, 74, 75), "aarch64": (0xC00000B7, 82, 83)}


def fail_syncs():
    arch, *numbers = CALLS[os.uname().machine]
    allow, refuse = (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | EIO)
    steps = [
        (0x20, 0, 0, 4),  # which machine
        (0x15, 0, 3, arch),  # another: allow
        (0x20, 0, 0, 0),  # which call
        (0x15, 2, 0, numbers[0]),  # the first: refuse
        (0x15, 1, 0, numbers[1]),  # the second: refuse
        allow,
        refuse,
    ]
    code = b"".join(struct.pack("HBBI", *one) for one in steps)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
        sys.exit(77)
    handle = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        assert error.errno == EIO
    else:
        sys.exit(77)


def fail_writes():
    size = os.stat(sys.argv[1] + "/t.db-wal").st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 6000, size + 6000))


store = SqlStore(Path(sys.argv[1]) / "t.db", reserve=4096)
open_chain(store)
append(store, *(event(n) for n in range(50)))
{"syncs": fail_syncs, "writes": fail_writes}[sys.argv[2]]()
try:
    append(store, *(event(n) for n in range(500)))
except AmbiguousCommitError:
    pass
else:
    sys.exit("acknowledged")
for attempt in (lambda: append(store, event(1)), lambda: read(store, lambda seen: seen.audit.count())):
    try:
        attempt()
    except DiskFailedError:
        continue
    sys.exit("not refused")
store.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="system calls are made to fail by Linux's own means")
@pytest.mark.parametrize("fault", ["syncs", "writes"])
def test_f7_a_disk_that_fails_in_earnest_closes_the_store_and_loses_nothing_acknowledged(
    tmp_path: Path, fault: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FAULTY, os.fspath(tmp_path), fault],
        check=False,
        capture_output=True,
        text=True,
    )
    if ended.returncode == 77:
        pytest.skip("the kernel lets no filter make syncs fail; a connection that does so proves the same")
    assert (ended.returncode, ended.stderr) == (0, "")
    store = SqlStore(tmp_path / "t.db", reserve=4096)
    with store.read() as seen:
        count = seen.audit.count()
        assert verify_chain(one.body for one in seen.audit.pending(1000)).count == count
    assert count in {51, 551}
    append(store, event(1))
    store.close()
