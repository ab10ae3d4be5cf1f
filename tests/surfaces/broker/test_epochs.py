"""Epochs of the store: what a broker does once that was restored, whatever happens meanwhile (I-15, F45)."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from taskbound.core.credential import CredentialState, Renewal, RenewalState, name_of
from taskbound.core.errors import UnavailableError
from taskbound.surfaces.broker.memory import EpochUntoldError, StoreRestoredError
from taskbound.wire.target import TellEpoch
from tests.sqlite import sqlite_store
from tests.stories.minting import SPACE, Minting
from tests.surfaces.broker.brokering import Brokering, Paper
from tests.surfaces.broker.restoring import (
    FEWER,
    GONE,
    OTHER,
    UNTOLD,
    Full,
    Place,
    Standing,
    copied,
    memory_of,
    put,
    remembered,
)

S = CredentialState


def test_the_epoch_is_bumped_and_the_doubt_is_durable_before_the_look_that_found_it_is_over() -> None:
    world, paper = Minting(sqlite_store()), Paper()
    memory_of(world, paper).note(0)
    put(paper, count=10**6)
    standing = memory_of(world, paper).look()
    assert (standing.epoch, standing.why) == (2, FEWER)
    written = remembered(paper)
    assert (written["epoch"], written["doubt"]["why"], written["doubt"]["ended"]) == (2, "count", 0)


def test_i15_a_doubt_that_can_t_be_written_down_lets_nothing_be_done_and_is_not_forgotten() -> None:
    world = Minting(sqlite_store())
    place = Place(Minting(sqlite_store()).adapters.store)
    paper = Full(takes=1)
    memory = memory_of(world, paper, place)
    memory.note(0)
    own, place.store = place.store, world.adapters.store
    for _ in range(2):
        with pytest.raises(UnavailableError, match="the disk is full"):
            memory.look()
    place.store = own
    for again in (memory.look, lambda: memory.note(0), lambda: memory.accept(targets=0, turn=0)):
        with pytest.raises(UnavailableError, match="the disk is full"):
            again()
    paper.takes = 100
    assert memory.look().why == OTHER
    assert remembered(paper)["epoch"] == 2


def test_nothing_is_ended_by_rows_that_are_not_believed_before_the_doubt_is_durable() -> None:
    broker = Standing()
    broker.had()
    before = broker.rack.ended.copy()
    broker.restore()
    full = Full(data=broker.paper.data)
    broker.paper = full
    broker.start()
    for _ in range(2):
        with pytest.raises(UnavailableError, match="the disk is full"):
            broker.work.round()
        assert broker.work.settle(patience=45)
        broker.later(5)
    assert (broker.rack.ended, len(broker.rack.names)) == (before, 1)
    full.takes = 100
    broker.looked()
    assert (len(broker.rack.ended), broker.rack.names) == (len(before) + 1, set())


def test_i15_the_newer_store_that_comes_back_is_in_doubt_until_it_is_reconciled_too() -> None:
    broker = Standing()
    had = broker.had()
    own = broker.place.store
    broker.replace()
    assert broker.refused() == "store-restored"
    broker.place.store = own
    broker.start()
    assert broker.desk.memory.look().why == OTHER
    assert broker.refused() == "store-restored"
    broker.looked()
    assert broker.rack.names == set()
    assert (broker.row(had.id).state, broker.desk.memory.look().epoch) == (S.ACTIVE, 2)
    assert broker.had().state is S.ACTIVE
    assert [one["why"] for one in broker.records()] == [OTHER]


def test_i15_a_broker_that_starts_in_doubt_is_in_doubt_whatever_the_store_is_by_then() -> None:
    broker = Standing()
    broker.restore()
    broker.desk.memory.look()
    put(broker.paper, count=0, number=0, digest="")  # the store is as the broker saw it again
    broker.start()
    assert broker.refused() == "store-restored"
    broker.looked()
    assert broker.had().state is S.ACTIVE


def test_two_restores_in_a_row_are_two_epochs_with_a_record_each() -> None:
    broker = Standing()
    for epoch, names in ((2, 1), (3, 2)):
        for _ in range(names):
            broker.had()
        broker.restore()
        broker.looked()
        assert broker.desk.memory.look().epoch == epoch
    found = [(one["epoch"], one["why"], one["ended"], one["targets"]) for one in broker.records()]
    assert found == [(2, FEWER, 1, 1), (3, FEWER, 2, 1)]
    times = [one["since"] for one in broker.records()]
    assert 0 < times[0] < times[1] < broker.world.adapters.clock.now()


def test_a_store_that_is_restored_again_before_it_is_reconciled_is_of_the_same_epoch() -> None:
    broker = Standing()
    broker.restore()
    broker.desk.memory.look()
    since = remembered(broker.paper)["doubt"]["since"]
    broker.restore()
    broker.looked()
    assert [(one["epoch"], one["since"]) for one in broker.records()] == [(2, since)]


def test_i15_all_targets_are_looked_through_at_once_when_a_store_is_found_restored() -> None:
    broker = Standing()
    broker.had()
    broker.replace()
    broker.round()
    assert broker.rack.names == set()


def test_i15_a_target_that_is_looked_through_when_it_is_found_is_so_again_at_once() -> None:
    broker = Standing()
    broker.had()

    def happens() -> None:
        broker.replace()
        broker.work.round()

    broker.later(60)
    broker.rack.now.append(happens)
    broker.round()
    assert len(broker.rack.names) == 1
    broker.round()
    assert broker.rack.names == set()


def test_a_target_that_no_thread_could_be_had_for_is_looked_through_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = Standing()
    broker.had()
    broker.restore()
    before = threading.stack_size(2**46)  # more than there is
    try:
        broker.work.round()
    finally:
        threading.stack_size(before)
    assert "nobody can do it now: sweep orders-db" in caplog.text
    assert broker.work.settle(patience=45)
    assert len(broker.rack.names) == 1
    broker.looked()
    assert broker.rack.names == set()


def test_i15_where_yet_another_store_comes_in_doubt_every_target_is_looked_through_anew() -> None:
    broker = Standing("orders-db", "away")
    own, broker.racks["away"].away = broker.place.store, True
    broker.replace()
    broker.looked()
    assert broker.daemon.stood[-1].left == 1
    back = name_of(broker.desk.memory.marks[-1], "crd_" + "b" * 35)
    broker.rack.names.add(back)
    broker.racks["away"].away, broker.place.store = False, own
    broker.work.push(SPACE, "away", sweep=True)  # the other one isn't due for some seconds
    broker.round()
    assert back not in broker.rack.names
    broker.round()
    assert broker.desk.memory.look().why == OTHER
    broker.looked()
    assert broker.desk.memory.look().why == ""


def test_i15_a_look_that_began_under_the_store_of_before_shows_nothing_of_the_one_that_came() -> None:
    broker = Standing()
    own = broker.place.store
    broker.replace()

    def happens() -> None:
        broker.place.store = own
        broker.work.round()

    broker.rack.now.append(happens)
    broker.round()
    broker.round()
    assert broker.desk.memory.look().why == OTHER
    assert broker.daemon.stood[-1].left == 1
    broker.looked()
    assert broker.desk.memory.look().why == ""


def test_i15_the_store_that_is_believed_again_is_the_one_that_was_looked_at_last() -> None:
    world, other = Minting(sqlite_store()), Minting(sqlite_store())
    place, paper = Place(world.adapters.store), Paper(None)
    memory = memory_of(world, paper, place)
    turn = memory.look().turn
    with copied(other.adapters.store) as copy:
        other.ready()
        for store in (other.adapters.store, copy):  # another one, and an older state of that
            place.store = store
            assert not memory.accept(targets=1, turn=turn)
            turn = memory.look().turn
            assert remembered(paper)["doubt"]["why"] == "gone"
        assert memory.accept(targets=1, turn=turn)


def test_an_epoch_that_has_gone_begins_anew_in_doubt_and_its_record_says_so() -> None:
    broker = Standing()
    broker.restore()
    broker.looked()
    broker.had()
    broker.paper.data = None
    broker.start()
    assert broker.refused() == "store-restored"
    broker.looked()
    assert broker.rack.names == set()
    assert [(one["epoch"], one["why"]) for one in broker.records()] == [(2, FEWER), (1, GONE)]
    assert broker.had().state is S.ACTIVE


def test_the_record_is_written_once_however_often_it_is_told_and_nothing_is_minted_before() -> None:
    broker = Standing()
    broker.had()
    broker.restore()
    broker.daemon.answers = False
    broker.looked(4)
    assert [one["ended"] for one in broker.records()] == [1]
    assert broker.desk.memory.look().why == ""
    assert broker.refused() == "epoch-untold"
    broker.start()  # killed before it heard that it was written
    broker.work.round()
    assert broker.refused() == "epoch-untold"
    broker.daemon.answers = True
    broker.later(5)
    broker.work.round()
    assert broker.desk.memory.look().untold is None
    assert broker.had().state is S.ACTIVE
    broker.looked()
    assert len(broker.records()) == 1
    news = [one for one in broker.world.world.monitor.messages if "store" in str(one.get("kind"))]
    assert [(one["epoch"], one["ended"], one["why"]) for one in news] == [(2, 1, FEWER)]


def test_what_needs_no_row_goes_on_while_the_log_does_not_say_yet_that_a_store_was_restored() -> None:
    world, paper = Minting(sqlite_store()), Paper()
    world.ready()
    row = world.permit()
    put(paper, epoch=2, untold=UNTOLD | {"epoch": 2})
    memory = memory_of(world, paper)
    assert memory.note(0) == 2
    with pytest.raises(EpochUntoldError):
        memory.note(row.record)
    untold = memory.look().untold
    assert untold is not None
    memory.told(untold)
    assert (memory.note(row.record), remembered(paper)["untold"]) == (2, None)


def test_a_store_is_believed_and_a_record_forgotten_only_once_that_is_written_down() -> None:
    world, paper = Minting(sqlite_store()), Full(data=None, takes=1)
    world.ready()
    row, memory = world.permit(), memory_of(world, paper)
    assert memory.look().why == GONE
    with pytest.raises(UnavailableError, match="the disk is full"):
        memory.accept(targets=1, turn=0)
    assert (memory.look().why, memory.doubts) == (GONE, True)
    paper.takes = 3
    assert memory.accept(targets=1, turn=0)
    untold = memory.look().untold
    assert untold is not None
    with pytest.raises(UnavailableError, match="the disk is full"):
        memory.told(untold)
    paper.takes = 100
    memory.told(replace(untold, epoch=untold.epoch + 1))  # the word of another one
    with pytest.raises(EpochUntoldError):
        memory.note(row.record)
    assert memory.look().untold == untold


def test_a_doubt_does_not_end_before_the_one_of_before_is_told() -> None:
    broker = Standing()
    broker.restore()
    broker.daemon.deaf = True
    broker.looked(3)
    assert remembered(broker.paper)["untold"]["epoch"] == 2
    broker.restore()
    broker.looked(3)
    assert (broker.desk.memory.look().epoch, broker.desk.memory.look().why) == (3, FEWER)
    broker.daemon.deaf = False
    broker.looked(3)
    assert [one["epoch"] for one in broker.records()] == [2, 3]
    assert broker.desk.memory.look().untold is None


def test_i15_wherever_the_broker_is_killed_the_epoch_is_reconciled_once_and_said_once() -> None:
    broker = Standing()
    broker.had()
    broker.restore()
    broker.paper = counted = Full(data=broker.paper.data, takes=100)
    broker.start()
    broker.looked(3)
    assert counted.writings > 3  # the doubt, what was ended, that it is believed, that it is told
    for takes in range(counted.writings):
        broker = Standing()
        broker.had()
        ended = broker.rack.ended.copy()
        broker.restore()
        broker.paper = full = Full(data=broker.paper.data, takes=takes)
        broker.start()
        for _ in range(3):
            broker.later(5)
            with suppress(UnavailableError):
                broker.work.round()
            assert broker.work.settle(patience=45)
        row = broker.ask()
        with suppress(UnavailableError):
            broker.round()
        assert broker.row(row.id).state is not S.ACTIVE, takes
        if not takes:
            assert broker.rack.ended == ended
        broker.paper = Paper(full.data)
        broker.start()
        broker.looked(3)
        assert [one["epoch"] for one in broker.records()] == [2], takes
        assert broker.rack.names == set()
        assert (broker.desk.memory.look().epoch, broker.had().state) == (2, S.ACTIVE)


def test_i15_what_was_minted_while_the_store_was_found_restored_is_handed_to_nobody() -> None:
    broker = Standing()
    own, row = broker.place.store, broker.ask()

    def happens() -> None:
        broker.replace()
        broker.desk.memory.look()
        broker.place.store = own

    broker.rack.now.append(happens)
    broker.round()
    assert row.id not in broker.daemon.handed
    assert broker.row(row.id).state is S.REVOKING
    broker.looked()
    assert (broker.rack.names, broker.row(row.id).state) == (set(), S.REVOKED)
    assert "[store-restored]" in broker.row(row.id).why


def test_i15_what_was_begun_in_an_epoch_is_handed_out_in_no_later_one() -> None:
    world, paper = Minting(sqlite_store()), Paper()
    memory = memory_of(world, paper)
    epoch = memory.note(0)
    memory.require_epoch(epoch)
    put(paper, count=10**6)
    memory = memory_of(world, paper)
    with pytest.raises(StoreRestoredError):
        memory.require_epoch(memory.look().epoch)
    assert memory.accept(targets=0, turn=0)
    memory.require_epoch(2)
    with pytest.raises(StoreRestoredError):
        memory.require_epoch(epoch)


def test_i15_a_renewal_that_was_under_way_when_the_store_was_found_restored_is_not_told() -> None:
    broker = Standing()
    row, own = broker.had(), broker.place.store

    def happens() -> None:
        broker.replace()
        broker.desk.memory.look()
        broker.place.store = own

    broker.world.prolong(row, leased=False)
    broker.rack.now.append(happens)
    broker.round()
    asked = broker.row(row.id).renewal
    assert isinstance(asked, Renewal)
    assert asked.state is RenewalState.WANTED
    assert broker.row(row.id).ends == row.ends


def test_the_daemon_is_told_how_the_store_stands_and_what_was_not_looked_through_so_far() -> None:
    broker = Standing("orders-db", "away")
    assert broker.daemon.stood[-1] == TellEpoch(epoch=1)
    broker.racks["away"].away = True
    broker.restore()
    broker.work.round()
    found = broker.daemon.stood[-1]
    assert (found.epoch, found.why, found.left) == (2, FEWER, 2)
    assert found.since == remembered(broker.paper)["doubt"]["since"]
    broker.looked()
    assert (broker.daemon.stood[-1].since, broker.daemon.stood[-1].left) == (found.since, 1)
    broker.racks["away"].away = False
    broker.looked()
    assert broker.daemon.stood[-1] == TellEpoch(epoch=2)


def test_a_store_without_targets_is_reconciled_at_once_and_said_and_nothing_is_told_without_one() -> None:
    broker = Brokering(sqlite_store())
    broker.settle(2)
    assert broker.daemon.stood == []
    broker.paper.data = None
    broker.start()
    broker.settle(2)
    found = broker.world.world.events("store-reconciled")
    assert [(one["epoch"], one["why"], one["ended"], one["targets"]) for one in found] == [(1, GONE, 0, 0)]
    broker.daemon.stood.clear()
    broker.settle(2)
    assert broker.daemon.stood == []


def test_what_the_broker_ended_of_very_much_is_written_down_in_between() -> None:
    broker = Standing()
    mark, seen = broker.desk.memory.marks[-1], list[int]()
    names = [name_of(mark, f"crd_{one}{two}" + "a" * 33) for one in "abcdefghijk" for two in "abcdefghijk"]
    broker.rack.names.update(names)
    broker.restore()
    broker.rack.now += [lambda: None] * 110
    broker.rack.now.append(lambda: seen.append(remembered(broker.paper)["doubt"]["ended"]))
    broker.looked()
    assert seen == [100]
    assert [one["ended"] for one in broker.records()] == [len(names)]


def test_what_the_broker_ended_is_counted_also_where_it_is_killed_in_between() -> None:
    broker = Standing()
    mark = broker.desk.memory.marks[-1]
    names = [name_of(mark, "crd_" + one * 35) for one in "abcdefg"]
    broker.rack.names.update(names)
    broker.restore()
    broker.rack.now += [lambda: None] * 4 + [lambda: setattr(broker.rack, "away", True)]
    broker.round()
    ended = len(set(names) - broker.rack.names)
    assert 0 < ended < len(names)
    assert remembered(broker.paper)["doubt"]["ended"] == ended
    broker.start()
    broker.rack.away = False
    broker.looked()
    assert [one["ended"] for one in broker.records()] == [len(names)]
    assert SPACE == "default"
