from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from taskbound.adapters.targets.postgres import discovering
from taskbound.core.credential import name_of
from taskbound.core.target.kind import Entry, ExistingAccess, LoginOwner, Reach
from taskbound.ports.target import Discovers, Discovery, TargetUnavailableError
from tests.adapters.targets.ending import revoked
from tests.peers.minter import ADMIN, MARK, PATIENCE, Orders, fresh_name, minting

OTHER = name_of("zzzzzzz2", "crd_" + "a" * 35)
HOSTILE = 'x"; DROP ROLE minter;\x1b[2J \u202e\n'


@pytest.fixture(scope="module")
def orders() -> Iterator[Orders]:
    with minting() as found:
        yield found


def seen(orders: Orders, most: int = 500, marks: tuple[str, ...] = (MARK,)) -> Discovery:
    target = orders.target()
    assert isinstance(target, Discovers)
    return target.discover(marks, most=most, patience=PATIENCE)


def named(orders: Orders, name: str) -> ExistingAccess | None:
    return next((one for one in seen(orders).found if one.name == name), None)


@contextmanager
def role(orders: Orders, name: str, words: str = "LOGIN", *more: str) -> Iterator[None]:
    """A role that somebody made, as the owner of the server; gone afterwards."""
    quoted = psycopg.sql.Identifier(name)
    with orders.owner() as owner:
        owner.execute(psycopg.sql.SQL("CREATE ROLE {} " + words).format(quoted))
        for one in more:
            owner.execute(one.encode())
        try:
            yield
        finally:
            owner.execute(psycopg.sql.SQL("DROP OWNED BY {}").format(quoted))
            owner.execute(psycopg.sql.SQL("DROP ROLE {}").format(quoted))


def test_what_stands_there_is_the_owner_and_the_admin_and_no_group(orders: Orders) -> None:
    found = seen(orders)
    assert [(one.name, one.reach, one.whose) for one in found.found] == [
        ("owner", Reach.ALL, LoginOwner.OTHERS),
        ("minter", Reach.BEYOND, LoginOwner.ADMIN),
        *((one, Reach.DATA, LoginOwner.OTHERS) for one in ("broker", "daemon", "signer")),
    ]
    assert found.count == 5
    assert found.found[0].rights[0] == "superuser: may do everything"
    assert "makes and changes roles" in found.found[1].rights
    assert all(one.since is None and one.used is None for one in found.found)


def test_what_is_minted_here_is_left_out_and_what_only_looks_like_it_is_not(orders: Orders) -> None:
    minted = orders.mint()
    looks = f"{fresh_name()}x"
    with role(orders, looks), role(orders, OTHER):
        found = {one.name: one.whose for one in seen(orders).found}
    assert minted.open["PGUSER"] not in found
    assert (found[looks], found[OTHER]) == (LoginOwner.OTHERS, LoginOwner.INSTALLATION)
    revoked(orders, minted)


def test_without_a_mark_everything_is_listed(orders: Orders) -> None:
    minted = orders.mint()
    assert minted.open["PGUSER"] in {one.name for one in seen(orders, marks=()).found}
    revoked(orders, minted)


def test_rights_are_those_of_all_roles_above_and_what_is_owned_is_counted(orders: Orders) -> None:
    made = ("GRANT between TO app", "GRANT readers TO between", "CREATE TABLE mine (id int)")
    with (
        role(orders, "between", "NOLOGIN"),
        role(orders, "app", "LOGIN", *made, "ALTER TABLE mine OWNER TO app"),
    ):
        found = named(orders, "app")
    assert found is not None
    assert found.reach is Reach.DATA
    assert found.rights == ("is in `between`, `readers`", "owns one object")


def test_who_may_become_a_superuser_reaches_everything(orders: Orders) -> None:
    with (
        role(orders, "step", "NOLOGIN", "GRANT owner TO step"),
        role(orders, "quiet", "LOGIN", "GRANT step TO quiet"),
        role(orders, "programs", "LOGIN IN ROLE pg_execute_server_program"),
    ):
        reaches = {one.name: one.reach for one in seen(orders).found}
    assert (reaches["quiet"], reaches["programs"]) == (Reach.ALL, Reach.BEYOND)


