from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import (
    LostDatabaseError,
    OldDatabaseServerError,
    PostgresStore,
    ReadOnlyDatabaseError,
    RestoredDatabaseError,
    UnsafeDatabaseError,
)
from taskbound.adapters.store.postgres.server import opening
from taskbound.adapters.store.postgres.server.opening import examine_database, upgrade_database
from taskbound.core.revocation import KillSwitch
from taskbound.ports.store import (
    ForeignDatabaseError,
    NewerDatabaseError,
    OlderDatabaseError,
    StoreUnavailableError,
)
from tests.contracts.store.rows import append, event, open_chain, read
from tests.postgres import Server, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.ports.store import Transaction


@pytest.fixture
def name(server: Server) -> Iterator[str]:
    made = server.database()
    yield made
    server.drop(made)


def refused(url: str, error: type[Exception]) -> str:
    with pytest.raises(error) as found:
        PostgresStore(url)
    return str(found.value)


def test_a_server_that_is_not_there_is_said_to_be_lost() -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = refused(f"postgresql:///nowhere?host={folder}", LostDatabaseError)
    assert words.startswith("the database's server can't be reached: ")
    assert "No such file or directory" in words


def test_who_opens_a_database_that_lets_nobody_in_is_told_the_servers_reason(server: Server) -> None:
    missing, stranger = server.url("nowhere"), server.url("postgres", "nobody-s")
    with pytest.raises(LostDatabaseError) as found:
        PostgresStore(missing)
    assert found.value.message == ('the database server refuses the login: database "nowhere" does not exist')
    assert "pg_hba.conf" in found.value.advice
    with pytest.raises(LostDatabaseError, match="does not exist"):
        upgrade_database(stranger)
    (finding,) = examine_database(missing)
    assert 'database "nowhere" does not exist' in finding.text


def test_a_database_without_tables_names_the_command_that_makes_them(server: Server) -> None:
    with server.connect("postgres") as admin:
        admin.execute("CREATE DATABASE bare")
    with pytest.raises(OlderDatabaseError) as found:
        PostgresStore(server.url("bare"))
    assert "taskbound db upgrade" in found.value.advice
    server.drop("bare")


def test_a_schema_of_somebody_else_is_refused_and_not_changed(server: Server) -> None:
    with server.connect("postgres") as admin:
        admin.execute("CREATE DATABASE theirs")
    with server.connect("theirs") as admin:
        admin.execute("CREATE SCHEMA taskbound CREATE TABLE things (id int)")
    refused(server.url("theirs", "owner"), ForeignDatabaseError)
    with pytest.raises(ForeignDatabaseError):
        upgrade_database(server.url("theirs", "owner"))
    with server.connect("theirs") as admin:
        found = admin.execute("SELECT relname FROM pg_class WHERE relnamespace = 'taskbound'::regnamespace")
        assert [one[0] for one in found] == ["things"]
    server.drop("theirs")


def test_an_empty_schema_that_somebody_else_has_marked_is_refused(server: Server) -> None:
    with server.connect("postgres") as admin:
        admin.execute("CREATE DATABASE marked")
    with server.connect("marked") as admin:
        admin.execute("CREATE SCHEMA taskbound")
        admin.execute("COMMENT ON SCHEMA taskbound IS 'the billing team''s'")
    with pytest.raises(ForeignDatabaseError):
        upgrade_database(server.url("marked", "owner"))
    refused(server.url("marked", "owner"), ForeignDatabaseError)
    server.drop("marked")


def test_making_that_broke_off_leaves_nothing_and_can_be_run_again(server: Server) -> None:
    with server.connect("postgres") as admin:
        admin.execute("CREATE DATABASE half")
    with server.connect("half") as admin:
        admin.execute(
            "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands()"
            " WHERE object_identity = 'taskbound.approvals')"
            " THEN RAISE EXCEPTION 'no more'; END IF; END $$"
        )
        admin.execute(
            "CREATE EVENT TRIGGER breaks ON ddl_command_end WHEN TAG IN ('CREATE TABLE')"
            " EXECUTE FUNCTION public.refuse()"
        )
    with pytest.raises(StoreUnavailableError, match="no more"):
        upgrade_database(server.url("half", "owner"), daemon="daemon")
    refused(server.url("half", "owner"), OlderDatabaseError)
    with server.connect("half") as admin:
        assert admin.execute("SELECT to_regnamespace('taskbound')").fetchone() == (None,)
        admin.execute("DROP EVENT TRIGGER breaks")
    upgrade_database(server.url("half", "owner"), daemon="daemon")
    PostgresStore(server.url("half")).close()
    assert all(one.well for one in examine_database(server.url("half")))
    server.drop("half")


