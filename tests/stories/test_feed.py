"""The feed of a daemon over each store; rules of `flows.revocation.feed`."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.audit import leaf_hash
from taskbound.core.audit.events import TokenKeyRevoked
from taskbound.core.clock import Instant
from taskbound.core.revocation import KillSwitch
from taskbound.core.task import TaskEvent
from taskbound.flows.audit.sequencing import Sequencer
from taskbound.flows.revocation import Feed, FeedBehindError, FeedStaleError, OtherLogError, stop
from tests.world import ANN, World

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from taskbound.core.task import Task
    from taskbound.flows.revocation import FeedPage
    from taskbound.ports.store import Snapshot, Store, Transaction
    from tests.postgres import Server


def end(world: World, task: Task) -> None:
    world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="enough")


def begin(feed: Feed, namespace: str = "default") -> FeedPage:
    return feed.page(namespace, -1, b"", 1000)


def said(page: FeedPage) -> list[tuple[str, str, str]]:
    return [(one.thing.about.value, one.thing.id, one.turn.value) for one in page.entries]


def place(world: World) -> None:
    Sequencer(world.means, signer=None, origin="log").extend()  # type: ignore[arg-type]  # it signs nothing here


@pytest.fixture
def feed(world: World) -> Feed:
    made = Feed(world.means)
    world.settle_in()
    made.look()
    return made


def test_a_feed_that_has_not_looked_says_nothing(world: World) -> None:
    with pytest.raises(FeedStaleError):
        begin(Feed(world.means))


@pytest.mark.parametrize("placed", [True, False])
def test_what_ends_is_heard_whether_anybody_gives_places_or_not(
    world: World, feed: Feed, *, placed: bool
) -> None:
    before = begin(feed)
    task = world.start()
    end(world, task)
    if placed:
        place(world)
    assert feed.look()
    page = feed.page("default", before.through, before.mark, 1000)
    assert said(page) == [("task", task.id, "over")]
    assert page.through >= page.entries[0].place
    assert not page.more
    place(world)
    with world.store.read() as seen:
        (body,) = seen.audit.records(page.entries[0].place, 1)
        (last,) = seen.audit.records(page.through, 1)
    assert task.id.encode() in body
    assert leaf_hash(last) == page.mark


def test_every_place_is_that_which_the_record_gets_later(world: World, feed: Feed) -> None:
    for _ in range(3):
        end(world, world.start())
        feed.look()
        place(world)
        end(world, world.start())
        feed.look()
    place(world)
    page = begin(feed)
    with world.store.read() as seen:
        bodies = [seen.audit.records(one.place, 1)[0] for one in page.entries]
        assert page.through == seen.audit.size() - 1
    assert len(bodies) == 7  # the agent's activation too
    assert all(one.thing.id.encode() in body for one, body in zip(page.entries, bodies, strict=True))


def test_a_daemon_that_starts_knows_what_ended_before_and_is_as_one_that_was_there(
    world: World, feed: Feed
) -> None:
    tasks = [world.start() for _ in range(4)]
    for one in tasks[:2]:
        end(world, one)
    place(world)
    for one in tasks[2:]:
        end(world, one)
    feed.look()
    other = Feed(world.means)
    other.look()
    old, new = begin(feed), begin(other)
    assert (new.entries, new.through, new.mark) == (old.entries, old.through, old.mark)
    assert [one for one in said(new) if one[0] == "task"] == [("task", one.id, "over") for one in tasks]


def test_entries_of_another_namespace_are_not_told_and_those_of_keys_are(world: World, feed: Feed) -> None:
    end(world, world.start())
    stop(world.means, "acme", stopped=True, reason="enough", actor=ANN)
    lost = TokenKeyRevoked(key="kid_1", before="current", why="lost", by="ann", proof="p")
    world.store.write(lambda tx: tx.audit.append("default", world.means.writer, [lost], world.clock.now()))
    feed.look()
    assert said(begin(feed, "acme")) == [("namespace", "", "stopped"), ("key", "kid_1", "over")]
    assert ("namespace", "", "stopped") not in said(begin(feed))
    assert said(begin(feed))[-1] == ("key", "kid_1", "over")


def test_a_page_is_as_long_as_asked_and_the_next_begins_behind_it(world: World, feed: Feed) -> None:
    for _ in range(5):
        end(world, world.start())
    feed.look()
    whole, page = begin(feed), feed.page("default", -1, b"", 2)
    found = list(page.entries)
    while page.more:
        page = feed.page("default", page.through, page.mark, 2)
        assert len(page.entries) <= 2
        found += page.entries
    assert (tuple(found), page.through, page.mark) == (whole.entries, whole.through, whole.mark)


def test_f24_a_place_with_another_record_or_beyond_what_was_seen_is_not_gone_on_from(
    world: World, feed: Feed
) -> None:
    place(world)
    page = begin(feed)
    for after in (page.through, page.through - 1, 0):
        with pytest.raises(OtherLogError):
            feed.page("default", after, b"\x01" * 32, 10)
    with pytest.raises(OtherLogError):
        feed.page("default", page.through - 1, page.mark, 10)
    with pytest.raises(FeedBehindError):
        feed.page("default", page.through + 1, page.mark, 10)


class Restored:
    """A store that is another one from some moment on."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def read(self) -> AbstractContextManager[Snapshot]:
        return self.store.read()


