from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from taskbound.adapters.targets.postgres import PostgresTarget
from taskbound.adapters.targets.postgres.login import SALT, verifier_of
from taskbound.core.target import PostgresKind
from taskbound.ports.target import Gone, Minted, MintOrder, TargetRefusedError, TargetUnavailableError
from tests.adapters.targets.ending import ENDS, revoked, user_of
from tests.peers.cutting import Cutting
from tests.peers.minter import ADMIN, MARK, PATIENCE, READERS, Orders, fresh_name, minting
from tests.postgres import newest, programs


@pytest.fixture(scope="module", params=[programs, newest])
def orders(request: pytest.FixtureRequest) -> Iterator[Orders]:
    with minting(of=request.param()) as found:
        yield found


def test_i04_a212_a_session_that_draws_its_beginning_out_does_not_outlive_it(orders: Orders) -> None:
    minted, another = orders.mint(), orders.mint()
    with orders.login(minted) as one:
        one.execute(f"ALTER ROLE {user_of(minted)} SET role = 'readers'".encode())
    hidden = "SELECT count(*) FROM pg_locks WHERE locktype = 'virtualxid' AND pid NOT IN"
    hidden += " (SELECT pid FROM pg_stat_activity WHERE usesysid IS NOT NULL)"
    met: dict[str, str] = {}

    def come_late(who: Minted, delay: str) -> None:
        try:
            with psycopg.connect(
                host=who.open["PGHOST"],
                dbname="orders",
                user=user_of(who),
                password=who.secret["PGPASSWORD"],
                options=f"-c post_auth_delay={delay}",
            ) as session:
                met[user_of(who)] = str(session.execute("SELECT count(*) FROM orders").fetchone())
        except psycopg.OperationalError:
            met[user_of(who)] = "ended"

    late = [
        threading.Thread(target=come_late, args=(minted, "60")),
        threading.Thread(target=come_late, args=(another, "1")),
    ]
    with orders.owner() as owner:
        for each in late:
            each.start()
        while owner.execute(hidden).fetchone() != (2,):
            threading.Event().wait(0.01)
        assert revoked(orders, minted).cut == 1
        for each in late:
            each.join()
    assert met == {user_of(minted): "ended", user_of(another): "(2,)"}
    revoked(orders, another)


@pytest.mark.parametrize("kept", ["SELECT 1", "PREPARE TRANSACTION 'a_password_of_mine'"])
def test_i04_a213_a_password_that_it_changes_and_does_not_commit_keeps_it_in_no_longer(
    orders: Orders, kept: str
) -> None:
    minted = orders.mint()
    with suppress(psycopg.OperationalError), orders.login(minted) as one:
        one.execute("BEGIN")
        one.execute(f"ALTER ROLE {user_of(minted)} PASSWORD 'mine'".encode())
        one.execute(kept.encode())
        assert revoked(orders, minted).cut == 1


