from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from taskbound.adapters.approval.apart.postgresql import postgresql_row
from taskbound.core.approval import OperandUnreadableError
from taskbound.core.approval.probe import RowPlace
from tests.postgres import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import Server

NONE = "no such row"


class Ledger:
    """A database of somebody else's, a role that may read it, and what a probe says of its rows."""

    def __init__(self, server: Server, database: str) -> None:
        self.server, self.database = server, database
        self.own = server.connect(database)
        self.do("CREATE TABLE invoices (id text PRIMARY KEY, amount integer, version integer)")
        self.do("INSERT INTO invoices VALUES ('INV-7', 10, 1)")
        self.do("GRANT SELECT ON invoices TO daemon")

    def do(self, statement: str, *values: object) -> None:
        self.own.execute(statement.encode(), values)

    def look(self, wanted: str = "INV-7", /, **more: str) -> dict[str, str]:
        named: dict[str, Any] = {
            "path": str(self.server.folder), "database": self.database, "user": "daemon", "schema": "public",
            "table": "invoices", "key": "id", "version": "version",
        }  # fmt: skip  # a table reads better as a table
        return postgresql_row(RowPlace(engine="postgresql", **(named | more)), wanted)

    def version(self, wanted: str = "INV-7", /, **more: str) -> str:
        return self.look(wanted, **more)["version"]


@pytest.fixture
def ledger(server: Server) -> Iterator[Ledger]:
    database = server.database()
    made = Ledger(server, database)
    yield made
    made.own.close()
    server.drop(database)


def test_a_row_is_its_place_its_table_its_key_and_its_version(ledger: Ledger) -> None:
    found = ledger.look()
    assert found["row"].endswith("&schema=public&table=invoices&key=id&version=version")
    assert (found["key"], found["version"]) == ('text "INV-7"', 'integer "1"')
    ledger.do("UPDATE invoices SET version = 2")
    assert ledger.look() == found | {"version": 'integer "2"'}
    assert ledger.version("INV-8") == NONE
    ledger.do("ALTER TABLE invoices RENAME TO old")
    ledger.do("CREATE TABLE invoices AS SELECT * FROM old")
    ledger.do("GRANT SELECT ON invoices TO daemon")
    assert ledger.look()["table"] != found["table"], "another table in its place is another one"


def test_the_system_s_own_column_is_a_version_and_without_one_it_is_the_whole_row(ledger: Ledger) -> None:
    for version in ("xmin", ""):
        ledger.do("UPDATE invoices SET amount = 10")
        seen = {ledger.version(version=version), ledger.version(version=version)}
        assert len(seen) == 1
        for change in ("amount = 11", "amount = NULL", "version = version + 5"):
            ledger.do(f"UPDATE invoices SET {change}")  # noqa: S608 - names of the test's own
            seen.add(ledger.version(version=version))
        assert len(seen) == 4
    assert ledger.version(version="").startswith("row sha256 ")


@pytest.mark.parametrize(
    "key", ["' OR 1=1 --", "INV-7'; DROP TABLE invoices; --", "$1", "%s", "INV-7 ", "inv-7", "\\'", "é\u202e"]
)
def test_what_an_argument_says_is_a_value_and_nothing_else(ledger: Ledger, key: str) -> None:
    assert ledger.version(key) == NONE
    ledger.do("INSERT INTO invoices VALUES (%s, 1, 5)", key)
    assert ledger.version(key) == 'integer "5"'
    assert ledger.version() == 'integer "1"'


