from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from taskbound.adapters.targets.postgres import PostgresAdmin, PostgresTarget
from taskbound.core.target import PostgresPlace
from taskbound.ports.target import MintOrder, TargetRefusedError, TargetUnavailableError
from tests.adapters.targets.ending import ENDS, revoked, user_of
from tests.peers.minter import ADMIN, PATIENCE, READERS, Orders, fresh_name, minting
from tests.postgres import newest, programs


@pytest.fixture(scope="module", params=[programs, newest])
def orders(request: pytest.FixtureRequest) -> Iterator[Orders]:
    with minting(of=request.param()) as found:
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


@pytest.mark.parametrize("variable", ["PGHOSTADDR=127.0.0.1", "PGPORT=1", "PGOPTIONS=-c search_path=public"])
def test_no_variable_of_this_process_leads_elsewhere(
    orders: Orders, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(*variable.split("=", 1))
    name = user_of(orders.mint())
    assert orders.target().look(name, patience=PATIENCE).exists
    orders.target().revoke(name, ends=ENDS, patience=PATIENCE)


def test_nothing_of_what_was_sent_stands_in_why_nobody_could_connect(orders: Orders) -> None:
    told = said(orders.place(), PostgresAdmin(user="somebody-else", password="another-word"))
    assert "somebody-else" not in told
    assert "another-word" not in told


@pytest.fixture
def weak(orders: Orders) -> Iterator[PostgresAdmin]:
    """An admin with no right at all."""
    with orders.owner() as owner:
        owner.execute("CREATE ROLE weak LOGIN PASSWORD 'weak-word'")
        yield PostgresAdmin(user="weak", password="weak-word")
        owner.execute("DROP OWNED BY weak")
        owner.execute("DROP ROLE weak")


def refusal(
    orders: Orders, admin: PostgresAdmin, context: tuple[str, ...] = (), group: str = READERS.group
) -> str:
    """What a person is told of an admin access that may not mint."""
    order = MintOrder(name=fresh_name(), ends=orders.ends, context=dict.fromkeys(context, "x"))
    with pytest.raises(TargetRefusedError) as caught:
        orders.target(admin=admin).mint(
            order, replace(READERS, context=context, group=group), patience=PATIENCE
        )
    return caught.value.message


def test_an_admin_that_lacks_a_right_is_told_which(orders: Orders, weak: PostgresAdmin) -> None:
    assert refusal(orders, weak).endswith("the admin access lacks CREATEROLE")
    with orders.owner() as owner:
        owner.execute("ALTER ROLE weak CREATEROLE")
        if orders.apart:
            assert refusal(orders, weak).endswith("lacks ADMIN OPTION on `readers`")
            owner.execute('CREATE ROLE "odd; one"')
            assert refusal(orders, weak, group="odd; one").endswith("lacks ADMIN OPTION on a role of others")
            owner.execute('DROP ROLE "odd; one"')
            owner.execute("GRANT readers TO weak WITH ADMIN OPTION")
        assert refusal(orders, weak, ("tenant",)).endswith("and DELETE on `taskbound.contexts`")
        owner.execute("REVOKE USAGE ON SCHEMA taskbound FROM PUBLIC")
        assert refusal(orders, weak, ("tenant",)).endswith("lacks USAGE on the schema `taskbound`")
        owner.execute("GRANT USAGE ON SCHEMA taskbound TO PUBLIC")
    assert orders.roles() == set()


def test_an_admin_that_may_end_no_session_is_told_so_and_the_login_is_still_there(
    orders: Orders, weak: PostgresAdmin
) -> None:
    minted = orders.mint()
    with orders.owner() as owner:
        owner.execute("ALTER ROLE weak CREATEROLE")
        if orders.apart:
            with pytest.raises(TargetRefusedError, match=f"lacks ADMIN OPTION on `{user_of(minted)}`"):
                orders.target(admin=weak).revoke(user_of(minted), ends=ENDS, patience=PATIENCE)
            owner.execute(f"GRANT {user_of(minted)} TO weak WITH ADMIN TRUE, INHERIT FALSE".encode())
    with orders.login(minted), pytest.raises(TargetRefusedError, match="in `pg_signal_backend`"):
        orders.target(admin=weak).revoke(user_of(minted), ends=ENDS, patience=PATIENCE)
    revoked(orders, minted)
