from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import DamagedStoreError, SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.adapters.store.sql.sqlite.files import LogMark, read_mark
from taskbound.adapters.store.sql.sqlite.opening import APPLICATION
from taskbound.ports.store import ForeignDatabaseError, StoreUnavailableError
from tests.contracts.store.rows import NOW, SPACE, action, append, decided, event, insert, open_chain, read
from tests.core.audit.logs import verify_chain

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.ports.store import Transaction

RECORDS = 121


def open_store(folder: Path) -> SqlStore:
    return SqlStore(folder / "t.db", reserve=0)


def fill(store: SqlStore) -> None:
    open_chain(store)
    for start in range(0, 120, 10):
        insert(store, *(action(n) for n in range(start, start + 10)))
        append(store, *(decided(action(n)) for n in range(start, start + 10)))


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("closed")
    store = open_store(folder)
    fill(store)
    store.close()
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    living, folder = tmp_path_factory.mktemp("living"), tmp_path_factory.mktemp("killed")
    store = open_store(living)
    fill(store)
    for ending in ("", "-wal", "-mark"):
        shutil.copy(living / f"t.db{ending}", folder)
    store.close()
    return folder


def copy(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    return to / "t.db"


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)


def whole(folder: Path) -> int:
    """How many records and actions there are, each of them whole."""
    store = open_store(folder)
    with store.read() as seen:
        chains = verify_chain(one.body for one in seen.audit.pending(1000))
        actions = {one.id: one for one in seen.actions.actions(SPACE, limit=1000)}
    store.close()
    assert actions == {one.id: one for one in map(action, range(len(actions)))}
    assert chains.count == len(actions) + 1
    return chains.count


def places_to_cut(size: int) -> list[int]:
    pages = range(0, size, 4096)
    odd = {place + more for place in pages for more in (1, 99, 511, 2048, 4095)}
    return sorted({*pages, *odd} & set(range(size)))


def test_f8_a_copy_that_was_cut_nowhere_is_whole(closed: Path, killed: Path, tmp_path: Path) -> None:
    for folder in (closed, killed):
        copy(folder, tmp_path / "copy")
        assert whole(tmp_path / "copy") == RECORDS


def test_f8_a_database_that_is_cut_off_anywhere_is_refused(closed: Path, tmp_path: Path) -> None:
    size = (closed / "t.db").stat().st_size
    places = places_to_cut(size)
    assert len(places) > 300
    for place in places:
        path = copy(closed, tmp_path / "copy")
        cut(path, place)
        with pytest.raises(DamagedStoreError):
            open_store(path.parent)
        assert path.stat().st_size == place


def test_f8_after_a_kill_a_database_that_is_cut_off_anywhere_is_refused_or_whole(
    killed: Path, tmp_path: Path
) -> None:
    size = (killed / "t.db").stat().st_size
    refused = 0
    for place in places_to_cut(size):
        path = copy(killed, tmp_path / "copy")
        cut(path, place)
        try:
            assert whole(path.parent) == RECORDS
        except DamagedStoreError:
            refused += 1
    assert refused


def test_f8_a_write_ahead_log_that_is_cut_off_anywhere_loses_nothing_silently(
    killed: Path, tmp_path: Path
) -> None:
    size = (killed / "t.db-wal").stat().st_size
    assert size > 50 * 4120
    chosen = random.Random(8)  # noqa: S311  # a choice of places that can be repeated
    frames = range(32, size, 4120)
    places = {
        0,
        1,
        31,
        32,
        size - 1,
        *chosen.sample(frames, 40),
        *(chosen.randrange(size) for _ in range(40)),
    }
    for place in sorted(places):
        path = copy(killed, tmp_path / "copy")
        cut(path.with_name("t.db-wal"), place)
        with pytest.raises(DamagedStoreError):
            open_store(path.parent)


def test_f8_a_write_ahead_log_with_a_changed_byte_loses_nothing_silently(
    killed: Path, tmp_path: Path
) -> None:
    size = (killed / "t.db-wal").stat().st_size
    chosen = random.Random(9)  # noqa: S311  # a choice of places that can be repeated
    for _ in range(40):
        path = copy(killed, tmp_path / "copy")
        place = chosen.randrange(size)
        with path.with_name("t.db-wal").open("r+b") as file:
            file.seek(place)
            (byte,) = file.read(1)
            file.seek(place)
            file.write(bytes([byte ^ 0xFF]))
        try:
            assert whole(path.parent) == RECORDS
        except DamagedStoreError:
            continue


def test_f8_a_lost_write_ahead_log_is_refused(killed: Path, tmp_path: Path) -> None:
    path = copy(killed, tmp_path / "copy")
    path.with_name("t.db-wal").unlink()
    with pytest.raises(DamagedStoreError):
        open_store(path.parent)


def test_f8_a_lost_database_is_not_made_anew(closed: Path, tmp_path: Path) -> None:
    path = copy(closed, tmp_path / "copy")
    path.unlink()
    with pytest.raises(DamagedStoreError):
        open_store(path.parent)
    assert not path.exists()


