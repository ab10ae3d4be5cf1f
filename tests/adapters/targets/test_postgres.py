from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace

import psycopg
import pytest

from taskbound.core.target import PostgresKind
from taskbound.ports.target import (
    TargetRefusedError,
    TargetUnavailableError,
)
from tests.adapters.targets.ending import ENDS, revoked, user_of
from tests.peers.minter import MARK, PATIENCE, READERS, Orders, fresh_name, minting
from tests.postgres import newest, programs


@pytest.fixture(scope="module", params=[programs, newest])
def orders(request: pytest.FixtureRequest) -> Iterator[Orders]:
    with minting(of=request.param()) as found:
        yield found


# --- a login ---------------------------------------------------------------------------------


def test_a_login_does_what_its_group_may_and_is_gone_afterwards(orders: Orders) -> None:
    minted = orders.mint()
    orders.target().use(minted, patience=PATIENCE)
    with orders.login(minted) as one:
        assert one.execute("SELECT count(*) FROM orders").fetchone() == (2,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            one.execute("DELETE FROM orders")
    assert orders.target().look(user_of(minted), patience=PATIENCE).exists
    assert revoked(orders, minted).notes == ()


def test_a_test_refuses_a_login_that_reaches_further_whoever_made_it(orders: Orders) -> None:
    minted = orders.mint()
    with orders.owner() as owner:
        owner.execute("CREATE DATABASE apart")
        owner.execute("REVOKE CONNECT ON DATABASE apart FROM PUBLIC")
        for more, less, said in (
            ("ALTER ROLE {} CREATEROLE", "ALTER ROLE {} NOCREATEROLE", "reaches beyond"),
            ("GRANT CONNECT ON DATABASE apart TO {}", "DROP DATABASE apart", "enter the database `apart`"),
        ):
            owner.execute(more.format(user_of(minted)).encode())
            with pytest.raises(TargetRefusedError, match=said):
                orders.target().use(minted, patience=PATIENCE)
            owner.execute(less.format(user_of(minted)).encode())
    orders.target().use(minted, patience=PATIENCE)
    revoked(orders, minted)


def test_i03_whoever_has_a_login_moves_its_end_nowhere(orders: Orders) -> None:
    minted = orders.mint()
    with orders.login(minted) as one, pytest.raises(psycopg.errors.InsufficientPrivilege):
        one.execute(f"ALTER ROLE {user_of(minted)} VALID UNTIL 'infinity'".encode())
    revoked(orders, minted)


def test_i11_a_password_is_256_bits_and_the_server_is_sent_what_it_keeps_of_it(orders: Orders) -> None:
    minted = orders.mint()
    assert len(minted.secret["PGPASSWORD"]) >= 43
    log = (orders.server.folder / "log").read_text(encoding="utf-8", errors="replace")
    assert f'CREATE ROLE "{user_of(minted)}" LOGIN PASSWORD \'SCRAM-SHA-256$4096:' in log
    revoked(orders, minted)


# --- what its group may be ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "beyond",
    [
        "SUPERUSER",
        "CREATEROLE",
        "REPLICATION",
        "BYPASSRLS",
        "IN ROLE pg_execute_server_program",
        "IN ROLE pg_read_server_files",
        "IN ROLE pg_signal_backend",
    ],
)
@pytest.mark.parametrize("group", ["strong", "between"])
def test_i08_no_login_is_put_where_it_could_reach_beyond_its_rights(
    orders: Orders, beyond: str, group: str
) -> None:
    with orders.owner() as owner:
        owner.execute(f"CREATE ROLE strong {beyond}".encode())
        owner.execute("CREATE ROLE between")
        owner.execute("GRANT strong TO between")
        try:
            with pytest.raises(TargetRefusedError, match="reaches beyond"):
                orders.mint(PostgresKind(group=group))
            assert orders.roles() == set()
        finally:
            owner.execute("DROP ROLE between")
            owner.execute("DROP ROLE strong")


