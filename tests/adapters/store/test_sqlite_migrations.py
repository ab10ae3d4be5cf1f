from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from dev.reference import schema_made
from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.adapters.store.sql.migrations import REVISIONS, newest_revision, revisions
from taskbound.adapters.store.sql.schema import METADATA
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.adapters.store.sql.sqlite.making import MADE
from taskbound.adapters.store.sql.sqlite.opening import APPLICATION
from taskbound.adapters.store.sql.sqlite.upgrading import upgrade_file
from taskbound.core.clock import Instant
from taskbound.core.identity import Breadth
from taskbound.core.identity.risk import Risk
from taskbound.ports.store import NewerDatabaseError
from tests.contracts.store.rows import (
    NOW,
    SCOPE,
    SPACE,
    action,
    append,
    event,
    insert,
    open_chain,
    outcome,
    read,
)

if TYPE_CHECKING:
    from pathlib import Path

NEWEST = "0054"
"""The newest revision that there is."""
REVISION = """
from alembic import op

revision = "{number:04}"
down_revision = "{before:04}"


def upgrade():
    op.execute("CREATE TABLE later_{number} (a INTEGER) STRICT")
    op.execute("INSERT INTO later_{number} SELECT number FROM records")
    {more}
"""

SCHEMA = (
    "SELECT type, name, replace(sql, char(10, 9), '') FROM sqlite_schema"  # an added column is on no new line
    " WHERE tbl_name <> 'alembic_version' ORDER BY name"
)


class Stopped(Exception):  # noqa: N818  # no error of ours
    """What a test raises at a point."""


def later(folder: Path, *numbers: int, more: str = "") -> Machine:
    """A package that has more revisions than this one."""
    versions = folder / "versions"
    versions.mkdir(exist_ok=True)
    for before, number in pairwise((int(NEWEST), *numbers)):
        text = REVISION.format(number=number, before=before, more=more)
        (versions / f"r{number:04}.py").write_text(text)
    return Machine(revisions=(REVISIONS, versions))


def older(folder: Path) -> Path:
    """The revisions of a package that had only the first two."""
    before = folder / "before"
    before.mkdir()
    for name in ("r0001.py", "r0002.py"):
        shutil.copy(REVISIONS / name, before)
    return before


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


def by_revisions() -> driver.Connection:
    """A database that the revisions made, one by one."""
    made = driver.connect(":memory:", isolation_level=None)
    first = (f"PRAGMA application_id = {APPLICATION}",)
    upgrade_file(made, at=lambda _: None, first=first, folders=(REVISIONS,))
    return made


def test_a_new_database_is_in_everything_what_the_revisions_make_and_dev_docs_wrote_that_down(
    tmp_path: Path,
) -> None:
    assert MADE.read_text(encoding="utf-8") == schema_made()
    SqlStore(tmp_path / "t.db", reserve=0).close()
    made = driver.connect(os.fspath(tmp_path / "t.db"))
    stepped = by_revisions()
    schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
    whole = made.execute(schema).fetchall()
    assert stepped.execute(schema).fetchall() == whole
    for name in (row[1] for row in whole if row[0] == "table"):
        rows = f"SELECT * FROM {name}"  # noqa: S608 - a table of ours
        assert made.execute(rows).fetchall() == stepped.execute(rows).fetchall()
    for pragma in ("application_id", "user_version", "encoding", "page_size", "auto_vacuum"):
        assert made.execute(f"PRAGMA {pragma}").fetchall() == stepped.execute(f"PRAGMA {pragma}").fetchall()


