from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.revocation import About, Entry, FeedEvent, KillSwitch, Thing
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import NOW, OTHER, SPACE, read

if TYPE_CHECKING:
    from taskbound.ports.store import Store

THROWN = KillSwitch(stopped=True, epoch=1, reason="an incident")


def test_an_untouched_namespace_is_not_stopped_and_has_epoch_0(store: Store) -> None:
    assert read(store, lambda seen: seen.revocation.kill_switch(SPACE)) == KillSwitch()
    assert store.write(lambda tx: tx.revocation.lock_kill_switch(SPACE)) == KillSwitch()


def test_a_thrown_switch_stops_its_own_namespace(store: Store) -> None:
    store.write(lambda tx: tx.revocation.put_kill_switch(SPACE, THROWN, expect=0))
    assert read(store, lambda seen: seen.revocation.kill_switch(SPACE)) == THROWN
    assert read(store, lambda seen: seen.revocation.kill_switch(OTHER)) == KillSwitch()
    lifted = KillSwitch(stopped=False, epoch=2)
    store.write(lambda tx: tx.revocation.put_kill_switch(SPACE, lifted, expect=1))
    assert store.write(lambda tx: tx.revocation.lock_kill_switch(SPACE)) == lifted


@pytest.mark.parametrize("expect", [0, 2])
def test_another_epoch_than_expected_conflicts(store: Store, expect: int) -> None:
    store.write(lambda tx: tx.revocation.put_kill_switch(SPACE, THROWN, expect=0))
    after = KillSwitch(stopped=False, epoch=expect + 1)
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.revocation.put_kill_switch(SPACE, after, expect=expect))
    assert read(store, lambda seen: seen.revocation.kill_switch(SPACE)) == THROWN


def test_an_epoch_that_was_never_reached_conflicts(store: Store) -> None:
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.revocation.put_kill_switch(SPACE, THROWN, expect=3))


def entry(place: int, *, at: int = 0, namespace: str = SPACE, turn: FeedEvent = FeedEvent.OVER) -> Entry:
    thing = Thing(namespace=namespace, about=About.TASK, id=f"tsk_{place}")
    return Entry(place=place, at=Instant(NOW + at), thing=thing, turn=turn)


def test_entries_are_read_in_the_order_of_their_places_from_an_instant_on(store: Store) -> None:
    said = [
        entry(9, at=1),
        entry(2, at=3, namespace=OTHER, turn=FeedEvent.STOPPED),
        entry(5),
        entry(4, at=-1),
    ]
    store.write(lambda tx: tx.revocation.put_entries(said))
    assert read(store, lambda seen: seen.revocation.entries(NOW)) == (said[1], said[2], said[0])
    assert read(store, lambda seen: seen.revocation.entries(Instant(NOW + 4))) == ()


@pytest.mark.parametrize("about", About)
@pytest.mark.parametrize("turn", FeedEvent)
def test_every_entry_is_read_as_it_was_written(store: Store, about: About, turn: FeedEvent) -> None:
    thing = Thing(namespace="", about=about, id="a\x00b\u202e")
    said = Entry(place=0, at=NOW, thing=thing, turn=turn)
    store.write(lambda tx: tx.revocation.put_entries([said]))
    assert read(store, lambda seen: seen.revocation.entries(NOW)) == (said,)


def test_a_place_has_one_entry(store: Store) -> None:
    store.write(lambda tx: tx.revocation.put_entries([entry(3)]))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.revocation.put_entries([entry(2), entry(3, turn=FeedEvent.BACK)]))
    assert read(store, lambda seen: seen.revocation.entries(NOW)) == (entry(3),)


def test_entries_are_forgotten_the_oldest_first_and_so_many_at_most(store: Store) -> None:
    store.write(lambda tx: tx.revocation.put_entries([entry(one, at=one) for one in range(6)]))
    before = Instant(NOW + 4)
    assert store.write(lambda tx: tx.revocation.forget_entries(before, limit=3)) == 3
    assert read(store, lambda seen: seen.revocation.entries(NOW)) == tuple(entry(n, at=n) for n in (3, 4, 5))
    assert store.write(lambda tx: tx.revocation.forget_entries(before, limit=3)) == 1
    assert store.write(lambda tx: tx.revocation.forget_entries(before, limit=3)) == 0
