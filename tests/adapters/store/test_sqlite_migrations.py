from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.adapters.store.sql.migrations import REVISIONS
from taskbound.adapters.store.sql.schema import METADATA
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.ports.store import NewerDatabaseError
from tests.contracts.store.rows import NOW, append, event, open_chain, read

if TYPE_CHECKING:
    from pathlib import Path

REVISION = """
from alembic import op

revision = "{number:04}"
down_revision = "{before:04}"


def upgrade():
    op.execute("CREATE TABLE later_{number} (a INTEGER) STRICT")
    op.execute("INSERT INTO later_{number} SELECT number FROM records")
    {more}
"""


class Stopped(Exception):  # noqa: N818  # no error of ours
    """What a test raises at a point."""


def later(folder: Path, *numbers: int, more: str = "") -> Machine:
    """A package that has more revisions than this one."""
    versions = folder / "versions"
    versions.mkdir(exist_ok=True)
    for number in numbers:
        text = REVISION.format(number=number, before=number - 1, more=more)
        (versions / f"r{number:04}.py").write_text(text)
    return Machine(revisions=(REVISIONS, versions))


def make(path: Path) -> None:
    store = SqlStore(path, reserve=0)
    open_chain(store)
    append(store, event(1))
    store.close()


def state(path: Path) -> tuple[str, list[str]]:
    connection = driver.connect(os.fspath(path))
    (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'later%' ORDER BY name")
    names = [name for (name,) in tables]
    connection.close()
    return revision, names


def test_the_revisions_make_what_the_schema_says(tmp_path: Path) -> None:
    SqlStore(tmp_path / "t.db", reserve=0).close()
    made = driver.connect(os.fspath(tmp_path / "t.db"))
    said = driver.connect(":memory:")
    engine = create_engine("sqlite://", module=driver, creator=lambda: said, poolclass=StaticPool)
    METADATA.create_all(engine)
    query = "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name <> 'alembic_version' ORDER BY name"
    assert made.execute(query).fetchall() == said.execute(query).fetchall()
    through = create_engine("sqlite://", module=driver, creator=lambda: made, poolclass=StaticPool)
    with through.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


@pytest.mark.parametrize("table", sorted(METADATA.tables))
def test_the_namespace_is_in_every_key_but_those_of_the_log(table: str) -> None:
    keys = [[one.name for one in METADATA.tables[table].primary_key.columns]]
    keys += [[one.name for one in index.columns] for index in METADATA.tables[table].indexes]
    if table in {"writers", "records", "places", "tiles", "checkpoints"}:
        return
    if table == "actions":
        keys.remove(["number"])
    if table == "tasks":
        keys.remove(["deadline", "id"])
    assert [key[0] for key in keys] == ["namespace"] * len(keys)


def test_a_database_of_a_newer_version_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    make(path)
    SqlStore(path, reserve=0, machine=later(tmp_path, 2)).close()
    before = path.read_bytes()
    with pytest.raises(NewerDatabaseError):
        SqlStore(path, reserve=0)
    assert path.read_bytes() == before
    SqlStore(path, reserve=0, machine=later(tmp_path, 2)).close()


def test_an_older_database_is_upgraded_when_it_is_opened_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    make(path)
    store = SqlStore(path, reserve=0, machine=later(tmp_path, 2, 3))
    assert "schema 0003" in store.describe()
    assert read(store, lambda seen: seen.audit.count()) == 2
    assert store.last_instant() == NOW
    store.close()
    assert state(path) == ("0003", ["later_2", "later_3"])


@pytest.mark.parametrize(
    ("point", "revision", "tables"),
    [
        ("looked", "0001", []),
        ("migrated 0002", "0001", []),
        ("stamped 0002", "0001", []),
        ("migrated 0003", "0002", ["later_2"]),
        ("stamped 0003", "0002", ["later_2"]),
        ("prepared", "0003", ["later_2", "later_3"]),
    ],
)
def test_k25_an_upgrade_that_breaks_off_leaves_a_whole_revision_and_goes_on_later(
    tmp_path: Path, point: str, revision: str, tables: list[str]
) -> None:
    def at(now: str) -> None:
        if now == point:
            raise Stopped

    path = tmp_path / "t.db"
    make(path)
    machine = later(tmp_path, 2, 3)
    with pytest.raises(Stopped):
        SqlStore(path, reserve=0, at=at, machine=machine)
    assert state(path) == (revision, tables)
    store = SqlStore(path, reserve=0, machine=machine)
    assert read(store, lambda seen: seen.audit.count()) == 2
    store.close()
    assert state(path) == ("0003", ["later_2", "later_3"])


def test_k25_a_revision_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    make(path)
    machine = later(tmp_path, 2, more="raise RuntimeError")
    with pytest.raises(RuntimeError):
        SqlStore(path, reserve=0, machine=machine)
    assert state(path) == ("0001", [])
    SqlStore(path, reserve=0).close()


KILLED = """
import os, signal, sys
from pathlib import Path
from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.adapters.store.sql.migrations import REVISIONS

def at(now):
    if now == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

folders = (REVISIONS, *map(Path, sys.argv[3:]))
SqlStore(Path(sys.argv[1]), reserve=4096, at=at, machine=Machine(revisions=folders)).close()
"""


def kill_at(path: Path, point: str, *folders: Path) -> None:
    words = [os.fspath(path), point, *(os.fspath(one) for one in folders)]
    ended = subprocess.run([sys.executable, "-c", KILLED, *words], check=False)
    assert ended.returncode == -9


@pytest.mark.parametrize("point", ["looked", "migrated 0002", "stamped 0002", "migrated 0003", "prepared"])
def test_k25_a_kill_during_an_upgrade_and_a_second_one_are_both_survived(tmp_path: Path, point: str) -> None:
    path = tmp_path / "t.db"
    make(path)
    machine = later(tmp_path, 2, 3)
    for _ in range(2):
        if point.endswith("0002") and state(path)[0] != "0001":
            break
        kill_at(path, point, tmp_path / "versions")
    store = SqlStore(path, reserve=0, machine=machine)
    assert read(store, lambda seen: seen.audit.count()) == 2
    store.close()
    assert state(path) == ("0003", ["later_2", "later_3"])


@pytest.mark.parametrize("point", ["looked", "migrated 0001", "stamped 0001", "prepared"])
def test_k25_a_kill_while_a_database_is_made_leaves_one_that_can_be_made(tmp_path: Path, point: str) -> None:
    path = tmp_path / "t.db"
    kill_at(path, point)
    store = SqlStore(path, reserve=4096)
    open_chain(store)
    assert store.reserve_state() == "whole"
    store.close()