def test_a_role_s_name_ends_no_sentence_of_ours(orders: Orders) -> None:
    with orders.owner() as owner:
        owner.execute('CREATE ROLE "st`rong\x1b[2J\u202e" CREATEROLE; CREATE ROLE between')
        owner.execute('GRANT "st`rong\x1b[2J\u202e" TO between')
        try:
            with pytest.raises(TargetRefusedError) as refused:
                orders.mint(PostgresKind(group="between"))
        finally:
            owner.execute('DROP ROLE between; DROP ROLE "st`rong\x1b[2J\u202e"')
    said = r"the role `st\u{60}rong\u{1B}[2J\u{202E}` reaches beyond what a login may have"
    assert refused.value.message == said


def test_i08_no_login_is_put_in_a_group_that_owns_a_database(orders: Orders) -> None:
    with orders.owner("postgres") as owner:
        owner.execute("CREATE ROLE keeps")
        owner.execute("CREATE DATABASE kept OWNER keeps")
        try:
            with pytest.raises(TargetRefusedError, match="reaches beyond"):
                orders.mint(PostgresKind(group="keeps"))
        finally:
            owner.execute("DROP DATABASE kept")
            owner.execute("DROP ROLE keeps")


def test_f16_no_login_is_made_that_can_enter_where_the_admin_can_not(orders: Orders) -> None:
    walks = PostgresKind(group="walks")
    with orders.owner("postgres") as owner:
        owner.execute("CREATE ROLE walks")
        if owner.info.server_version >= 160_000:  # before that the admin needs nothing of the group
            owner.execute("GRANT walks TO minter WITH ADMIN TRUE, INHERIT FALSE")
        try:
            owner.execute("REVOKE CONNECT ON DATABASE beside FROM PUBLIC")
            revoked(orders, orders.mint(walks))
            owner.execute("GRANT CONNECT ON DATABASE beside TO walks")
            with pytest.raises(TargetRefusedError, match="enter the database `beside`"):
                orders.mint(walks)
            assert orders.roles() == set()
        finally:
            owner.execute("GRANT CONNECT ON DATABASE beside TO PUBLIC")
            owner.execute("REVOKE CONNECT ON DATABASE beside FROM walks")
            owner.execute("DROP ROLE walks")


def test_a_group_that_is_not_there_leaves_nothing(orders: Orders) -> None:
    with pytest.raises(TargetRefusedError, match="no role `writers`"):
        orders.mint(PostgresKind(group="writers"))
    assert orders.roles() == set()


def test_k8_what_can_be_made_in_part_alone_is_not_made(orders: Orders) -> None:
    with orders.owner() as owner:
        owner.execute("REVOKE INSERT ON taskbound.contexts FROM minter")
        try:
            with pytest.raises(TargetRefusedError, match="lacks SELECT, INSERT and DELETE"):
                orders.mint(replace(READERS, context=("tenant",)), tenant="red")
            assert orders.roles() == set()
        finally:
            owner.execute("GRANT INSERT ON taskbound.contexts TO minter")


def test_connections_have_a_bound(orders: Orders) -> None:
    minted = orders.mint(replace(READERS, connections=1))
    with orders.login(minted), pytest.raises(psycopg.OperationalError, match="too many connections"):
        orders.login(minted)
    assert revoked(orders, minted).cut == 0


# --- rows of the task ------------------------------------------------------------------------


