from __future__ import annotations

import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.approval.apart import ApartOperands
from taskbound.adapters.approval.apart.sqlite import sqlite_row
from taskbound.core.approval import Lookup, OperandOutsideError, OperandUnreadableError, parse_probe
from taskbound.core.approval.probe import RowPlace
from taskbound.flows.approval.look import operands_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NONE = "no such row"


class Ledger:
    """A SQLite file of somebody else's, and what a probe says of its rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.own = sqlite3.connect(path, isolation_level=None)
        self.do("CREATE TABLE invoices (id TEXT PRIMARY KEY, amount INTEGER, version)")
        self.do("INSERT INTO invoices VALUES ('INV-7', 10, 1)")

    def do(self, statement: str, *values: object) -> None:
        self.own.execute(statement, values)

    def look(self, wanted: str = "INV-7", /, **more: str) -> dict[str, str]:
        named = {"table": "invoices", "key": "id", "version": "version"} | more
        place = RowPlace(engine="sqlite", **({"path": str(self.path)} | named))
        return sqlite_row(place, wanted, frozenset())

    def version(self, wanted: str = "INV-7", /, **more: str) -> str:
        return self.look(wanted, **more)["version"]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.own.close()


def test_a_row_is_its_place_its_file_its_key_and_its_version(ledger: Ledger) -> None:
    state = ledger.path.stat()
    assert ledger.look() == {
        "row": f"sqlite:{ledger.path}?table=invoices&key=id&version=version",
        "table": f"device {state.st_dev}, inode {state.st_ino}",
        "key": 'text "INV-7"',
        "version": 'integer "1"',
    }
    ledger.do("UPDATE invoices SET version = 2")
    assert ledger.version() == 'integer "2"'


def test_the_type_is_part_of_a_version_and_no_value_reads_like_no_row(ledger: Ledger) -> None:
    seen = set()
    for value in (7, "7", 7.0, b"7", NONE, 'integer "7"'):
        ledger.do("UPDATE invoices SET version = ?", value)
        seen.add(ledger.version())
    assert len(seen) == 6
    assert NONE not in seen
    assert ledger.version("INV-8") == NONE


def test_without_a_version_column_each_change_of_the_row_is_another_version(ledger: Ledger) -> None:
    before = ledger.version(version="")
    assert before.startswith("row sha256 ")
    assert ledger.version(version="") == before
    seen = {before}
    for change in ("amount = 11", "amount = 'x'", "version = NULL", "version = ''", "version = 'null'"):
        ledger.do(f"UPDATE invoices SET {change}")  # noqa: S608 - names of the test's own
        seen.add(ledger.version(version=""))
    ledger.do("ALTER TABLE invoices RENAME COLUMN amount TO total")
    seen.add(ledger.version(version=""))
    assert len(seen) == 7


@pytest.mark.parametrize(
    "key",
    ["' OR 1=1 --", '" OR ""="', "INV-7'; DROP TABLE invoices; --", "INV-%", "inv-7", "INV-7 ", "id", "?"],
)
def test_what_an_argument_says_is_a_value_and_nothing_else(ledger: Ledger, key: str) -> None:
    assert ledger.version(key) == NONE
    assert ledger.version() == 'integer "1"'
    ledger.do("INSERT INTO invoices VALUES (?, 1, 5)", key)
    assert ledger.version(key) == 'integer "5"'


def test_names_of_tables_and_columns_may_hold_quotes_and_words_of_sql(ledger: Ledger) -> None:
    odd = ('a"b; DROP TABLE invoices; --', 'k"] FROM', "select")
    table, key, version = (one.replace('"', '""') for one in odd)
    ledger.do(f'CREATE TABLE "{table}" ("{key}" TEXT, "{version}" INTEGER)')
    ledger.do(f'INSERT INTO "{table}" VALUES (?, 3)', "x")  # noqa: S608 - names of the test's own
    assert ledger.version("x", table=odd[0], key=odd[1], version=odd[2]) == 'integer "3"'
    assert ledger.version() == 'integer "1"'


@pytest.mark.parametrize(
    "more", [{"key": "nothing"}, {"version": "nothing"}, {"table": "nothing"}, {"key": "ID"}]
)
def test_a_name_that_the_database_does_not_know_is_not_taken_for_a_text(
    ledger: Ledger, more: dict[str, str]
) -> None:
    with pytest.raises(OperandUnreadableError, match="no such"):
        ledger.look("nothing", **more)


def test_one_number_is_one_key_whatever_type_holds_it(ledger: Ledger) -> None:
    for number, kind in enumerate(("", "INTEGER", "TEXT", "BLOB")):
        ledger.do(f"CREATE TABLE t{number} (id {kind}, version)")
        for value in (12, "13", b"14"):
            ledger.do(f"INSERT INTO t{number} VALUES (?, 1)", value)  # noqa: S608 - names of the test's own
        for key in ("12", "13"):
            assert ledger.version(key, table=f"t{number}") == 'integer "1"'
        assert ledger.version("15", table=f"t{number}") == NONE
    assert ledger.version("9223372036854775808", table="t1") == NONE


@pytest.mark.parametrize("key", ["012", "12.0", " 12", "1.2e1", "+12"])
def test_a_row_whose_key_is_written_in_another_way_is_not_taken_for_the_one_that_is_named(
    ledger: Ledger, key: str
) -> None:
    ledger.do("CREATE TABLE n (id INTEGER, version)")
    ledger.do("INSERT INTO n VALUES (12, 1)")
    with pytest.raises(OperandUnreadableError, match="another way"):
        ledger.look(key, table="n")
    ledger.do("CREATE TABLE c (id TEXT COLLATE NOCASE, version)")
    ledger.do("INSERT INTO c VALUES ('inv', 1)")
    with pytest.raises(OperandUnreadableError, match="another way"):
        ledger.look("INV", table="c")


def test_more_than_one_row_is_refused(ledger: Ledger) -> None:
    ledger.do("CREATE TABLE n (id, version)")
    ledger.do("INSERT INTO n VALUES ('a', 1), ('a', 1), ('7', 1), (7, 1)")
    for key in ("a", "7"):
        with pytest.raises(OperandUnreadableError, match="more than one"):
            ledger.look(key, table="n")


def test_a_version_that_is_empty_or_no_version_is_refused(ledger: Ledger) -> None:
    for value in (None, "x" * 1025):
        ledger.do("UPDATE invoices SET version = ?", value)
        with pytest.raises(OperandUnreadableError, match="version is"):
            ledger.look()
    ledger.do("UPDATE invoices SET version = zeroblob(524289)")
    for more in ({}, {"version": ""}):
        with pytest.raises(OperandUnreadableError, match="larger than"):
            ledger.look(**more)


def test_what_is_no_table_is_not_asked(ledger: Ledger) -> None:
    ledger.do("CREATE VIEW v AS SELECT * FROM invoices")
    ledger.do("CREATE VIRTUAL TABLE f USING fts5(id, version)")
    for table in ("v", "f", "sqlite_schema"):
        with pytest.raises(OperandUnreadableError, match="no such table"):
            ledger.look(table=table)


def test_what_the_schema_computes_is_not_called(ledger: Ledger) -> None:
    ledger.do("CREATE TABLE g (id TEXT, x, version AS (hex(x)))")
    ledger.do("INSERT INTO g VALUES ('a', 1)")
    for more in ({}, {"version": ""}):
        with pytest.raises(OperandUnreadableError, match="no such plain column"):
            ledger.look("a", table="g", **more)
    assert ledger.version("a", table="g", version="x") == 'integer "1"'


def test_nothing_is_made_where_there_is_no_database_and_nothing_is_written(
    ledger: Ledger, tmp_path: Path
) -> None:
    missing = tmp_path / "none.db"
    with pytest.raises(OperandUnreadableError, match="no such database"):
        ledger.look(path=str(missing))
    assert not missing.exists()
    ledger.own.close()
    before = (ledger.path.read_bytes(), ledger.path.stat().st_mtime_ns, sorted(tmp_path.iterdir()))
    ledger.path.chmod(0o400)
    assert ledger.version() == 'integer "1"'
    assert before == (ledger.path.read_bytes(), ledger.path.stat().st_mtime_ns, sorted(tmp_path.iterdir()))


def test_what_a_writer_that_died_left_half_done_is_refused_and_not_mended(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.do("PRAGMA cache_size = 1")
    ledger.do("CREATE TABLE more (x)")
    ledger.do("BEGIN")
    ledger.do("UPDATE invoices SET version = 2")
    for _ in range(50):
        ledger.do("INSERT INTO more VALUES (zeroblob(4000))")
    died = tmp_path / "died"
    died.mkdir()
    for name in ("ledger.db", "ledger.db-journal"):
        shutil.copy(tmp_path / name, died / name)
    before = {one.name: one.read_bytes() for one in died.iterdir()}
    with pytest.raises(OperandUnreadableError, match="could not be read"):
        ledger.look(path=str(died / "ledger.db"))
    assert {one.name: one.read_bytes() for one in died.iterdir()} == before


def test_a_link_a_pipe_or_what_is_no_database_is_not_opened(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(ledger.path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "way").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "text.db").write_text("not a database, not at all\n" * 100)
    for name in ("link.db", "folder", "way/ledger.db", "pipe.db"):
        with pytest.raises(OperandUnreadableError, match="no plain file"):
            ledger.look(path=str(tmp_path / name))
    with pytest.raises(OperandUnreadableError, match="could not be read"):
        ledger.look(path=str(tmp_path / "text.db"))


def test_a_file_in_a_folder_of_taskbound_s_own_is_not_opened(ledger: Ledger, tmp_path: Path) -> None:
    state = tmp_path.stat()
    place = RowPlace(engine="sqlite", path=str(ledger.path), table="invoices", key="id")
    with pytest.raises(OperandOutsideError):
        sqlite_row(place, "INV-7", frozenset({(state.st_dev, state.st_ino)}))


def test_a_copy_in_the_place_of_the_database_is_another_table(ledger: Ledger) -> None:
    before = ledger.look()
    ledger.own.close()
    shutil.copy(ledger.path, ledger.path.with_suffix(".new"))
    ledger.path.with_suffix(".new").replace(ledger.path)
    after = ledger.look()
    assert after["table"] != before["table"]
    assert after | {"table": ""} == before | {"table": ""}


def test_a_row_that_another_writes_is_the_one_before_or_the_one_after_and_a_locked_file_is_none(
    ledger: Ledger,
) -> None:
    def apart() -> str:  # locks are between processes
        probe = parse_probe(f"id=row:sqlite:{ledger.path}?table=invoices&key=id&version=version")
        looks = [Lookup(place="/id", probe=probe, value="INV-7", directory="/")]
        return dict(operands_of(ApartOperands().see(looks))[0].found)["version"]

    ledger.do("BEGIN IMMEDIATE")
    ledger.do("UPDATE invoices SET version = 2")
    assert apart() == 'integer "1"'
    ledger.do("COMMIT")
    ledger.do("BEGIN EXCLUSIVE")
    with pytest.raises(OperandUnreadableError, match="SQLITE_BUSY"):
        apart()
    ledger.do("ROLLBACK")
    ledger.do("PRAGMA journal_mode = WAL")
    ledger.do("BEGIN IMMEDIATE")
    ledger.do("UPDATE invoices SET version = 3")
    assert apart() == 'integer "2"'
    ledger.do("COMMIT")
    assert apart() == 'integer "3"', "what stands in the log beside it counts"