def test_f8_a_header_with_any_byte_changed_is_refused_or_the_database_is_whole(
    closed: Path, tmp_path: Path
) -> None:
    for place in range(100):
        path = copy(closed, tmp_path / "copy")
        with path.open("r+b") as file:
            file.seek(place)
            (byte,) = file.read(1)
            file.seek(place)
            file.write(bytes([byte ^ 0xFF]))
        try:
            assert whole(path.parent) == RECORDS
        except (StoreUnavailableError, ForeignDatabaseError):
            continue


def test_f45_an_older_database_in_the_place_of_a_newer_one_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store)
    store.close()
    shutil.copy(tmp_path / "t.db", tmp_path / "yesterday")
    store = open_store(tmp_path)
    append(store, event(1))
    store.close()
    (tmp_path / "yesterday").replace(tmp_path / "t.db")
    with pytest.raises(DamagedStoreError, match="lost what was acknowledged"):
        open_store(tmp_path)


def test_places_that_were_given_and_are_gone_are_missed_too(tmp_path: Path) -> None:
    def place(tx: Transaction) -> None:
        tx.audit.extend(tx.audit.size(), [one.number for one in tx.audit.pending(10)])

    store = open_store(tmp_path)
    fill(store)
    store.close()
    shutil.copy(tmp_path / "t.db", tmp_path / "yesterday")
    store = open_store(tmp_path)
    store.write(place)
    store.close()
    (tmp_path / "yesterday").replace(tmp_path / "t.db")
    with pytest.raises(DamagedStoreError, match="10 of them placed"):
        open_store(tmp_path)


def test_another_database_in_the_place_of_ours_is_refused_however_long_it_is(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        store = open_store(tmp_path / name)
        open_chain(store, f"wrt_{name}")
        append(store, *(event(n) for n in range(5 if name == "ours" else 9)), writer=f"wrt_{name}")
        store.close()
    (tmp_path / "theirs" / "t.db").replace(tmp_path / "ours" / "t.db")
    with pytest.raises(DamagedStoreError, match="another database"):
        open_store(tmp_path / "ours")


def test_an_older_mark_is_no_damage_and_is_brought_up_to_date(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store)
    mark = (tmp_path / "t.db-mark").read_bytes()
    append(store, event(1))
    store.close()
    (tmp_path / "t.db-mark").write_bytes(mark)
    open_store(tmp_path).close()
    found = read_mark(tmp_path / "t.db-mark")
    assert found is not None
    assert found.count == RECORDS + 1


def test_a_missing_mark_is_made_again(closed: Path, tmp_path: Path) -> None:
    path = copy(closed, tmp_path / "copy")
    path.with_name("t.db-mark").unlink()
    open_store(path.parent).close()
    found = read_mark(path.with_name("t.db-mark"))
    assert found is not None
    assert found.count == RECORDS


def test_the_mark_tells_the_last_record_after_each_write(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    open_chain(store)
    for number in range(3):
        append(store, event(number))
        with store.read() as seen:
            last = seen.audit.heads()[0]
        found = read_mark(tmp_path / "t.db-mark")
        assert found == LogMark(count=number + 2, size=0, hash=last.hash)
    store.close()


def test_a_mark_with_any_byte_changed_or_missing_is_refused(closed: Path, tmp_path: Path) -> None:
    line = (closed / "t.db-mark").read_bytes()
    path = copy(closed, tmp_path / "copy").with_name("t.db-mark")
    for place in range(len(line)):
        for wrong in (
            line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :],
            line[:place],
            line[:place] + line[place + 1 :],
        ):
            path.write_bytes(wrong)
            with pytest.raises(DamagedStoreError):
                read_mark(path)
    path.write_bytes(b"")
    with pytest.raises(DamagedStoreError):
        open_store(path.parent)


def test_the_last_instant_survives_so_that_time_never_runs_backwards(closed: Path, tmp_path: Path) -> None:
    store = open_store(copy(closed, tmp_path / "copy").parent)
    assert store.last_instant() == NOW
    store.close()


def test_a_database_that_was_marked_and_emptied_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store)
    store.close()
    (tmp_path / "t.db").unlink()
    connection = driver.connect(os.fspath(tmp_path / "t.db"))
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.close()
    with pytest.raises(StoreUnavailableError):
        open_store(tmp_path)


def test_damage_that_is_met_while_reading_closes_the_store_for_good(closed: Path, tmp_path: Path) -> None:
    path = copy(closed, tmp_path / "copy")
    store = open_store(path.parent)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * (size - 8 * 4096))
    with pytest.raises(DamagedStoreError):
        read(store, lambda seen: (seen.actions.actions(SPACE, limit=1000), seen.audit.pending(1000)))
    with pytest.raises(DamagedStoreError):
        append(store, event(1))
    with pytest.raises(DamagedStoreError):
        store.last_instant()
    store.close()
