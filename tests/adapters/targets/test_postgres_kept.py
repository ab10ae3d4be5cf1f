from __future__ import annotations

import hashlib
import hmac
import socket
import struct
import threading
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskbound.adapters.targets.postgres.link import KEPT, Links
from taskbound.adapters.targets.postgres.login import verifier_of
from taskbound.ports.target import Gone, MintOrder, TargetUnavailableError
from tests.adapters.targets.ending import ENDS
from tests.peers.cutting import Cutting
from tests.peers.minter import ADMIN, PATIENCE, PREFIX, READERS, Orders, fresh_name, minting
from tests.wiring.running import until

_MINTERS = "SELECT pid FROM pg_stat_activity WHERE usename = 'minter'"


@pytest.fixture(scope="module")
def orders() -> Iterator[Orders]:
    with minting() as found:
        yield found


def admins(orders: Orders) -> set[int]:
    """The server processes of the admin's connections."""
    with orders.owner() as owner:
        return {int(str(pid)) for (pid,) in owner.execute(_MINTERS).fetchall()}


def test_calls_after_one_another_go_over_one_connection(orders: Orders) -> None:
    target = orders.target()
    target.look(fresh_name(), patience=PATIENCE)
    first = admins(orders)
    order = MintOrder(name=fresh_name(), ends=orders.ends)
    target.mint(order, READERS, patience=PATIENCE)
    target.revoke(order.name, ends=ENDS, patience=PATIENCE)
    list(target.sweep(PREFIX, patience=PATIENCE))
    assert admins(orders) == first
    assert len(first) == 1


def test_a_connection_that_was_lost_meanwhile_is_in_nobodys_way(orders: Orders) -> None:
    target = orders.target()
    order = MintOrder(name=fresh_name(), ends=orders.ends)
    target.look(order.name, patience=PATIENCE)
    with orders.owner() as owner:
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'minter'")
    target.mint(order, READERS, patience=PATIENCE)
    with orders.owner() as owner:
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'minter'")
    assert isinstance(target.revoke(order.name, ends=ENDS, patience=PATIENCE), Gone)


def test_f11_a_connection_on_which_a_call_took_too_long_is_used_no_more(
    tmp_path: Path, orders: Orders
) -> None:
    order = MintOrder(name=fresh_name(), ends=orders.ends)
    with Cutting(tmp_path, orders.server.folder) as way:
        target = orders.target(tmp_path)
        target.look(order.name, patience=PATIENCE)
        before = admins(orders)
        way.at(b"CREATE ROLE", "stuck")
        with pytest.raises(TargetUnavailableError):
            target.mint(order, READERS, patience=PATIENCE)
        assert not target.look(order.name, patience=PATIENCE).exists
        assert admins(orders) - before


def test_f11_kept_connections_that_are_mute_meanwhile_cost_no_call_its_patience(
    tmp_path: Path, orders: Orders
) -> None:
    with Cutting(tmp_path, orders.server.folder) as way:
        target = orders.target(tmp_path)
        order = MintOrder(name=fresh_name(), ends=orders.ends)
        target.look(order.name, patience=5.0)
        way.after(1, "mute")
        target.mint(order, READERS, patience=5.0)
    assert isinstance(orders.target().revoke(order.name, ends=orders.ends, patience=PATIENCE), Gone)


def test_no_more_than_its_bound_is_kept(orders: Orders) -> None:
    links = Links(orders.place(), ADMIN)
    many = KEPT + 3
    together = threading.Barrier(many)

    def look() -> None:
        with links.linked(PATIENCE):
            together.wait(PATIENCE)

    before = admins(orders)
    workers = [threading.Thread(target=look) for _ in range(many)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    until(lambda: len(admins(orders) - before) == KEPT, "as many are kept as may be")


def test_what_is_kept_goes_with_its_target(orders: Orders) -> None:
    target = orders.target()
    before = admins(orders)
    target.look(fresh_name(), patience=PATIENCE)
    assert admins(orders) - before
    del target
    until(lambda: not admins(orders) - before, "nothing is left of it")


def test_who_never_says_a_password_holds_no_revocation_up(orders: Orders) -> None:
    minted = orders.mint()
    user = minted.open["PGUSER"]
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(orders.server.folder / ".s.PGSQL.5432"))
        words = b"".join(part.encode() + b"\0" for part in ("user", user, "database", "orders", ""))
        one.sendall(struct.pack("!ii", len(words) + 8, 196_608) + words)
        assert one.recv(1) == b"R"
        found = orders.target().revoke(user, ends=ENDS, patience=2.0)
        assert isinstance(found, Gone)


def test_a_verifier_is_that_of_rfc_7677() -> None:
    salt = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    scheme, rest = verifier_of("pencil", salt).split("$", 1)
    bounds, keys = rest.split("$")
    assert (scheme, bounds) == ("SCRAM-SHA-256", "4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    stored, server = (b64decode(one) for one in keys.split(":"))
    said = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    proof = b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = hmac.digest(stored, said, "sha256")
    client = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    assert hashlib.sha256(client).digest() == stored
    assert hmac.digest(server, said, "sha256") == b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
