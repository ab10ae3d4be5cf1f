from __future__ import annotations

import socket
import sqlite3
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.approval.apart import ApartOperands
from taskbound.core.approval import (
    Lookup,
    Operand,
    OperandOutsideError,
    OperandUnreadableError,
    parse_probe,
)
from taskbound.flows.approval.look import operands_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def row(path: Path, key: str = "a", *, place: str = "/id") -> Lookup:
    probe = parse_probe(f"id=row:sqlite:{path}?table=t&key=id&version=version")
    return Lookup(place=place, probe=probe, value=key, directory="/")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    own = sqlite3.connect(path, isolation_level=None)
    own.execute("CREATE TABLE t (id TEXT, version INTEGER)")
    own.execute("INSERT INTO t VALUES ('a', 1)")
    own.close()
    return path


def children() -> set[str]:
    """The processes that this one started and has not seen the end of."""
    return {pid for one in Path("/proc/self/task").glob("*/children") for pid in one.read_text().split()}


def look(apart: ApartOperands, *looks: Lookup) -> list[Operand]:
    return operands_of(apart.see(looks))


def test_what_is_asked_is_found_in_order_by_a_process_that_is_gone_afterwards(ledger: Path) -> None:
    before = children()
    one, two = look(ApartOperands(), row(ledger, place="/id/0"), row(ledger, "b", place="/id/1"))
    assert (one.place, one.kind.value, dict(one.found)["version"]) == ("/id/0", "row", 'integer "1"')
    assert (two.place, dict(two.found)["version"]) == ("/id/1", "no such row")
    assert children() == before


def test_what_can_not_be_looked_at_is_said_of_its_argument(ledger: Path, tmp_path: Path) -> None:
    looks = [row(tmp_path / "none.db", place="/id/0"), row(ledger, place="/id/1")]
    blocked, found = ApartOperands().see(looks)
    assert isinstance(blocked, OperandUnreadableError)
    assert blocked.where == "/id/0"
    assert "what `/id/0` names can't be asked about: there is no such database" in blocked.message
    assert isinstance(found, Operand), "the other one is looked at"
    with pytest.raises(OperandOutsideError):
        look(ApartOperands(closed=[tmp_path]), row(ledger))


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[Path]:
    """A folder with the socket of a PostgreSQL server that takes connections and never says anything."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / ".s.PGSQL.5432"))
        listening.listen()
        yield tmp_path


def test_a_server_that_never_answers_is_waited_for_no_longer_than_said(deaf: Path) -> None:
    probe = parse_probe(f"id=row:postgresql:{deaf}?database=d&schema=s&table=t&key=k")
    began = monotonic()
    with pytest.raises(OperandUnreadableError, match=r"seconds|could not be asked"):
        look(ApartOperands(), Lookup(place="/id", probe=probe, value="a", directory="/"))
    assert monotonic() - began < 20  # it never says anything


def test_a_process_that_never_ends_is_ended(ledger: Path) -> None:
    before = children()
    words = "import sys; sys.stdin.read(); import signal; signal.pause()"
    apart = ApartOperands(patience=0.2, command=(sys.executable, "-c", words))
    with pytest.raises(OperandUnreadableError, match=r"within 0\.2 seconds"):
        look(apart, row(ledger))
    assert children() == before


@pytest.mark.parametrize(
    "words", ["print('[]')", "print('[{},{}]')", "print('[{}]')", "print('[1]')", "raise SystemExit(3)"]
)
def test_a_process_that_breaks_or_says_what_nobody_asked_has_seen_nothing(ledger: Path, words: str) -> None:
    with pytest.raises(OperandUnreadableError, match="without an answer"):
        look(ApartOperands(command=(sys.executable, "-c", words)), row(ledger))
    with pytest.raises(OperandUnreadableError, match="nothing could be started"):
        look(ApartOperands(command=("/none/such",)), row(ledger))


def test_a_process_that_never_stops_talking_is_ended_before_it_fills_the_memory(ledger: Path) -> None:
    before = children()
    words = "import os\nwhile True: os.write(1, b'y' * 65536)"
    with pytest.raises(OperandUnreadableError, match="without an answer"):
        look(ApartOperands(patience=30.0, command=(sys.executable, "-c", words)), row(ledger))
    assert children() == before


def test_nothing_of_the_environment_reaches_it_but_where_libpq_looks(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSERVICEFILE", "/srv/services")
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=evil")
    monkeypatch.setenv("http_proxy", "http://evil.example")
    seen = tmp_path / "seen"
    words = f"import os; open({str(seen)!r}, 'w').write(repr(sorted(os.environ)))"
    with pytest.raises(OperandUnreadableError):
        look(ApartOperands(command=(sys.executable, "-c", words)), row(ledger))
    names = set(eval(seen.read_text())) - {"LC_CTYPE"}  # noqa: S307 - what the line above wrote
    assert names <= {"HOME", "PGPASSFILE", "PGSERVICEFILE", "PGSYSCONFDIR", "SSL_CERT_DIR", "SSL_CERT_FILE"}
    assert "PGSERVICEFILE" in names