def test_names_may_hold_quotes_and_words_of_sql(ledger: Ledger) -> None:
    odd = {"schema": 'a"b', "table": "t; DROP TABLE invoices; --", "key": '%s"', "version": "select"}
    schema, table, key, version = (one.replace('"', '""') for one in odd.values())
    ledger.do(f'CREATE SCHEMA "{schema}"')
    ledger.own.execute(f'CREATE TABLE "{schema}"."{table}" ("{key}" text, "{version}" integer)'.encode())
    ledger.own.execute(f'INSERT INTO "{schema}"."{table}" VALUES (\'x\', 3)'.encode())  # noqa: S608 - names of the test's own
    ledger.do(f'GRANT USAGE ON SCHEMA "{schema}" TO daemon')
    ledger.do(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO daemon')
    assert ledger.version("x", **odd) == 'integer "3"'


def test_a_key_that_the_column_reads_in_another_way_is_refused(ledger: Ledger) -> None:
    ledger.do("CREATE TABLE n (id integer, code char(5), version integer)")
    ledger.do("INSERT INTO n VALUES (12, 'ab', 1)")
    ledger.do("GRANT SELECT ON n TO daemon")
    assert ledger.version("12", table="n") == 'integer "1"'
    assert ledger.version("13", table="n") == NONE
    for key in ("012", " 12", "+12"):
        with pytest.raises(OperandUnreadableError, match="another way"):
            ledger.look(key, table="n")
    with pytest.raises(OperandUnreadableError, match="another way"):
        ledger.look("ab", table="n", key="code")
    for key in ("x", "12.0", "99999999999"):
        with pytest.raises(OperandUnreadableError, match="could not be asked"):
            ledger.look(key, table="n")


def test_more_than_one_row_and_an_empty_or_endless_version_are_refused(ledger: Ledger) -> None:
    ledger.do("CREATE TABLE n (id text, version text)")
    ledger.do("GRANT SELECT ON n TO daemon")
    ledger.do("INSERT INTO n VALUES ('a', '1'), ('a', '1'), ('b', NULL), ('c', repeat('x', 1025))")
    for key, why in (("a", "more than one"), ("b", "is empty"), ("c", "longer than")):
        with pytest.raises(OperandUnreadableError, match=why):
            ledger.look(key, table="n")
    ledger.do("INSERT INTO n VALUES ('d', repeat('x', 2000000))")
    with pytest.raises(OperandUnreadableError, match="larger than"):
        ledger.look("d", table="n", version="")


def test_what_is_no_table_or_no_column_is_not_asked(ledger: Ledger) -> None:
    ledger.do("CREATE FUNCTION public.called(invoices) RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    ledger.do("CREATE VIEW v AS SELECT id, version, now() FROM invoices")
    ledger.do("CREATE MATERIALIZED VIEW m AS SELECT id, version FROM invoices")
    ledger.do("GRANT SELECT ON v, m TO daemon")
    for more in ({"version": "called"}, {"key": "called"}, {"key": "xmin"}, {"version": "nothing"}):
        with pytest.raises(OperandUnreadableError, match="no such column"):
            ledger.look(**more)
    for table in ("v", "m", "nothing"):
        with pytest.raises(OperandUnreadableError):
            ledger.look(table=table)


def test_what_is_read_with_a_table_is_one_too(ledger: Ledger) -> None:
    ledger.do("CREATE TABLE parts (id text, version integer) PARTITION BY LIST (id)")
    ledger.do("CREATE TABLE part PARTITION OF parts FOR VALUES IN ('a')")
    ledger.do("GRANT SELECT ON parts TO daemon")
    ledger.do("INSERT INTO parts VALUES ('a', 3)")
    assert ledger.version("a", table="parts") == 'integer "3"'
    ledger.do("CREATE FOREIGN DATA WRAPPER elsewhere")
    ledger.do("CREATE SERVER other FOREIGN DATA WRAPPER elsewhere")
    ledger.do("CREATE FOREIGN TABLE far PARTITION OF parts FOR VALUES IN ('b') SERVER other")
    ledger.do("CREATE FOREIGN TABLE child () INHERITS (invoices) SERVER other")
    for key, table in (("a", "parts"), ("INV-7", "invoices")):
        with pytest.raises(OperandUnreadableError, match="is not a table"):
            ledger.look(key, table=table)


def test_a_server_that_follows_another_is_not_asked() -> None:
    with running() as own:
        database = own.database()
        made = Ledger(own, database)
        made.own.close()
        assert made.version() == 'integer "1"'
        own.stop("fast")
        signal = own.folder / "data" / "standby.signal"
        signal.touch()
        signal.chmod(0o666)
        own.start()
        with pytest.raises(OperandUnreadableError, match="could not be asked"):
            made.look()
        with own.connect(database) as other:
            assert other.execute("SELECT version FROM invoices").fetchone() == (1,), "it answers others"


def test_what_is_asked_of_a_server_is_bounded_and_read_only(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / ".s.PGSQL.5432"))
        listening.listen()
        place = RowPlace(
            engine="postgresql", path=str(tmp_path), database="d", schema="s", table="t", key="k"
        )
        with ThreadPoolExecutor(1) as other:
            looking = other.submit(postgresql_row, place, "x")
            taken, _ = listening.accept()
            with taken:
                begun = taken.recv(8, socket.MSG_WAITALL)
                if begun.endswith(b"\x04\xd2\x16\x2f"):  # it asks for TLS first
                    taken.sendall(b"N")
                    begun = taken.recv(8, socket.MSG_WAITALL)
                length = int.from_bytes(begun[:4], "big")
                said = taken.recv(length - 8, socket.MSG_WAITALL).split(b"\x00")
            with pytest.raises(OperandUnreadableError):
                looking.result(30)
    options = dict(zip(said[0::2], said[1::2], strict=False))[b"options"].decode()
    for one in (
        "default_transaction_read_only=on", "statement_timeout=1500ms", "lock_timeout=1000ms",
        "search_path=pg_catalog", "row_security=off",
    ):  # fmt: skip  # a list of words reads better as words
        assert f"-c {one}" in options


def test_rows_that_a_policy_of_the_table_hides_are_not_taken_for_none(ledger: Ledger) -> None:
    ledger.do("ALTER TABLE invoices ENABLE ROW LEVEL SECURITY")
    with pytest.raises(OperandUnreadableError, match="InsufficientPrivilege"):
        ledger.look()


@pytest.fixture
def forgetful(ledger: Ledger, tmp_path: Path) -> Iterator[str]:
    """A pooler before the server that leaves out what settings a connection begins with; its folder."""
    with socket.socket(socket.AF_UNIX) as listening, ThreadPoolExecutor(3) as others:
        listening.bind(str(tmp_path / ".s.PGSQL.5432"))
        listening.listen()

        def pool() -> None:
            client, _ = listening.accept()
            with client, socket.socket(socket.AF_UNIX) as server:
                server.connect(str(ledger.server.folder / ".s.PGSQL.5432"))
                begun = client.recv(8, socket.MSG_WAITALL)
                words = client.recv(int.from_bytes(begun[:4], "big") - 8, socket.MSG_WAITALL).split(b"\x00")
                pairs = [b"\x00".join(one) for one in zip(words[0::2], words[1::2], strict=False) if one[0]]
                kept = b"\x00".join(one for one in pairs if not one.startswith(b"options\x00")) + b"\x00\x00"
                server.sendall((len(kept) + 8).to_bytes(4, "big") + begun[4:] + kept)
                back = others.submit(pump, server, client)
                pump(client, server)
                back.result(30)

        pooling = others.submit(pool)
        yield str(tmp_path)
        pooling.result(30)


def pump(here: socket.socket, there: socket.socket) -> None:
    """Hand on what comes, until there is an end."""
    while found := here.recv(65_536):
        there.sendall(found)
    there.shutdown(socket.SHUT_WR)


def test_a_pooler_that_leaves_out_the_settings_changes_nothing(ledger: Ledger, forgetful: str) -> None:
    ledger.do("CREATE POLICY nobody ON invoices FOR SELECT USING (false)")
    ledger.do("ALTER TABLE invoices ENABLE ROW LEVEL SECURITY")
    with pytest.raises(OperandUnreadableError, match="InsufficientPrivilege"):
        ledger.look(path=forgetful)


def test_what_the_role_may_not_read_is_refused(ledger: Ledger) -> None:
    ledger.do("REVOKE SELECT ON invoices FROM daemon")
    with pytest.raises(OperandUnreadableError, match="InsufficientPrivilege"):
        ledger.look()


def test_nothing_can_be_written_by_what_reading_calls(ledger: Ledger) -> None:
    ledger.do("CREATE TABLE told (x integer)")
    ledger.do(
        "CREATE FUNCTION tell(integer, integer) RETURNS boolean LANGUAGE sql SECURITY DEFINER VOLATILE"
        " AS 'INSERT INTO public.told VALUES (1); SELECT true'"
    )
    ledger.do("CREATE OPERATOR public.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = tell)")
    ledger.do("ALTER ROLE daemon SET search_path = public, pg_catalog")
    try:
        ledger.do("CREATE TABLE n (id integer, version integer)")
        ledger.do("INSERT INTO n VALUES (1, 1)")
        ledger.do("GRANT SELECT ON n TO daemon")
        assert ledger.version("1", table="n") == 'integer "1"'
        assert ledger.version("2", table="n") == NONE, "another's operator would have said that it is"
    finally:
        ledger.do("ALTER ROLE daemon RESET search_path")
    assert ledger.own.execute("SELECT count(*) FROM told").fetchone() == (0,)


def test_a_row_that_another_writes_is_the_one_before_and_a_locked_table_is_not_waited_for(
    ledger: Ledger,
) -> None:
    with ledger.server.connect(ledger.database) as other:
        other.execute("BEGIN")
        other.execute("UPDATE invoices SET version = 2")
        assert ledger.version() == 'integer "1"'
        other.execute("LOCK TABLE invoices IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(OperandUnreadableError, match="LockNotAvailable"):
            ledger.look()
        other.execute("COMMIT")
    assert ledger.version() == 'integer "2"'


def test_the_form_of_a_value_is_the_same_whatever_the_role_is_set_to(ledger: Ledger) -> None:
    ledger.do("ALTER TABLE invoices ADD at timestamptz DEFAULT '2026-11-27 12:00:00+00'")
    before = ledger.version(version="at")
    ledger.do("ALTER ROLE daemon SET timezone = 'Asia/Tokyo'")
    ledger.do("ALTER ROLE daemon SET datestyle = 'German'")
    try:
        assert ledger.version(version="at") == before
    finally:
        ledger.do("ALTER ROLE daemon RESET ALL")


def test_a_service_is_found_where_libpq_looks_for_it(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = tmp_path / "services"
    services.write_text(f"[ledger]\nhost={ledger.server.folder}\ndbname={ledger.database}\nuser=daemon\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    place = RowPlace(engine="postgresql", service="ledger", schema="public", table="invoices", key="id")
    assert postgresql_row(place, "INV-7")["key"] == 'text "INV-7"'


def test_no_server_is_an_error_that_does_not_say_more_than_its_name(tmp_path: Path) -> None:
    place = RowPlace(
        engine="postgresql", path=str(tmp_path), database="secret", schema="s", table="t", key="k"
    )
    with pytest.raises(OperandUnreadableError) as refused:
        postgresql_row(place, "x")
    assert isinstance(refused.value.__cause__, psycopg.OperationalError)
    assert refused.value.message == "the database could not be asked (OperationalError)"