def test_what_is_newer_than_what_was_written_down_is_left_to_the_revisions(tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "t.db"
    SqlStore(path, reserve=0, at=told.append, machine=later(tmp_path, 101, 102)).close()
    steps = [f"{done} {number}" for number in ("0101", "0102") for done in ("migrated", "stamped")]
    assert told == ["looked", "made", *steps, "prepared"]
    assert state(path) == ("0102", ["later_101", "later_102"])


def test_where_what_was_written_down_is_not_known_the_revisions_make_all(tmp_path: Path) -> None:
    told: list[str] = []
    SqlStore(
        tmp_path / "t.db", reserve=0, at=told.append, machine=Machine(revisions=(older(tmp_path),))
    ).close()
    steps = [f"{done} {number}" for number in ("0001", "0002") for done in ("migrated", "stamped")]
    assert told == ["looked", *steps, "prepared"]


def test_a_new_database_that_can_not_be_made_is_empty_and_can_be(tmp_path: Path) -> None:
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
    assert state(path) == (NEWEST, [])


def test_the_revisions_make_what_the_schema_says() -> None:
    made = by_revisions()
    said = driver.connect(":memory:")
    engine = create_engine("sqlite://", module=driver, creator=lambda: said, poolclass=StaticPool)
    METADATA.create_all(engine)
    assert made.execute(SCHEMA).fetchall() == said.execute(SCHEMA).fetchall()
    through = create_engine("sqlite://", module=driver, creator=lambda: made, poolclass=StaticPool)
    with through.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_every_revision_is_known_by_the_name_of_its_file_and_the_newest_is_alembics_own() -> None:
    config = Config()
    config.set_main_option("script_location", os.fspath(REVISIONS.parent))
    scripts = ScriptDirectory.from_config(config)
    assert revisions() == {one.revision for one in scripts.walk_revisions()}
    assert newest_revision() == scripts.get_current_head() == NEWEST


def test_a_database_of_the_first_revision_keeps_its_actions_and_gets_the_newest_schema(
    tmp_path: Path,
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    shutil.copy(REVISIONS / "r0001.py", first)
    old = SqlStore(tmp_path / "t.db", reserve=0, machine=Machine(revisions=(first,)))
    assert "schema 0001" in old.describe()
    open_chain(old)
    kept = [action(n, decision=one, connection=f"con_{n}") for n, one in enumerate(("permit", "refuse"))]
    insert(old, *kept, action(3))
    old.write(lambda tx: tx.actions.set_outcomes(SPACE, [outcome(action(3))]))
    old.close()
    store = SqlStore(tmp_path / "t.db", reserve=0)
    assert f"schema {NEWEST}" in store.describe()
    assert read(store, lambda seen: seen.actions.actions(SPACE, before="act_3")) == tuple(reversed(kept))
    assert [one.id for one in read(store, lambda seen: seen.actions.open_permits(SPACE))] == ["act_0"]
    store.close()
    SqlStore(tmp_path / "new.db", reserve=0).close()
    upgraded, made = (driver.connect(tmp_path / name) for name in ("t.db", "new.db"))
    assert upgraded.execute(SCHEMA).fetchall() == made.execute(SCHEMA).fetchall()


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


def test_a_database_of_a_newer_version_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    make(path)
    SqlStore(path, reserve=0, machine=later(tmp_path, 101)).close()
    before = path.read_bytes()
    with pytest.raises(NewerDatabaseError):
        SqlStore(path, reserve=0)
    assert path.read_bytes() == before
    SqlStore(path, reserve=0, machine=later(tmp_path, 101)).close()


def test_an_older_database_is_upgraded_when_it_is_opened_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    make(path)
    store = SqlStore(path, reserve=0, machine=later(tmp_path, 101, 102))
    assert "schema 0102" in store.describe()
    assert read(store, lambda seen: seen.audit.count()) == 2
    assert store.last_instant() == NOW
    store.close()
    assert state(path) == ("0102", ["later_101", "later_102"])


@pytest.mark.parametrize(
    ("point", "revision", "tables"),
    [
        ("looked", NEWEST, []),
        ("migrated 0101", NEWEST, []),
        ("stamped 0101", NEWEST, []),
        ("migrated 0102", "0101", ["later_101"]),
        ("stamped 0102", "0101", ["later_101"]),
        ("prepared", "0102", ["later_101", "later_102"]),
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
    machine = later(tmp_path, 101, 102)
    with pytest.raises(Stopped):
        SqlStore(path, reserve=0, at=at, machine=machine)
    assert state(path) == (revision, tables)
    store = SqlStore(path, reserve=0, machine=machine)
    assert read(store, lambda seen: seen.audit.count()) == 2
    store.close()
    assert state(path) == ("0102", ["later_101", "later_102"])


def test_k25_a_revision_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    make(path)
    machine = later(tmp_path, 101, more="raise RuntimeError")
    with pytest.raises(RuntimeError):
        SqlStore(path, reserve=0, machine=machine)
    assert state(path) == (NEWEST, [])
    SqlStore(path, reserve=0).close()


KILLED = """
import os, signal, sys
from pathlib import Path
from taskbound.adapters.store.sql import Machine, SqlStore

def at(now):
    if now == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

folders = tuple(map(Path, sys.argv[3:]))
SqlStore(Path(sys.argv[1]), reserve=4096, at=at, machine=Machine(revisions=folders)).close()
"""


def kill_at(path: Path, point: str, *folders: Path) -> None:
    words = [os.fspath(path), point, *(os.fspath(one) for one in folders)]
    ended = subprocess.run([sys.executable, "-c", KILLED, *words], check=False)
    assert ended.returncode == -9


@pytest.mark.parametrize("point", ["looked", "migrated 0101", "stamped 0101", "migrated 0102", "prepared"])
def test_k25_a_kill_during_an_upgrade_and_a_second_one_are_both_survived(tmp_path: Path, point: str) -> None:
    path = tmp_path / "t.db"
    make(path)
    machine = later(tmp_path, 101, 102)
    for _ in range(2):
        if point.endswith("0101") and state(path)[0] != NEWEST:
            break
        kill_at(path, point, REVISIONS, tmp_path / "versions")
    store = SqlStore(path, reserve=0, machine=machine)
    assert read(store, lambda seen: seen.audit.count()) == 2
    store.close()
    assert state(path) == ("0102", ["later_101", "later_102"])


@pytest.mark.parametrize("point", ["looked", "made", "prepared"])
def test_k25_a_kill_while_a_database_is_made_leaves_one_that_can_be_made(tmp_path: Path, point: str) -> None:
    path = tmp_path / "t.db"
    kill_at(path, point, REVISIONS)
    store = SqlStore(path, reserve=4096)
    open_chain(store)
    assert store.reserve_state() == "whole"
    store.close()


@pytest.mark.parametrize(
    "point", ["migrated 0001", "stamped 0001", "migrated 0002", "stamped 0002", "prepared"]
)
def test_k25_a_kill_while_the_revisions_make_a_database_leaves_one_that_can_be_made(
    tmp_path: Path, point: str
) -> None:
    path = tmp_path / "t.db"
    kill_at(path, point, older(tmp_path))
    store = SqlStore(path, reserve=4096)
    open_chain(store)
    assert store.reserve_state() == "whole"
    store.close()


def test_only_a_person_who_was_alone_may_grant_what_the_ceiling_permits_after_the_upgrade(
    tmp_path: Path,
) -> None:
    SqlStore(tmp_path / "t.db", reserve=0, machine=Machine(revisions=(older(tmp_path),))).close()
    old = driver.connect(os.fspath(tmp_path / "t.db"))
    rows = [("default", "ann", 1), ("default", "bob", 2), ("other", "eve", 3)]
    old.executemany("INSERT INTO persons VALUES (?, ?, ?, 'present', 1)", rows)
    old.commit()
    old.close()
    store = SqlStore(tmp_path / "t.db", reserve=0)
    with store.read() as seen:
        found = {**seen.identities.persons("default"), **seen.identities.persons("other")}
    assert {name: one.grantable for name, one in found.items()} == {
        "ann": Breadth.NOTHING,
        "bob": Breadth.NOTHING,
        "eve": Breadth.CEILING,
    }
    store.close()


def test_a_task_that_ran_under_an_older_revision_goes_on_under_the_newest_with_what_it_had(
    tmp_path: Path,
) -> None:
    before = tmp_path / "before"
    before.mkdir()
    for number in range(1, 5):
        shutil.copy(REVISIONS / f"r{number:04}.py", before)
    SqlStore(tmp_path / "t.db", reserve=0, machine=Machine(revisions=(before,))).close()
    connection = driver.connect(os.fspath(tmp_path / "t.db"))
    columns = [row[1] for row in connection.execute("PRAGMA table_info(tasks)")]
    for name, parent in (("root", ""), ("child", "root")):
        row = {
            "namespace": SPACE,
            "id": name,
            "agent": "coder",
            "requester": "ann",
            "purpose": "pay",
            "evidence": "[]",
            "scope": SCOPE.canonical,
            "state": "running",
            "parent": parent,
            "root": "root",
            "started": NOW,
            "deadline": NOW + 10,
            "version": 3,
            "learning": 0,
        }
        assert set(columns) == set(row)
        marks = ", ".join("?" for _ in columns)
        connection.execute(f"INSERT INTO tasks VALUES ({marks})", [row[one] for one in columns])  # noqa: S608 - a fixed text
        connection.execute("INSERT INTO remainders VALUES (?, ?, 'g0/uses', 7)", (SPACE, name))
    connection.commit()
    connection.close()
    store = SqlStore(tmp_path / "t.db", reserve=0)
    with store.read() as seen:
        child, root = seen.tasks.lineage(SPACE, "child")
        assert (root.step, root.scope_version, root.deadline, root.version) == (0, 1, NOW + 10, 3)
        assert (root.shares, root.base, root.heartbeat, root.since) == ((), (), 0, 0)
        assert seen.tasks.remainders(SPACE, "root") == {"g0/uses": 7}
        assert seen.tasks.children(SPACE, "root") == (child,)
        assert seen.tasks.due(Instant(NOW + 10)) != ()
        assert seen.tasks.overdue(Instant(NOW + 10)) == ()
    store.close()


def test_an_agent_of_before_is_of_low_risk_and_nobody_said_so(tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    for number in range(1, 19):
        shutil.copy(REVISIONS / f"r{number:04}.py", before)
    SqlStore(tmp_path / "t.db", reserve=0, machine=Machine(revisions=(before,))).close()
    connection = driver.connect(os.fspath(tmp_path / "t.db"))
    connection.execute(
        "INSERT INTO agents VALUES (?, 'coder', 'active', 'ann', '[\"bob\"]', 'file:/m', ?, '', 7, 3)",
        (SPACE, SCOPE.canonical),
    )
    connection.commit()
    connection.close()
    store = SqlStore(tmp_path / "t.db", reserve=0)
    found = read(store, lambda seen: seen.identities.agent(SPACE, "coder"))
    assert found is not None
    assert (found.risk, found.risk_by, found.version) == (Risk.LOW, "", 3)
    store.close()
