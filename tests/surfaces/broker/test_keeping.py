"""What has no name in its target is ended by what is kept of it, and is said to be left where nothing is."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.sealing import SealingKey
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.clock import seconds
from taskbound.core.credential import LEASE, NEVER, CredentialState, find_secrets, kept_binding
from taskbound.core.credential.values import LATE
from taskbound.core.tool import BadSecretError
from taskbound.surfaces.broker import targets as keeping
from tests.peers.shop import LASTS, Shop
from tests.sqlite import sqlite_store
from tests.surfaces.broker.brokering import Brokering, declared_at

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.ports.store import Store

S = CredentialState
LIVES = seconds(LASTS)


class Selling(Brokering):
    """A broker of a shop, whose test is over."""

    def __init__(self, store: Store, shop: Shop) -> None:
        self.shop = shop
        super().__init__(store, plugs={"postgres": lambda *_: shop})
        self.declare(declared_at(Path("/run/shop")))
        self.settle()

    def had(self) -> Credential:
        """One that somebody has."""
        row = self.ask()
        self.round()
        assert self.row(row.id).state is S.ACTIVE
        return self.row(row.id)

    def ended(self, row: Credential, rounds: int = 2) -> Credential:
        """It, once it was over."""
        self.end(row)
        self.settle(rounds)
        return self.row(row.id)

    def lose(self) -> None:
        """Kill the broker and begin anew."""
        self.start()
        self.daemon.deaf = False


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def selling(shop: Shop) -> Selling:
    return Selling(sqlite_store(), shop)


def test_its_canary_is_ended_by_what_was_kept_of_it(selling: Selling, shop: Shop) -> None:
    assert selling.world.row().state.value == "ready", selling.world.row().trouble
    assert (len(shop.given), shop.live) == (1, set())


def test_what_is_kept_stands_sealed_in_the_row_before_anybody_has_the_secret_and_is_forgotten_with_its_end(
    selling: Selling, shop: Shop
) -> None:
    row = selling.had()
    token = selling.open(row).secret["SHOP_TOKEN"]
    assert shop.live == {token}
    assert row.kept
    assert token not in row.kept
    assert row.kept not in repr(row)
    assert selling.key.open(row.kept, kept_binding(row)) == token
    with pytest.raises(BadSecretError):
        SealingKey.generate().open(row.kept, kept_binding(row))
    over = selling.ended(row)
    assert (over.state, over.kept, shop.live) == (S.REVOKED, "", set())


def test_i06_what_can_t_be_reached_keeps_what_ends_it_until_it_was_shown_to_be_gone(
    selling: Selling, shop: Shop
) -> None:
    row = selling.had()
    shop.away = True
    tried = selling.ended(row)
    assert (tried.state, tried.kept) == (S.REVOKING, row.kept)
    selling.lose()  # and another broker with the same key
    shop.away = False
    selling.later(5)
    selling.settle(2)
    assert (selling.row(row.id).state, selling.row(row.id).kept, shop.live) == (S.REVOKED, "", set())


def test_what_the_target_can_t_show_to_be_over_is_left_until_it_ends_by_itself(
    selling: Selling, shop: Shop
) -> None:
    row = selling.had()
    shop.shows = False
    over = selling.ended(row)
    assert (over.state, over.kept) == (S.UNSUPPORTED, "")
    assert over.ends == row.shown + LIVES


def test_a_broker_that_is_killed_before_it_told_leaves_what_is_never_said_to_be_gone(
    selling: Selling, shop: Shop
) -> None:
    row = selling.ask()
    selling.daemon.deaf = True
    selling.round()
    selling.lose()
    lost = selling.row(row.id)
    assert (lost.state, lost.kept, len(shop.live)) == (S.MINTING, "", 1)
    selling.later(LEASE / seconds(1))
    selling.settle(2)
    over = selling.row(row.id)
    assert (over.state, shop.asked[1:]) == (S.UNSUPPORTED, [])
    assert over.ends == lost.late + LIVES == lost.lease.until + LATE + LIVES


def test_a_broker_that_lives_ends_what_it_could_not_tell(selling: Selling, shop: Shop) -> None:
    row = selling.ask()
    selling.daemon.deaf = True
    selling.round()
    selling.daemon.deaf = False
    assert (selling.row(row.id).state, len(shop.live)) == (S.MINTING, 1)
    selling.later(LEASE / seconds(1))
    selling.settle(2)
    assert (selling.row(row.id).state, shop.live) == (S.REVOKED, set())
    selling.later(75)
    selling.settle(2)
    assert (selling.row(row.id).state, selling.row(row.id).due) == (S.REVOKED, NEVER)


def untold(selling: Selling) -> Credential:
    """One that was minted by a broker whom the daemon did not hear."""
    row = selling.ask()
    selling.daemon.deaf = True
    selling.round()
    selling.daemon.deaf = False
    return row


def test_what_could_not_be_told_is_remembered_until_it_is_over_and_no_longer(
    selling: Selling, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_MOST", 1)
    for _ in range(2):  # the second one has the place of the first
        row = untold(selling)
        selling.later(LEASE / seconds(1))
        selling.settle(2)
        assert (selling.row(row.id).state, shop.live) == (S.REVOKED, set())


def test_what_is_beyond_what_a_broker_remembers_is_never_said_to_be_gone(
    selling: Selling, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_MOST", 1)
    rows = [untold(selling), untold(selling)]
    selling.later(LEASE / seconds(1))
    selling.settle(3)
    assert [selling.row(one.id).state for one in rows] == [S.REVOKED, S.UNSUPPORTED]
    assert len(shop.live) == 1


def test_what_is_of_no_use_to_the_canary_is_ended_by_what_was_kept(selling: Selling, shop: Shop) -> None:
    shop.usable = False
    (canary,) = selling.declare(declared_at(Path("/run/shop"), name="shop-2"))
    selling.settle()
    assert selling.row(canary).state is S.REVOKED
    assert "lets nobody in" in selling.row(canary).why
    assert shop.live == set()


def test_a_mint_that_was_never_begun_is_gone_and_no_target_is_asked(selling: Selling, shop: Shop) -> None:
    row = selling.ask(waits=False)
    selling.later(10)
    selling.settle(2)
    assert (selling.row(row.id).state, len(shop.given)) == (S.REVOKED, 1)


def test_i15_a_row_that_is_older_than_the_broker_s_look_at_the_store_is_no_proof_that_no_mint_was_begun(
    selling: Selling,
) -> None:
    row = selling.ask(waits=False)
    selling.lose()  # a store that was restored may show any row as it was before its mint
    selling.later(10)
    selling.settle(2)
    over = selling.row(row.id)
    assert over.state is S.UNSUPPORTED
    assert over.ends == row.made + seconds(10) + LEASE + LATE + LIVES


@pytest.mark.parametrize("stolen", ["another's", "none", "garbled", "another key's"])
def test_who_writes_to_the_store_puts_nothing_in_its_place(selling: Selling, shop: Shop, stolen: str) -> None:
    row, other = selling.had(), selling.had()
    value = {
        "another's": other.kept,
        "none": "",
        "garbled": row.kept[:-2] + ("AA" if row.kept[-2:] != "AA" else "BA"),
        "another key's": SealingKey.generate().seal("not-what-it-was", kept_binding(row)),
    }[stolen]
    selling.world.forge(row, kept=value)
    tried = selling.ended(row)
    assert (tried.state, tried.attempts > 0, len(shop.live)) == (S.REVOKING, True, 2)
    assert ("gone from its row" if stolen == "none" else "seal") in tried.trouble
    selling.later(LASTS)
    selling.settle(2)
    over = selling.row(row.id)
    assert (over.state, over.ends) == (S.UNSUPPORTED, row.shown + LIVES)
    assert len(shop.asked) == 2  # the canary's, and the other's own end


def test_what_should_keep_something_and_does_not_hands_nothing_out(selling: Selling, shop: Shop) -> None:
    shop.keeps = False
    row = selling.ask()
    selling.settle(2)
    failed = selling.row(row.id)
    assert row.id not in selling.daemon.handed
    assert failed.state is S.UNSUPPORTED
    assert "keeps not what it has to" in failed.why


class NamedShop(Shop):
    """A shop that is no `Keeps`; a class of its own, since `isinstance` caches its answer by class."""

    end_kept = None  # type: ignore[assignment]  # a protocol takes it for absent


def test_what_has_a_name_and_keeps_something_hands_nothing_out(selling: Selling, shop: Shop) -> None:
    shop.__class__ = NamedShop
    row = selling.ask()
    selling.settle(2)
    assert row.id not in selling.daemon.handed
    assert "keeps not what it has to" in selling.row(row.id).why
    assert shop.given[1:]


def test_no_store_is_written_what_it_could_be_ended_by(tmp_path: Path, shop: Shop) -> None:
    with closing(SqlStore(tmp_path / "t.db", reserve=0)) as store:
        selling = Selling(store, shop)
        row = selling.had()
        assert row.kept
        raw = b"".join(one.read_bytes() for one in tmp_path.iterdir())
        assert row.kept.encode() in raw
        assert find_secrets(raw.decode("latin-1")) == ()
        assert selling.ended(row).kept == ""