def test_f24_a_feed_whose_store_was_restored_begins_anew_and_tells_its_readers(
    world: World, tmp_path: Path
) -> None:
    world.settle_in()
    place(world)
    there = Restored(world.store)
    feed = Feed(replace(world.means, store=there))  # type: ignore[arg-type]  # it only reads
    feed.look()
    before = begin(feed)
    copy = World(store=SqlStore(tmp_path / "yesterday.db"), clock=world.clock)
    task = copy.settle_in()
    there.store = copy.store
    feed.look()
    with pytest.raises((OtherLogError, FeedBehindError)):
        feed.page("default", before.through, before.mark, 10)
    end(copy, task)
    for _ in range(9):
        copy.start()
    feed.look()
    with pytest.raises(OtherLogError):
        feed.page("default", before.through, before.mark, 10)
    assert ("task", task.id, "over") in said(begin(feed))
    copy.store.close()


def test_a_place_that_was_told_long_ago_is_gone_on_from_by_the_tree(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = begin(feed)
    monkeypatch.setattr("taskbound.flows.revocation.feed._MARKS", 4)
    end(world, world.start())
    place(world)
    later = Feed(world.means)
    later.look()
    assert not later.holds(old.through)
    page = later.page("default", old.through, old.mark, 10)
    assert [one[2] for one in said(page)] == ["over"]
    with pytest.raises(OtherLogError):
        later.page("default", old.through, old.mark[::-1], 10)


def test_a_place_whose_mark_is_neither_kept_nor_in_the_tree_is_not_told(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskbound.flows.revocation.feed._MARKS", 1)
    place(world)
    later = Feed(world.means)
    later.look()
    for _ in range(3):
        end(world, world.start())
    later.look()
    with pytest.raises(FeedStaleError):
        later.page("default", -1, b"", 2)
    place(world)
    assert later.page("default", -1, b"", 2).more
    assert feed.look()


def test_who_waits_for_a_store_that_hangs_keeps_nobody_from_what_is_in_memory(world: World) -> None:
    world.settle_in()
    place(world)
    hangs, let = threading.Event(), threading.Event()

    class Hanging:
        def read(self) -> AbstractContextManager[Snapshot]:
            if hangs.is_set():
                reached.set()
                assert let.wait(30)
            return world.store.read()

    feed = Feed(replace(world.means, store=Hanging()))  # type: ignore[arg-type]  # it only reads
    feed.look()
    page, reached = begin(feed), threading.Event()
    hangs.set()
    told: list[type[Exception]] = []

    def old() -> None:
        with pytest.raises(OtherLogError) as found:
            feed.page("default", 0, b"\x01" * 32, 10)
        told.append(found.type)

    thread = threading.Thread(target=old)
    thread.start()
    assert reached.wait(30)
    assert feed.page("default", page.through, page.mark, 10).through == page.through
    let.set()
    thread.join()
    assert told == [OtherLogError]


def test_what_was_not_looked_at_for_five_seconds_is_not_told(world: World, feed: Feed) -> None:
    world.clock.advance(4.9)
    assert 4_900_000 <= begin(feed).age <= 5_000_000
    world.clock.advance(0.2)
    with pytest.raises(FeedStaleError):
        begin(feed)
    feed.look()
    assert begin(feed).age < 1_000


def test_what_ended_ten_minutes_ago_is_not_kept(world: World, feed: Feed) -> None:
    old, new = world.start(), world.start(seconds=90_000)
    end(world, old)
    feed.look()
    world.clock.advance(601)
    end(world, new)
    feed.look()
    assert said(begin(feed)) == [("task", new.id, "over")]
    place(world)
    other = Feed(world.means)
    other.look()
    assert said(begin(other)) == [("task", new.id, "over")]


def test_entries_are_forgotten_after_an_hour_and_no_sooner(world: World, feed: Feed) -> None:
    end(world, world.start())
    place(world)
    first = begin_of_table(world)
    world.clock.advance(3_590)
    end(world, world.start())
    place(world)
    assert begin_of_table(world) == first
    world.clock.advance(20)
    end(world, world.start())
    place(world)
    assert begin_of_table(world) > first
    assert not feed.holds(10**9)


def begin_of_table(world: World) -> int:
    with world.store.read() as seen:
        return seen.revocation.entries(Instant(0))[0].place


def test_a_transaction_that_has_not_ended_holds_up_what_follows_and_makes_it_stale(server: Server) -> None:
    name = server.database()
    shared, beside = PostgresStore(server.url(name)), PostgresStore(server.url(name))
    world = World(store=shared)
    world.settle_in()
    feed, task = Feed(world.means), world.start()
    feed.look()
    before, reached, let = begin(feed), threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        tx.revocation.put_kill_switch(
            "acme", KillSwitch(stopped=True, epoch=1), expect=0
        )  # it has its number
        reached.set()
        assert let.wait(30)

    thread = threading.Thread(target=lambda: beside.write(hold))
    thread.start()
    assert reached.wait(30)
    end(world, task)
    feed.look()
    assert said(feed.page("default", before.through, before.mark, 10)) == []
    world.clock.advance(5.1)
    feed.look()
    with pytest.raises(FeedStaleError):
        begin(feed)
    let.set()
    thread.join()
    feed.look()
    assert said(feed.page("default", before.through, before.mark, 10)) == [("task", task.id, "over")]
    shared.close()
    beside.close()
    server.drop(name)
