from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlReader, SqlStore
from taskbound.adapters.store.sql.schema import METADATA
from taskbound.adapters.store.sql.schema.initial import REVISION
from taskbound.adapters.store.sql.sqlite.copying import copy_database, look_at_copy
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.ports.store import NewerDatabaseError, OlderDatabaseError
from tests.contracts.store.rows import append, event, open_chain, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OTHERS = {
    "newer": ("UPDATE schema_revision SET revision = revision + 1", NewerDatabaseError),
    "older": ("UPDATE schema_revision SET revision = revision - 1", OlderDatabaseError),
    "empty": ("DELETE FROM schema_revision", OlderDatabaseError),
    "unreleased": ("DROP TABLE schema_revision", OlderDatabaseError),
}
"""What makes a database one of another revision, and the error that refuses it."""


class Stopped(Exception):  # noqa: N818  # no error of ours
    """What a test raises at a point."""


def open_store(path: Path) -> None:
    SqlStore(path, reserve=0).close()


def open_reader(path: Path) -> None:
    with SqlReader(path).read():
        pass


def copy(path: Path) -> None:
    copy_database(path, path.with_name("copy.db"), lambda _done, _whole: None)


def look(path: Path) -> None:
    with look_at_copy(path):
        pass


def change(path: Path, statement: str) -> None:
    connection = driver.connect(os.fspath(path), isolation_level=None)
    connection.execute(statement)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.close()


@pytest.mark.parametrize("opened", [open_store, open_reader, copy, look])
@pytest.mark.parametrize(("statement", "error"), OTHERS.values(), ids=OTHERS)
def test_database_of_another_revision_is_refused_and_not_changed(
    tmp_path: Path, opened: Callable[[Path], None], statement: str, error: type[Exception]
) -> None:
    path = tmp_path / "t.db"
    store = SqlStore(path, reserve=0)
    open_chain(store)
    append(store, event(1))
    store.close()
    change(path, statement)
    before = path.read_bytes()
    with pytest.raises(error):
        opened(path)
    assert path.read_bytes() == before


def test_reopened_database_keeps_its_records_and_says_its_revision(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    open_chain(store)
    store.close()
    store = SqlStore(tmp_path / "t.db", reserve=0)
    assert f"schema {REVISION}," in store.describe()
    assert read(store, lambda seen: seen.audit.count()) == 1
    store.close()


def test_database_whose_making_failed_is_empty_and_can_be_made(tmp_path: Path) -> None:
    def at(now: str) -> None:
        if now == "made":
            raise Stopped

    path = tmp_path / "t.db"
    with pytest.raises(Stopped):
        SqlStore(path, reserve=0, at=at)
    left = driver.connect(os.fspath(path))
    assert left.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    assert left.execute("PRAGMA application_id").fetchone() == (0,)
    left.close()
    SqlStore(path, reserve=0).close()


KILLED = """
import os, signal, sys
from pathlib import Path
from taskbound.adapters.store.sql import SqlStore

def at(now):
    if now == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

SqlStore(Path(sys.argv[1]), reserve=4096, at=at).close()
"""


@pytest.mark.parametrize("point", ["looked", "made", "prepared"])
def test_k25_a_kill_while_a_database_is_made_leaves_one_that_can_be_made(tmp_path: Path, point: str) -> None:
    path = tmp_path / "t.db"
    ended = subprocess.run([sys.executable, "-c", KILLED, os.fspath(path), point], check=False)
    assert ended.returncode == -9
    left = driver.connect(os.fspath(path))
    (tables,) = left.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    assert (tables > 0) == (point == "prepared")
    left.close()
    store = SqlStore(path, reserve=4096)
    open_chain(store)
    assert store.reserve_state() == "whole"
    store.close()


@pytest.mark.parametrize("table", sorted(METADATA.tables))
def test_the_namespace_is_in_every_key_but_those_of_the_log(table: str) -> None:
    keys = [[one.name for one in METADATA.tables[table].primary_key.columns]]
    keys += [[one.name for one in index.columns] for index in METADATA.tables[table].indexes]
    if table in {
        "writers",
        "records",
        "places",
        "tiles",
        "checkpoints",
        "token_keys",
        "installation",
        "epochs",
        "revocations",
        "schema_revision",
    }:
        return
    if table == "actions":
        keys.remove(["number"])
    if table == "tokens":
        keys.remove(["list", "place"])
        keys.remove(["expires"])
    if table == "token_requests":
        keys.remove(["asked"])
    if table in {"answered", "browser_sessions", "claims", "shared_claims"}:
        keys.remove(["until"])
    if table == "sign_ins":
        keys.remove(["begun"])
    if table == "tasks":
        keys.remove(["deadline", "id"])
    if table in {"amendments", "approvals"}:
        keys.remove(["asked", "id"])
    if table == "heartbeats":
        keys.remove(["due", "namespace", "task"])
    if table == "unclaimed_tasks":
        keys.remove(["until", "namespace", "task"])
    assert [key[0] for key in keys] == ["namespace"] * len(keys)
