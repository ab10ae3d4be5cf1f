"""Databases of other encodings in one server: names that are no text in ours are in nobody's way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.target.kind import Entry, Reach
from tests.peers.minter import MARK, PATIENCE, PREFIX, Orders, minting

if TYPE_CHECKING:
    from collections.abc import Iterator

ENCODINGS = ("LATIN1", "SQL_ASCII")
FOREIGN = b"h\xe9l"
"""No text in UTF-8, nor the beginning of one."""


@pytest.fixture(scope="module")
def orders() -> Iterator[Orders]:
    with minting() as found:
        with found.owner() as owner:
            for one in ENCODINGS:
                made = (
                    f"CREATE DATABASE {one} ENCODING '{one}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
                )
                owner.execute(made.encode())
        said(found, "latin1", b'CREATE ROLE "' + FOREIGN + b'" LOGIN SUPERUSER')
        said(found, "sql_ascii", b'CREATE ROLE "' + PREFIX.encode() + b'\xe9" LOGIN')
        said(found, "orders", f'CREATE ROLE "{PREFIX[:-1]}`"; CREATE ROLE zz'.encode())
        yield found


def said(orders: Orders, database: str, *statements: bytes) -> None:
    """What the owner of the server runs in a database, byte for byte."""
    with orders.owner(database) as owner:
        owner.execute("SET client_encoding TO 'SQL_ASCII'")
        for one in statements:
            owner.execute(one)


def test_a_role_of_another_encoding_is_seen_and_hides_nobody(orders: Orders) -> None:
    found = orders.target().discover((MARK,), most=500, patience=PATIENCE)
    seen = {one.name: one.reach for one in found.found}
    assert seen["h\\xe9l"] is Reach.ALL
    assert {"minter", "owner", f"{PREFIX}\\xe9"} <= seen.keys()
    assert found.count == len(seen)


def test_i04_a_role_of_another_encoding_keeps_no_login_from_its_end_and_none_from_a_sweep(
    orders: Orders,
) -> None:
    login = orders.mint().open["PGUSER"]
    target = orders.target()
    assert set(target.sweep(PREFIX, patience=PATIENCE)) == {login, f"{PREFIX}\\xe9"}
    assert target.look(login, patience=PATIENCE).exists
    target.revoke(login, ends=orders.ends, patience=PATIENCE)
    assert not target.look(login, patience=PATIENCE).exists
    assert set(target.sweep(PREFIX, patience=PATIENCE)) == {f"{PREFIX}\\xe9"}


def test_a_line_of_pg_hba_in_another_encoding_hides_nobody(orders: Orders) -> None:
    said(
        orders,
        "orders",
        b"GRANT SELECT ON pg_hba_file_rules TO minter",
        b"GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO minter",
    )
    file = orders.server.folder / "data" / "pg_hba.conf"
    before = file.read_bytes()
    file.write_bytes(before + b"local all h\xe9l trust\n")
    try:
        found = orders.target().discover((MARK,), most=500, patience=PATIENCE)
    finally:
        file.write_bytes(before)
    seen = {one.name: one.entry for one in found.found}
    assert (seen["h\\xe9l"], seen["minter"]) == (Entry.OPEN, Entry.ASKED)


@pytest.mark.parametrize("database", ["latin1", "sql_ascii"])
@pytest.mark.parametrize("called", [FOREIGN, b"it''s \\ %s {}"])
def test_i04_a213_what_it_prepared_under_a_name_of_another_encoding_keeps_it_in_no_longer(
    orders: Orders, database: str, called: bytes
) -> None:
    minted = orders.mint()
    with orders.login(minted, database) as session:
        session.execute("SET client_encoding TO 'SQL_ASCII'")
        session.execute("BEGIN")
        session.execute(b"PREPARE TRANSACTION '" + called + b"'")
    found = orders.target().revoke(minted.open["PGUSER"], ends=orders.ends, patience=PATIENCE)
    assert found.notes == ("1 prepared transactions were rolled back",)
    with orders.owner() as owner:
        assert owner.execute("SELECT count(*) FROM pg_prepared_xacts").fetchone() == (0,)


@pytest.mark.parametrize("database", ["latin1", "sql_ascii"])
def test_i04_a213_what_it_made_under_a_name_of_another_encoding_is_kept_and_in_no_ends_way(
    orders: Orders, database: str
) -> None:
    said(orders, database, b"GRANT CREATE ON SCHEMA public TO readers")
    minted = orders.mint()
    with orders.login(minted, database) as session:
        session.execute("SET client_encoding TO 'SQL_ASCII'")
        session.execute(b'CREATE TABLE "' + FOREIGN + b'" (id int)')
        session.execute(
            b'CREATE FUNCTION "'
            + FOREIGN
            + b'"() RETURNS int LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1 $$'
        )
    found = orders.target().revoke(minted.open["PGUSER"], ends=orders.ends, patience=PATIENCE)
    assert found.notes == (
        f"what it owned in `{database}` is kept by `taskbound_left_{MARK}`, who can do nothing",
    )


@pytest.mark.parametrize("database", ["orders", "latin1", "sql_ascii"])
def test_i04_a_group_of_another_encoding_that_others_put_it_in_is_in_no_ends_way(
    orders: Orders, database: str
) -> None:
    minted = orders.mint()
    login = minted.open["PGUSER"].encode()
    said(orders, database, b"GRANT CREATE ON SCHEMA public TO readers")
    with orders.login(minted, database) as session:
        session.execute("CREATE TABLE of_its_own (id int)")
    said(orders, "latin1", b'CREATE ROLE "g\xe9"', b'GRANT "g\xe9" TO "' + login + b'"')
    try:
        orders.target().revoke(minted.open["PGUSER"], ends=orders.ends, patience=PATIENCE)
    finally:
        said(orders, "latin1", b'DROP ROLE "g\xe9"')
        said(orders, database, b"DROP TABLE of_its_own")
    assert not orders.target().look(minted.open["PGUSER"], patience=PATIENCE).exists
