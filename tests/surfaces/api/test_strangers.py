from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.credential import CredentialState
from taskbound.flows.credential.revoking import SEAT, find_lost_seats
from taskbound.flows.decision.retries import HOLDER, daemon_of
from taskbound.surfaces.api.background.strangers import OrphanedHolders
from taskbound.surfaces.api.server.connection import connection_name
from tests.stories.brokering import permitted, put_target
from tests.world import World, code_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import Server

NOBODY: frozenset[str] = frozenset()


def named(world: World, told: str = "x") -> str:
    """A connection of this daemon."""
    return f"{connection_name(told)}{world.adapters.daemon}"


def watching(world: World) -> OrphanedHolders:
    one = OrphanedHolders(world.store, world.views.doubts, world.adapters.daemon)
    one.attend()
    return one


@pytest.fixture
def pair(server: Server) -> Iterator[tuple[World, World]]:
    """Two daemons on one database, each with a store of its own."""
    name = server.database()
    first = World(store=PostgresStore(server.url(name)))
    second = World(store=PostgresStore(server.url(name)), clock=first.clock, chance=first.chance)
    yield first, second
    first.store.close()
    second.store.close()
    server.drop(name)


def test_a_connections_name_is_a_digest_and_then_its_daemons() -> None:
    start = connection_name("secret")
    assert (len(start), start) == (HOLDER, connection_name("secret"))
    assert daemon_of(f"{start}0123456789abc") == "0123456789abc"
    assert daemon_of(start) == ""


def test_what_another_daemon_has_permitted_is_no_strangers_while_it_is_there(
    pair: tuple[World, World],
) -> None:
    first, second = pair
    mine, other = watching(first), watching(second)
    holder = ("default", named(first))
    task = first.settle_in()
    first.ask(task, connection=holder[1])
    assert other.find() == frozenset()
    assert mine.find() == {holder}  # its own are told apart by who is connected
    assert mine.see(mine.find(), frozenset({holder[1]})) == frozenset()
    assert code_of(second.ask(task, connection="con_b")) == "permit"
    first.store.close()
    while holder not in other.find():  # the server lets go of a lock a moment after its holder went
        continue
    own = frozenset({"con_b"})
    assert other.see(other.find(), own) == frozenset()
    assert code_of(second.ask(task, connection="con_b")) == "hold"  # in doubt as soon as it was seen
    assert other.see(other.find(), own) == {holder}


def test_a_presence_that_is_back_at_the_second_look_gives_nothing_up(pair: tuple[World, World]) -> None:
    first, second = pair
    other = watching(second)
    task = first.settle_in()
    first.ask(task, connection=named(first))
    assert other.see(other.find(), NOBODY) == frozenset()
    assert code_of(second.ask(task, connection="con_b")) == "hold"
    watching(first)
    assert other.see(other.find(), frozenset({"con_b"})) == frozenset()
    assert code_of(second.ask(task, connection="con_b")) == "permit"
    assert second.views.doubts.lost() == frozenset()


def test_who_takes_in_a_gateway_of_a_daemon_that_is_gone_answers_for_all_it_left(
    pair: tuple[World, World],
) -> None:
    first, second = pair
    gone = World(store=first.store, clock=first.clock, chance=first.chance)
    task = first.settle_in()
    back, away = (("default", named(gone, told)) for told in ("back", "away"))
    first.ask(task, connection=back[1])
    first.ask(task, arguments={"to": "eve", "amount": 1}, connection=away[1])
    mine, other = watching(first), watching(second)
    assert mine.see(mine.find(), NOBODY) == other.see(other.find(), NOBODY) == frozenset()
    assert mine.name_of(connection_name("back")) == back[1]
    assert mine.name_of(connection_name("nobody's")) == ""
    mine.meet(back)
    mine.attend()
    assert other.see(other.find(), NOBODY) == frozenset()
    assert mine.see(mine.find(), frozenset({back[1]})) == {away}


def test_nobody_is_present_under_a_name_that_only_an_opening_told(pair: tuple[World, World]) -> None:
    first, second = pair
    mine, other = watching(first), watching(second)
    mine.meet(("default", f"{connection_name('forged')}{second.adapters.daemon}"))
    mine.attend()
    assert first.store.others([second.adapters.daemon]) == {second.adapters.daemon}
    assert second.store.others([second.adapters.daemon]) == frozenset()
    assert other.find() == frozenset()


def test_a_connection_of_ones_own_that_is_lost_again_stays_in_doubt(pair: tuple[World, World]) -> None:
    first, _ = pair
    mine = watching(first)
    holder = ("default", named(first))
    first.ask(first.settle_in(), connection=holder[1])
    mine.see(mine.find(), NOBODY)
    first.views.doubts.settle(holder)  # it joins
    first.views.doubts.lose(holder)  # and is lost once more, with a grace of its own
    assert mine.see(mine.find(), frozenset({holder[1]})) == frozenset()
    assert first.views.doubts.lost() == {holder}


def test_on_a_store_of_ones_own_whoever_is_not_connected_is_a_stranger(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    world = World(store=store)
    holder = ("default", named(world))
    world.ask(world.settle_in(), connection=holder[1])
    mine = watching(world)
    assert mine.see(mine.find(), NOBODY) == frozenset()
    assert mine.see(mine.find(), NOBODY) == {holder}
    store.close()


def test_k12_what_an_egress_has_at_another_daemon_is_that_daemons_while_it_is_there(
    pair: tuple[World, World],
) -> None:
    first, second = pair
    watching(first)
    task = first.settle_in()
    put_target(first)
    holder = f"{SEAT}{'a' * 26}{first.adapters.daemon}"
    row = permitted(first, task, "a", connection=holder, state=CredentialState.ACTIVE, acknowledged=True)
    assert find_lost_seats(second.adapters, "default", NOBODY) == frozenset()
    assert find_lost_seats(first.adapters, "default", {holder}) == frozenset()
    first.store.close()
    while not (found := find_lost_seats(second.adapters, "default", NOBODY)):  # as above
        continue
    (lost,) = found
    assert (lost.credential, lost.connection) == (row.id, holder)
