from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from taskbound.adapters.targets.postgres import PostgresAdmin
from taskbound.core.clock import Instant, seconds
from taskbound.core.target import PostgresKind
from taskbound.ports.target import (
    Gone,
    MintOrder,
    NameTakenError,
    TargetRefusedError,
    TargetUnavailableError,
)
from tests.adapters.targets.ending import ENDS, NOTHING, revoked, user_of
from tests.peers.cutting import Cutting, How
from tests.peers.minter import ADMIN, MARK, PATIENCE, PREFIX, READERS, Orders, fresh_name, minting


@pytest.fixture(scope="module")
def orders() -> Iterator[Orders]:
    with minting() as found:
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


def test_i05_its_end_again_and_that_of_what_never_was_is_the_same(orders: Orders) -> None:
    minted = orders.mint()
    for _ in range(3):
        revoked(orders, minted)
    assert orders.target().revoke(fresh_name(), ends=ENDS, patience=PATIENCE) == Gone(cut=0)


def test_a_name_that_is_taken_is_left_as_it_is(orders: Orders) -> None:
    minted = orders.mint()
    order = MintOrder(name=user_of(minted), ends=orders.ends)
    with pytest.raises(NameTakenError):
        orders.target().mint(order, READERS, patience=PATIENCE)
    orders.target().use(minted, patience=PATIENCE)
    revoked(orders, minted)


def test_i03_it_ends_by_itself_when_it_was_told_and_a_renewal_moves_that(orders: Orders) -> None:
    past = Instant(orders.ends - seconds(2 * 86_400))
    order = MintOrder(name=fresh_name(), ends=past)
    minted = orders.target().mint(order, READERS, patience=PATIENCE)
    with pytest.raises(TargetUnavailableError):
        orders.target().use(minted, patience=PATIENCE)
    orders.target().renew(order.name, orders.ends, patience=PATIENCE)
    orders.target().use(minted, patience=PATIENCE)
    with orders.login(minted) as one, pytest.raises(psycopg.errors.InsufficientPrivilege):
        one.execute(f"ALTER ROLE {order.name} VALID UNTIL 'infinity'".encode())
    revoked(orders, minted)


def test_i11_the_servers_log_and_our_values_have_no_password(orders: Orders) -> None:
    minted = orders.mint()
    password = minted.secret["PGPASSWORD"]
    assert len(password) >= 43
    assert password not in repr(minted)
    assert "minters-own-word" not in repr(ADMIN)
    log = (orders.server.folder / "log").read_text(encoding="utf-8", errors="replace")
    assert f'CREATE ROLE "{user_of(minted)}"' in log
    assert password not in log
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


def test_a_group_that_is_not_there_leaves_nothing(orders: Orders) -> None:
    with pytest.raises(TargetRefusedError, match="no role `writers`"):
        orders.mint(PostgresKind(group="writers"))
    assert orders.roles() == set()


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


@pytest.mark.parametrize(
    "before",
    [
        "SELECT 1",
        "SET ROLE readers",
        "BEGIN; UPDATE orders SET tenant = tenant",
        "BEGIN; DECLARE mine CURSOR FOR SELECT * FROM orders; FETCH mine",
        "LISTEN news",
        "SELECT pg_advisory_lock(42)",
        "CREATE TEMP TABLE mine (id int)",
        "SELECT set_config('application_name', 'psql', false)",
    ],
)
def test_i04_a211_a212_a_session_that_was_open_is_over(orders: Orders, before: str) -> None:
    minted = orders.mint()
    with suppress(psycopg.OperationalError), orders.login(minted) as one:
        one.execute(before.encode())
        assert revoked(orders, minted).cut == 1
        with pytest.raises(psycopg.OperationalError):
            one.execute("SELECT count(*) FROM orders")


def test_a212_a_client_that_reconnects_all_the_time_is_out(orders: Orders) -> None:
    minted = orders.mint(replace(READERS, connections=20))
    held: list[psycopg.Connection[tuple[object, ...]]] = []
    begun, over = threading.Barrier(4), threading.Event()

    def again() -> None:
        first = True
        while not over.is_set():
            with suppress(psycopg.Error):
                one = orders.login(minted)
                one.execute("SET ROLE readers")
                held.append(one)
            if first:
                begun.wait(PATIENCE)
                first = False

    clients = [threading.Thread(target=again) for _ in range(3)]
    for one in clients:
        one.start()
    begun.wait(PATIENCE)
    try:
        assert revoked(orders, minted).cut >= 1
    finally:
        over.set()
        for one in clients:
            one.join()
    for session in held:
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT count(*) FROM orders")
        session.close()


def test_a213_its_own_password_and_settings_help_it_nothing(orders: Orders) -> None:
    minted = orders.mint()
    name = user_of(minted)
    with orders.login(minted) as one:
        one.execute(f"ALTER ROLE {name} PASSWORD 'own'".encode())
        one.execute(f"ALTER ROLE {name} SET role = 'readers'".encode())
    changed = orders.with_password(minted, "own")
    with suppress(psycopg.OperationalError), orders.login(changed) as one:
        assert one.execute("SELECT current_user").fetchone() == ("readers",)
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


# --- names of others -------------------------------------------------------------------------