def test_two_that_upgrade_at_once_take_turns(server: Server) -> None:
    with server.connect("postgres") as admin:
        admin.execute("CREATE DATABASE turns")
    with server.connect("turns") as first, server.connect("turns") as seen:
        first.execute("SELECT pg_advisory_lock(%s)", (0x5442_6E64_0002,))
        thread = threading.Thread(
            target=upgrade_database, args=(server.url("turns", "owner"),), kwargs={"daemon": "daemon"}
        )
        thread.start()
        for _ in range(1000):
            found = seen.execute(
                "SELECT (SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory')"
                " + (SELECT count(*) FROM pg_namespace WHERE nspname = 'taskbound')"
            ).fetchone()
            if found != (0,):
                break
            seen.execute("SELECT pg_sleep(0.01)")
        assert seen.execute("SELECT to_regnamespace('taskbound')").fetchone() == (None,)
        first.execute("SELECT pg_advisory_unlock_all()")
        thread.join()
    PostgresStore(server.url("turns")).close()
    server.drop("turns")


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE taskbound.schema_revision SET revision = revision + 1", NewerDatabaseError),
        ("UPDATE taskbound.schema_revision SET revision = revision - 1", OlderDatabaseError),
        ("DELETE FROM taskbound.schema_revision", OlderDatabaseError),
        ("DROP TABLE taskbound.schema_revision", OlderDatabaseError),
    ],
    ids=["newer", "older", "empty", "unreleased"],
)
def test_database_of_another_revision_is_refused(
    server: Server, name: str, statement: str, error: type[Exception]
) -> None:
    with server.connect(name) as admin:
        admin.execute(statement.encode())
    refused(server.url(name), error)
    with pytest.raises(error):
        upgrade_database(server.url(name, "owner"))


def test_schema_that_has_no_tables_left_is_made_again(server: Server, name: str) -> None:
    with server.connect(name) as admin:
        admin.execute("DROP SCHEMA taskbound CASCADE")
        admin.execute("CREATE SCHEMA taskbound")
        mark = opening.MARK.replace("'", "''")
        admin.execute(f"COMMENT ON SCHEMA taskbound IS '{mark}'".encode())
    refused(server.url(name), OlderDatabaseError)
    upgrade_database(server.url(name, "owner"))
    PostgresStore(server.url(name)).close()


def test_a_database_that_only_reads_is_refused(server: Server, name: str) -> None:
    with server.connect(name) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    refused(server.url(name), ReadOnlyDatabaseError)


def test_a_server_that_becomes_a_standby_permits_nothing() -> None:
    with running() as own:
        name = own.database()
        store = PostgresStore(own.url(name))
        own.stop("fast")
        (own.folder / "data" / "standby.signal").touch()
        own.start()
        with pytest.raises(ReadOnlyDatabaseError):
            store.write(stop)
        with pytest.raises(ReadOnlyDatabaseError), store.read():
            pass
        refused(own.url(name), ReadOnlyDatabaseError)
        store.close()


def stop(tx: Transaction) -> None:
    tx.revocation.put_kill_switch("default", KillSwitch(stopped=True, epoch=1), expect=0)


@pytest.mark.parametrize("setting", ["fsync=off", "full_page_writes=off"])
def test_a_server_that_does_not_sync_is_refused(setting: str) -> None:
    with pytest.raises(UnsafeDatabaseError), running(setting):
        pass


def test_a_database_of_another_encoding_is_refused(server: Server) -> None:
    with server.connect("postgres") as admin:
        admin.execute("CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    refused(server.url("bytes"), UnsafeDatabaseError)
    server.drop("bytes")


def test_a_server_that_is_too_old_is_refused(
    server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.connect(name) as seen:
        monkeypatch.setattr(opening, "OLDEST", seen.info.server_version + 1)
    refused(server.url(name), OldDatabaseServerError)


def test_a_database_that_was_loaded_from_another_server_goes_on_only_after_an_upgrade(
    server: Server, name: str
) -> None:
    store = PostgresStore(server.url(name))
    open_chain(store)
    store.close()
    with server.connect(name) as admin:
        admin.execute("UPDATE taskbound.records SET number = number + (1::bigint << 50)")
    refused(server.url(name), RestoredDatabaseError)
    assert any(not one.well for one in examine_database(server.url(name)))
    upgrade_database(server.url(name, "owner"))
    store = PostgresStore(server.url(name))
    append(store, event(1))
    numbers = [one.number for one in read(store, lambda seen: seen.audit.pending(10))]
    assert len(numbers) == 2
    assert numbers == sorted(numbers)
    store.close()


def test_an_upgrade_can_be_run_again_and_changes_nothing(server: Server, name: str) -> None:
    upgrade_database(server.url(name, "owner"), daemon="daemon")
    with server.connect(name) as admin:
        before = admin.execute("SELECT * FROM taskbound.numbering").fetchall()
    upgrade_database(server.url(name, "owner"), daemon="daemon")
    with server.connect(name) as admin:
        assert admin.execute("SELECT * FROM taskbound.numbering").fetchall() == before


def test_every_text_of_the_schema_is_compared_by_code_points(server: Server, name: str) -> None:
    with server.connect(name) as admin:
        found = admin.execute(
            "SELECT DISTINCT collation_name FROM information_schema.columns"
            " WHERE table_schema = 'taskbound' AND data_type = 'text'"
        ).fetchall()
    assert found == [("C",)]


def test_a_daemons_role_that_may_not_look_is_told_of_the_command_that_says_so(
    server: Server, name: str
) -> None:
    with server.connect(name) as admin:
        admin.execute("REVOKE SELECT ON taskbound.records FROM taskbound_daemon")
    with pytest.raises(StoreUnavailableError) as found:
        PostgresStore(server.url(name))
    assert "taskbound db check" in str(found.value)


def test_an_address_shows_its_password_in_no_error() -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = refused(f"postgresql://x:hunter2@/nowhere?host={folder}", LostDatabaseError)
        found = examine_database(f"postgresql://x:hunter2@/nowhere?host={folder}")
    assert "hunter2" not in words + "".join(one.text for one in found)
    assert Path(folder).name in found[0].text
