from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from taskbound.adapters.targets.postgres import PostgresAdmin, PostgresTarget
from taskbound.core.target import PostgresPlace
from taskbound.ports.target import MintOrder, TargetRefusedError, TargetUnavailableError
from tests.peers.minter import ADMIN, PATIENCE, READERS, Orders, fresh_name, minting


@pytest.fixture(scope="module")
def orders() -> Iterator[Orders]:
    with minting() as found:
        yield found


def said(place: PostgresPlace, admin: PostgresAdmin) -> str:
    """What a person is told of an admin access or a place that leads nowhere."""
    with pytest.raises(TargetUnavailableError) as caught:
        PostgresTarget(place, admin).look(fresh_name(), patience=PATIENCE)
    return caught.value.message


def test_a_wrong_password_is_told_from_a_wrong_place(orders: Orders, tmp_path: Path) -> None:
    place = orders.place()
    wrong = replace(ADMIN, password="another-word")
    assert said(place, wrong) == "the database refuses this user's password"
    assert said(replace(place, database="oders"), ADMIN).startswith("the server has no database of that name")
    assert said(replace(place, host=str(tmp_path)), ADMIN).startswith("no server is at that host")
    assert said(replace(place, host="127.0.0.1", port=1), ADMIN).startswith("no server answers at that host")


def test_nothing_of_what_was_sent_stands_in_why_nobody_could_connect(orders: Orders) -> None:
    told = said(orders.place(), PostgresAdmin(user="somebody-else", password="another-word"))
    assert "somebody-else" not in told
    assert "another-word" not in told


def test_an_admin_that_may_make_no_logins_is_told_that_a_right_is_missing(orders: Orders) -> None:
    with orders.owner() as owner:
        owner.execute("CREATE ROLE weak LOGIN PASSWORD 'weak-word'")
    weak = orders.target(admin=PostgresAdmin(user="weak", password="weak-word"))
    order = MintOrder(name=fresh_name(), ends=orders.ends, context={})
    with pytest.raises(TargetRefusedError, match="the admin access lacks a right"):
        weak.mint(order, READERS, patience=PATIENCE)