def test_i04_a213_a_session_that_is_slow_to_end_is_one(orders: Orders, tmp_path: Path) -> None:
    minted = orders.mint()
    with suppress(psycopg.OperationalError), orders.login(minted) as one:
        one.execute("BEGIN")
        one.execute(f"ALTER ROLE {user_of(minted)} PASSWORD 'mine'".encode())
        process = one.info.backend_pid
        going_on = partial(os.kill, process, signal.SIGCONT)
        os.kill(process, signal.SIGSTOP)
        try:
            with Cutting(tmp_path, orders.server.folder) as way:
                way.at(b"pg_terminate_backend", "held", going_on, times=3)
                found = orders.target(tmp_path).revoke(user_of(minted), ends=ENDS, patience=PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                going_on()
        assert found == Gone(cut=1)


def test_i04_a213_who_commits_a_password_of_its_own_all_the_time_is_out(orders: Orders) -> None:
    minted, begun = orders.mint(), threading.Event()
    same = verifier_of(minted.secret["PGPASSWORD"], b"s" * SALT)

    def change() -> None:
        with suppress(psycopg.Error), orders.login(minted) as one:
            while True:
                one.execute("BEGIN")
                one.execute(f"ALTER ROLE {user_of(minted)} PASSWORD '{same}'".encode())
                begun.set()
                one.execute("SELECT pg_sleep(0.05)")
                one.execute("COMMIT")

    changing = threading.Thread(target=change)
    changing.start()
    assert begun.wait(10)
    assert revoked(orders, minted).cut == 1
    changing.join()


def test_i04_a212_a213_who_comes_again_all_the_time_to_have_its_row_is_out(orders: Orders) -> None:
    minted, over, again = orders.mint(), threading.Event(), threading.Semaphore(0)
    same = verifier_of(minted.secret["PGPASSWORD"], b"s" * SALT)

    def hold() -> None:
        while not over.is_set():
            with suppress(psycopg.Error), orders.login(minted) as one:
                one.execute("BEGIN")
                again.release()
                one.execute(f"ALTER ROLE {user_of(minted)} PASSWORD '{same}'".encode())
                one.execute("SELECT pg_sleep(20)")

    holders = [threading.Thread(target=hold) for _ in range(4)]
    for each in holders:
        each.start()
    for _ in holders:
        assert again.acquire(timeout=10)
    try:
        revoked(orders, minted)
    finally:
        over.set()
        for each in holders:
            each.join()


def test_f14_a_login_that_others_dropped_is_not_gone_while_a_session_of_nobody_is_open(
    orders: Orders,
) -> None:
    minted = orders.mint()
    name = user_of(minted)
    with suppress(psycopg.OperationalError), orders.login(minted) as one, orders.owner() as owner:
        owner.execute(f"GRANT readers TO {name}".encode())  # as it is before 16: it may become its group
        one.execute("SET ROLE readers")
        owner.execute(f"DROP ROLE {name}".encode())
        assert one.execute("SELECT count(*) FROM orders").fetchone() == (2,)
        with pytest.raises(TargetUnavailableError, match="that others dropped"):
            orders.target().revoke(name, ends=ENDS, patience=PATIENCE)
        one.close()
        while orders.sessions(name):
            threading.Event().wait(0.01)
    assert orders.target().revoke(name, ends=ENDS, patience=PATIENCE) == Gone(cut=0)


def test_a213_f16_what_runs_as_its_owner_is_neither_the_admins_nor_anothers_left_behind(
    orders: Orders,
) -> None:
    first, kind = orders.mint(), replace(READERS, context=("tenant",))
    with orders.login(first) as one:
        one.execute("CREATE TABLE private (word text)")
        one.execute("INSERT INTO private VALUES ('the first one''s')")
    revoked(orders, first)
    second = orders.mint(kind, tenant="red")
    with orders.login(second) as one:
        one.execute("CREATE VIEW seen AS SELECT * FROM orders")
        one.execute(
            "CREATE FUNCTION asked(said text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS"
            " $$ BEGIN EXECUTE said; RETURN current_user; END $$"
        )
        one.execute("GRANT SELECT ON seen TO PUBLIC")
    revoked(orders, second)
    third = orders.mint()
    with orders.login(third) as one:
        for said in (
            "CREATE ROLE of_the_agents LOGIN",
            "DELETE FROM taskbound.contexts",
            "DELETE FROM private",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                one.execute("SELECT asked(%s)", (said,))
        assert one.execute("SELECT asked('SELECT 1')").fetchone() == (user_of(third),)
    with orders.owner() as owner:
        found = owner.execute("SELECT reloptions FROM pg_class WHERE relname = 'seen'").fetchone()
        assert found == (["security_invoker=true"],)
        owner.execute("DROP FUNCTION asked(text); DROP VIEW seen; DROP TABLE private")
    revoked(orders, third)


def test_i04_a213_who_draws_its_taking_over_out_has_nothing_of_its_rights(
    orders: Orders,
) -> None:
    with orders.owner() as owner:
        owner.execute('CREATE ROLE "takes away"; GRANT DELETE ON orders TO "takes away"')
        owner.execute('GRANT CREATE ON SCHEMA public TO "takes away"')
        owner.execute('GRANT "takes away" TO minter WITH ADMIN OPTION')
        minted, other = orders.mint(PostgresKind(group="takes away")), orders.mint()
        with orders.login(minted) as one:
            one.execute("CREATE TABLE held (id int); GRANT SELECT ON held TO PUBLIC")
            one.execute(
                "CREATE FUNCTION asked(said text) RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS"
                " $$ BEGIN EXECUTE said; RETURN 1; END $$"
            )
        with orders.login(other) as holder:
            holder.execute("BEGIN; LOCK TABLE held IN ACCESS SHARE MODE; SAVEPOINT before")
            for _ in range(2):
                with pytest.raises(TargetUnavailableError):
                    orders.target().revoke(user_of(minted), ends=ENDS, patience=1.0)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                holder.execute("SELECT asked('DELETE FROM orders WHERE false')")
            holder.execute("ROLLBACK")
        revoked(orders, minted)
        revoked(orders, other)
        owner.execute("DROP FUNCTION asked(text); DROP TABLE held")
        owner.execute('DROP OWNED BY "takes away"; DROP ROLE "takes away"')


def test_i08_a213_what_a_login_puts_in_the_place_of_our_table_runs_with_its_rights_alone(
    orders: Orders,
) -> None:
    with orders.owner("beside") as owner:  # where nobody has made the table
        owner.execute("GRANT CREATE ON DATABASE beside TO readers")
        bare = PostgresTarget(replace(orders.place(), database="beside"), ADMIN)
        minted, other = orders.mint(), orders.mint()
        with orders.login(minted, "beside") as one:
            one.execute("CREATE SCHEMA taskbound")
            one.execute("CREATE TABLE taskbound.contexts (login name, key text, value text)")
            one.execute(
                "CREATE FUNCTION taskbound.mine() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN CREATE ROLE of_the_agents LOGIN CREATEROLE; RETURN NULL; END $$"
            )
            one.execute(
                "CREATE TRIGGER mine BEFORE INSERT OR DELETE ON taskbound.contexts"
                " FOR EACH STATEMENT EXECUTE FUNCTION taskbound.mine()"
            )
            one.execute("GRANT ALL ON SCHEMA taskbound TO PUBLIC; GRANT ALL ON taskbound.contexts TO PUBLIC")
        order = MintOrder(name=fresh_name(), ends=orders.ends, context={"tenant": "red"})
        with pytest.raises(TargetRefusedError, match="of its owner's"):
            bare.mint(order, replace(READERS, context=("tenant",)), patience=PATIENCE)
        for name in (user_of(other), user_of(minted), user_of(minted)):  # at last one that is gone
            bare.revoke(name, ends=ENDS, patience=PATIENCE)
        assert owner.execute("SELECT FROM pg_roles WHERE rolname = 'of_the_agents'").fetchone() is None
        owner.execute("DROP SCHEMA taskbound CASCADE; REVOKE CREATE ON DATABASE beside FROM readers")


def test_a213_a_schema_that_it_took_from_itself_is_in_no_ends_way(orders: Orders) -> None:
    minted = orders.mint()
    with orders.owner() as owner:
        owner.execute("GRANT CREATE ON DATABASE orders TO readers")
        with orders.login(minted) as one:
            one.execute("CREATE SCHEMA mine; CREATE TYPE mine.odd AS (a int)")
            one.execute("CREATE FUNCTION mine.odd() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'")
            one.execute(f"REVOKE ALL ON SCHEMA mine FROM {user_of(minted)}".encode())
        revoked(orders, minted)
        owner.execute("DROP SCHEMA mine CASCADE")
        owner.execute("REVOKE CREATE ON DATABASE orders FROM readers")


def test_a213_what_keeps_things_and_can_do_more_is_not_taken(orders: Orders) -> None:
    minted = orders.mint()
    with orders.login(minted) as one:
        one.execute("CREATE TABLE left_behind (id int)")
    with orders.owner() as owner:
        keeper = f"taskbound_left_{MARK}"
        owner.execute(f"DROP ROLE IF EXISTS {keeper}; CREATE ROLE {keeper} CREATEDB".encode())
        owner.execute(f"GRANT {keeper} TO minter WITH ADMIN OPTION".encode())
        with pytest.raises(TargetRefusedError, match="can do more"):
            orders.target().revoke(user_of(minted), ends=ENDS, patience=PATIENCE)
        owner.execute(f"ALTER ROLE {keeper} NOCREATEDB".encode())
        revoked(orders, minted)
        owner.execute("DROP TABLE left_behind")


@pytest.mark.parametrize(
    "given",
    [
        "CREATE POLICY mine ON lent TO {one}",
        "GRANT SELECT (id) ON lent TO {one} WITH GRANT OPTION",
        "CREATE FUNCTION lend() RETURNS int RETURN 1;GRANT ALL ON ROUTINE lend() TO {one} WITH GRANT OPTION",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {one} WITH GRANT OPTION",
    ],
)
def test_a213_what_one_login_gave_another_is_in_no_ends_way(orders: Orders, given: str) -> None:
    one, other = orders.mint(), orders.mint()
    with orders.login(other) as giver:
        giver.execute("CREATE TABLE lent (id int)")
        giver.execute(given.format(one=user_of(one)).encode())
    if "GRANT SELECT (id)" in given:
        with orders.login(one) as lender:
            lender.execute("GRANT SELECT (id) ON lent TO readers")
    revoked(orders, one)
    # From 16 on whoever makes a role may give it away, and is neither it nor has what it has.
    which = "SELECT count(*) FROM pg_auth_members WHERE roleid = %s::regrole AND member = 'minter'::regrole"
    acting = " AND (inherit_option OR set_option)" if orders.apart else ""
    with orders.owner() as owner:
        members = owner.execute((which + acting).encode(), (user_of(other),)).fetchone()
    assert members == (0,)
    with orders.login(other) as giver:
        giver.execute("SELECT count(*) FROM lent")
    revoked(orders, other)
    with orders.owner() as owner:
        owner.execute("DROP TABLE lent; DROP FUNCTION IF EXISTS lend()")


@pytest.mark.parametrize(
    "said",
    [
        "made by an engine",
        "{pg_monitor}",
        "taskbound: of the orders",
        "taskbound groups: {gone}",
        "taskbound groups: {",
        "taskbound groups: {1,}",
        "taskbound groups: {9999999999}",
        "",
    ],
)
def test_what_others_say_of_a_login_is_neither_in_its_ends_way_nor_gives_it_a_group(
    orders: Orders, said: str
) -> None:
    minted = orders.mint()
    with orders.login(minted) as one:
        one.execute("CREATE TABLE left_behind (id int)")
    with orders.owner() as owner:
        owner.execute(f"REVOKE readers FROM {user_of(minted)} CASCADE".encode())
        if orders.apart:
            owner.execute(f"REVOKE readers FROM {user_of(minted)} GRANTED BY minter".encode())
        owner.execute(f"COMMENT ON ROLE {user_of(minted)} IS '{said}'".encode())
        revoked(orders, minted)
        owner.execute("DROP TABLE left_behind")