def test_i14_a_sweep_names_ours_and_nothing_else(orders: Orders) -> None:
    mine = {user_of(orders.mint()) for _ in range(3)}
    others = ["tb_abcdefgx_other", "TB_abcdefgh_other", "tb_", "xtb_abcdefgh_other", 'tb_abcdefgh"; --']
    with orders.owner() as owner:
        for name in others:
            owner.execute(psycopg.sql.SQL("CREATE ROLE {}").format(psycopg.sql.Identifier(name)))
        try:
            assert set(orders.target().sweep(PREFIX, patience=PATIENCE)) == mine
            for name in mine:
                orders.target().revoke(name, ends=ENDS, patience=PATIENCE)
            assert set(orders.target().sweep(PREFIX, patience=PATIENCE)) == set()
            left = owner.execute("SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)", (others,))
            assert left.fetchone() == (len(others),)
        finally:
            for name in others:
                owner.execute(psycopg.sql.SQL("DROP ROLE {}").format(psycopg.sql.Identifier(name)))


# --- faults ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["before", "after", "stuck"])
def test_k5_to_k9_a_mint_that_was_cut_off_anywhere_is_revoked_whole(
    orders: Orders, tmp_path: Path, how: How
) -> None:
    kind, cut = replace(READERS, context=("tenant",)), 0
    with Cutting(tmp_path, orders.server.folder) as way:
        while True:
            way.after(cut + 1, how)
            order = MintOrder(name=fresh_name(), ends=orders.ends, context={"tenant": "red"})
            try:
                minted = orders.target(tmp_path).mint(order, kind, patience=2.0)
            except TargetUnavailableError:
                cut += 1
                assert isinstance(orders.target().revoke(order.name, ends=ENDS, patience=PATIENCE), Gone)
                assert orders.target().look(order.name, patience=PATIENCE) == NOTHING
            else:
                revoked(orders, minted)
                break
    assert cut >= 8
    assert orders.roles() == set()


@pytest.mark.parametrize("how", ["before", "after", "stuck"])
def test_k14_to_k16_a_revocation_that_was_cut_off_anywhere_is_gone_on_with(
    orders: Orders, tmp_path: Path, how: How
) -> None:
    kind, cut = replace(READERS, context=("tenant",)), 0
    with Cutting(tmp_path, orders.server.folder) as way:
        while True:
            minted = orders.mint(kind, tenant="red")
            with suppress(psycopg.OperationalError), orders.login(minted) as session:
                session.execute("SET ROLE readers; CREATE TEMP TABLE mine (id int)")
                session.execute("RESET ROLE; SELECT lo_create(0)")
                way.after(cut + 1, how)
                try:
                    found = orders.target(tmp_path).revoke(user_of(minted), ends=ENDS, patience=2.0)
                except TargetUnavailableError:
                    cut += 1
                    revoked(orders, minted)
                else:
                    assert isinstance(found, Gone)
                    break
                with pytest.raises(psycopg.OperationalError):
                    session.execute("SELECT 1")
    assert cut >= 12
    assert orders.roles() == set()


def test_f10_a_target_that_is_away_is_said_to_be(tmp_path: Path, orders: Orders) -> None:
    target = orders.target(tmp_path)
    for ask in (
        lambda: target.revoke(fresh_name(), ends=ENDS, patience=1.0),
        lambda: target.look(fresh_name(), patience=1.0),
        lambda: target.sweep(PREFIX, patience=1.0),
        lambda: target.mint(MintOrder(name=fresh_name(), ends=orders.ends), READERS, patience=1.0),
    ):
        with pytest.raises(TargetUnavailableError):
            ask()


def test_f13_an_admin_whose_password_was_changed_is_refused_without_it_being_said(orders: Orders) -> None:
    target = orders.target(admin=PostgresAdmin(user="minter", password="another-word"))
    with pytest.raises((TargetUnavailableError, TargetRefusedError)) as caught:
        target.look(fresh_name(), patience=PATIENCE)
    assert "another-word" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_admin_without_rights_is_refused_and_nothing_is_made(orders: Orders) -> None:
    with orders.owner() as owner:
        owner.execute("CREATE ROLE weak LOGIN PASSWORD 'weak'")
        try:
            target = orders.target(admin=PostgresAdmin(user="weak", password="weak"))
            with pytest.raises(TargetRefusedError):
                target.mint(MintOrder(name=fresh_name(), ends=orders.ends), READERS, patience=PATIENCE)
            assert orders.roles() == set()
            minted = orders.mint()
            with pytest.raises(TargetRefusedError):
                target.revoke(user_of(minted), ends=ENDS, patience=PATIENCE)
            revoked(orders, minted)
        finally:
            owner.execute("DROP ROLE weak")


def test_f2_a_server_that_can_only_be_read_shows_nothing_that_counts(orders: Orders) -> None:
    with orders.owner() as owner:
        owner.execute("ALTER ROLE minter SET default_transaction_read_only = on")
        try:
            with pytest.raises(TargetUnavailableError):
                orders.target().revoke(fresh_name(), ends=ENDS, patience=PATIENCE)
        finally:
            owner.execute("ALTER ROLE minter RESET default_transaction_read_only")