def test_a_task_sees_its_rows_whatever_it_says_of_itself(orders: Orders) -> None:
    kind = replace(READERS, context=("tenant",))
    blue, bare = orders.mint(kind, tenant="blue"), orders.mint()
    with orders.login(blue) as one:
        count = "SELECT count(*) FROM parcels"
        assert one.execute(count).fetchone() == (2,)
        one.execute("SET taskbound.tenant = 'red'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege) if orders.apart else nullcontext():
            one.execute("SET ROLE readers")
        assert one.execute(count).fetchone() == (2,)
        one.execute("RESET ROLE")
        for hostile in (
            "UPDATE taskbound.contexts SET value = 'red'",
            "SELECT * FROM taskbound.contexts",
            f"SET SESSION AUTHORIZATION {user_of(bare)}",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                one.execute(hostile.encode())
    with orders.login(bare) as one:
        assert one.execute(count).fetchone() == (0,)
    revoked(orders, blue)
    revoked(orders, bare)
    with orders.owner() as owner:
        assert owner.execute("SELECT count(*) FROM taskbound.contexts").fetchone() == (0,)


# --- sessions that were open -----------------------------------------------------------------


def test_a213_its_own_password_and_settings_help_it_nothing(orders: Orders) -> None:
    minted = orders.mint()
    name = user_of(minted)
    with orders.login(minted) as one:
        one.execute(f"ALTER ROLE {name} PASSWORD 'own'".encode())
        one.execute(f"ALTER ROLE {name} SET role = 'readers'".encode())
    changed = orders.with_password(minted, "own")
    with suppress(psycopg.OperationalError), orders.login(changed) as one:
        assert one.execute("SELECT current_user").fetchone() == (name if orders.apart else "readers",)
        assert revoked(orders, changed).cut == 1


def test_a213_f16_what_it_made_stays_and_is_nobodys_way_in(orders: Orders) -> None:
    minted = orders.mint()
    with orders.login(minted) as one:
        one.execute("CREATE TABLE left_behind (id int)")
        one.execute("INSERT INTO left_behind VALUES (7)")
        one.execute("SELECT lo_create(4711)")
        one.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO readers")
        one.execute("CREATE FUNCTION wide() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")
    with orders.login(minted, "beside") as one:
        one.execute("CREATE TABLE left_behind (id int)")
    notes = revoked(orders, minted).notes
    assert [note.split(" is kept by ")[0] for note in notes] == [
        "what it owned in `beside`",
        "what it owned in `orders`",
    ]
    for database in ("orders", "beside"):
        with orders.owner(database) as owner:
            found = owner.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'left_behind'")
            assert found.fetchall() == [(f"taskbound_left_{MARK}",)]
            owner.execute("DROP TABLE left_behind")
    with orders.owner() as owner:
        owner.execute("DROP FUNCTION wide()")
        owner.execute("SELECT lo_unlink(4711)")


def test_a213_what_it_prepared_is_rolled_back(orders: Orders) -> None:
    minted = orders.mint()
    with orders.login(minted) as one:
        one.execute("BEGIN; UPDATE orders SET tenant = 'stolen'; PREPARE TRANSACTION 'it''s mine'")
    with orders.login(minted, "beside") as one:
        one.execute("BEGIN; CREATE TABLE prepared (id int); PREPARE TRANSACTION 'another'")
    assert "2 prepared transactions were rolled back" in revoked(orders, minted).notes
    with orders.owner() as owner:
        assert owner.execute("SELECT count(*) FROM pg_prepared_xacts").fetchone() == (0,)
        owner.execute("SET lock_timeout = '2s'")
        assert owner.execute("SELECT count(*) FROM orders WHERE tenant = 'stolen'").fetchone() == (0,)
        owner.execute("UPDATE orders SET tenant = tenant")  # nobody has it locked


# --- faults ----------------------------------------------------------------------------------


def test_f2_a_server_that_can_only_be_read_shows_nothing_that_counts(orders: Orders) -> None:
    with orders.owner() as owner:
        owner.execute("ALTER ROLE minter SET default_transaction_read_only = on")
        try:
            with pytest.raises(TargetUnavailableError):
                orders.target().revoke(fresh_name(), ends=ENDS, patience=PATIENCE)
        finally:
            owner.execute("ALTER ROLE minter RESET default_transaction_read_only")