def test_its_end_by_itself_is_told_and_never_where_there_is_none(orders: Orders) -> None:
    with (
        role(orders, "ending", "LOGIN VALID UNTIL '2030-01-01T00:00:00Z'"),
        role(orders, "endless", "LOGIN VALID UNTIL 'infinity'"),
        role(orders, "ended", "LOGIN VALID UNTIL '-infinity'"),
        role(orders, "far", "LOGIN VALID UNTIL '294000-01-01'"),
    ):
        ends = {one.name: one.ends for one in seen(orders).found}
    assert ends["ending"] == 1_893_456_000_000_000
    assert (ends["endless"], ends["ended"], ends["far"]) == (None, 1, 2**53 - 1)


def test_sessions_that_are_open_are_counted(orders: Orders) -> None:
    with role(orders, "busy", "LOGIN PASSWORD 'word'"):
        where = {"host": str(orders.server.folder), "dbname": "orders", "user": "busy", "password": "word"}
        with psycopg.connect(**where), psycopg.connect(**where):  # type: ignore[arg-type]  # of texts
            found = named(orders, "busy")
        assert found is not None
        assert found.open == 2


def test_a_hostile_name_is_a_name_and_nothing_else(orders: Orders) -> None:
    with role(orders, HOSTILE, "LOGIN IN ROLE readers"):
        found = named(orders, HOSTILE)
    assert found is not None
    assert found.rights == ("is in `readers`",)
    assert named(orders, "minter") is not None


def test_a_role_s_name_is_no_other_line_of_rights(orders: Orders) -> None:
    forged = "x`; superuser: may do everything\x1b[2J"
    with role(orders, forged, "NOLOGIN"), role(orders, "app", f'LOGIN IN ROLE "{forged}"'):
        found = named(orders, "app")
    assert found is not None
    assert found.rights == ("is in `x\\u{60}; superuser: may do everything\\u{1B}[2J`",)


def test_of_many_the_worst_are_told_and_how_many_there_are(orders: Orders) -> None:
    many = "DO $$ BEGIN FOR n IN 1..300 LOOP EXECUTE format('{} ROLE many%s {}', n); END LOOP; END $$"
    with orders.owner() as owner, role(orders, "zz", "LOGIN", "GRANT owner TO zz"):
        owner.execute(many.format("CREATE", "LOGIN").encode())
        try:
            found = seen(orders, most=20)
        finally:
            owner.execute(many.format("DROP", "").encode())
    assert (len(found.found), found.count) == (20, 306)
    assert {"owner", "minter", "zz"} <= {one.name for one in found.found}


def test_memberships_beyond_what_is_followed_are_said(
    orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any("memberships" in one for one in seen(orders).notes)
    monkeypatch.setattr(discovering, "_EDGES", 1)
    assert any("memberships were followed through 1 of them" in one for one in seen(orders).notes)


def test_whether_a_password_is_asked_for_is_unknown_until_the_admin_may_look(orders: Orders) -> None:
    assert {one.entry for one in seen(orders).found} == {Entry.UNKNOWN}
    grants = (
        "{} SELECT ON pg_hba_file_rules {} minter",
        "{} EXECUTE ON FUNCTION pg_hba_file_rules() {} minter",
    )
    with orders.owner() as owner:
        for one in grants:
            owner.execute(one.format("GRANT", "TO").encode())
        try:
            found = {one.name: one.entry for one in seen(orders).found}
        finally:
            for one in grants:
                owner.execute(one.format("REVOKE", "FROM").encode())
    assert (found["owner"], found["minter"]) == (Entry.OPEN, Entry.ASKED)


def test_looking_changes_nothing_and_the_server_keeps_it_from_that(
    orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovering, "_MEMBERS", "DELETE FROM taskbound.contexts WHERE %s = 0")
    with pytest.raises(TargetUnavailableError, match="ReadOnlySqlTransaction"):
        seen(orders)


def test_no_password_and_no_verifier_is_in_what_is_told(orders: Orders) -> None:
    with role(orders, "kept", "LOGIN PASSWORD 'canary-of-a-password'"), orders.owner() as owner:
        row = owner.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'kept'").fetchone()
        as_owner = orders.target(admin=replace(ADMIN, user="owner", password=""))
        told = repr(as_owner.discover((MARK,), most=500, patience=PATIENCE))
    assert row is not None
    assert "canary-of-a-password" not in told
    assert str(row[0])[:14] not in told
    assert "SCRAM" not in told
