"""The feed of a daemon over each store; rules of `flows.revocation.feed`."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.audit import leaf_hash
from taskbound.core.audit.events import TokenKeyRevoked
from taskbound.core.clock import Instant
from taskbound.core.revocation import About, Entry, FeedEvent, KillSwitch, Thing
from taskbound.core.task import TaskEvent
from taskbound.flows.audit.sequencing import Sequencer
from taskbound.flows.revocation import Feed, FeedBehindError, FeedStaleError, OtherLogError, stop
from tests.sqlite import sqlite_store
from tests.world import ANN, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from taskbound.core.task import Task
    from taskbound.flows.revocation import FeedPage
    from taskbound.ports.store import Snapshot, Store, Transaction
    from tests.postgres import Server


def end(world: World, task: Task) -> None:
    world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="enough")


def follow(world: World, feed: Feed, seconds: int) -> None:
    """Have a feed look for so long, as its daemon does."""
    for _ in range(0, seconds, 5):
        world.clock.advance(5)
        feed.look()


def begin(feed: Feed, namespace: str = "default") -> FeedPage:
    return feed.page(namespace, -1, b"", 1000)


def said(page: FeedPage) -> list[tuple[str, str, str]]:
    return [(one.thing.about.value, one.thing.id, one.turn.value) for one in page.entries]


def place(world: World) -> None:
    Sequencer(world.adapters, signer=None, origin="log").extend()  # type: ignore[arg-type]  # it signs nothing here


@pytest.fixture
def feed(world: World) -> Feed:
    made = Feed(world.adapters)
    world.settle_in()
    made.look()
    return made


def test_a_feed_that_has_not_looked_says_nothing(world: World) -> None:
    with pytest.raises(FeedStaleError):
        begin(Feed(world.adapters))


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
    other = Feed(world.adapters)
    other.look()
    old, new = begin(feed), begin(other)
    assert (new.entries, new.through, new.mark) == (old.entries, old.through, old.mark)
    assert [one for one in said(new) if one[0] == "task"] == [("task", one.id, "over") for one in tasks]


def test_entries_of_another_namespace_are_not_told_and_those_of_keys_are(world: World, feed: Feed) -> None:
    end(world, world.start())
    stop(world.adapters, "acme", stopped=True, reason="enough", actor=ANN)
    lost = TokenKeyRevoked(key="kid_1", before="current", why="lost", by="ann", proof="p")
    world.store.write(lambda tx: tx.audit.append("default", world.adapters.writer, [lost], world.clock.now()))
    feed.look()
    assert said(begin(feed, "acme")) == [("namespace", "", "stopped"), ("key", "kid_1", "over")]
    assert ("namespace", "", "stopped") not in said(begin(feed))
    assert said(begin(feed))[-1] == ("key", "kid_1", "over")


def test_what_a_reader_asks_costs_the_same_however_much_ends_in_other_namespaces() -> None:
    world = World(store=sqlite_store())
    thing = Thing(namespace="default", about=About.TOKEN, id="tok")
    at = world.clock.now()
    ends = [Entry(place=one, at=at, thing=thing, turn=FeedEvent.OVER) for one in range(50_000)]
    key = Entry(place=50_000, at=at, thing=Thing(namespace="", about=About.KEY, id="k"), turn=FeedEvent.OVER)
    world.store.write(lambda tx: tx.revocation.put_entries([*ends, key]))
    feed = feed_of(world)
    begin(feed, "acme")
    before = time.process_time()
    for _ in range(1_000):
        assert said(begin(feed, "acme")) == [("key", "k", "over")]
    assert time.process_time() - before < 1.0


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
    feed = Feed(replace(world.adapters, store=there))  # type: ignore[arg-type]  # it only reads
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


class Replaced(Restored):
    """A store that is replaced right after it was read once more, and looked at by the feed at once."""

    def __init__(self, store: Store, by: Store) -> None:
        super().__init__(store)
        self.by, self.feed, self.armed = by, Feed.__new__(Feed), False

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        with self.store.read() as snapshot:
            yield snapshot
        if self.armed:
            self.armed, self.store = False, self.by
            self.feed.look()


def test_f24_a_mark_that_was_read_from_the_store_of_before_says_nothing_of_this_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskbound.flows.revocation._MARKS", 1)
    copy = World(store=SqlStore(tmp_path / "yesterday.db"), clock=world.clock)
    for one in (world, copy):
        one.settle_in()
    for _ in range(9):
        end(copy, copy.start())
    place(copy)
    there = Replaced(world.store, copy.store)
    feed = there.feed = Feed(replace(world.adapters, store=there))  # type: ignore[arg-type]  # it only reads
    feed.look()
    heard = begin(feed)
    world.start()
    place(world)
    feed.look()
    there.armed = True
    with pytest.raises(OtherLogError):
        feed.page("default", heard.through, heard.mark, 10)
    assert not there.armed
    copy.store.close()


def test_a_place_that_was_told_long_ago_is_gone_on_from_by_the_tree(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = begin(feed)
    monkeypatch.setattr("taskbound.flows.revocation._MARKS", 4)
    end(world, world.start())
    place(world)
    later = Feed(world.adapters)
    later.look()
    assert later.at_hand("default", old.through, old.mark, 10) is None
    page = later.page("default", old.through, old.mark, 10)
    assert [one[2] for one in said(page)] == ["over"]
    with pytest.raises(OtherLogError):
        later.page("default", old.through, old.mark[::-1], 10)


def test_what_was_seen_to_come_is_told_by_pages_before_it_has_its_place(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskbound.flows.revocation._MARKS", 1)
    place(world)
    later = Feed(world.adapters)
    later.look()
    for _ in range(3):
        end(world, world.start())
    later.look()
    told = pages(later)
    place(world)
    assert told == pages(later) == pages(feed_of(world))
    assert [len(one) for one in told] == [2, 2]
    assert feed.look()


def feed_of(world: World) -> Feed:
    """One that begins now."""
    made = Feed(world.adapters)
    made.look()
    return made


def test_f24_a_mark_that_is_not_in_the_tree_yet_is_no_other_one(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskbound.flows.revocation._MARKS", 1)
    place(world)
    later = Feed(world.adapters)
    later.look()
    world.start()
    later.look()
    heard = begin(later)
    world.start()
    later.look()
    with pytest.raises(FeedStaleError, match="not yet"):
        later.page("default", heard.through, heard.mark, 10)
    place(world)
    assert said(later.page("default", heard.through, heard.mark, 10)) == []
    with pytest.raises(OtherLogError):
        later.page("default", heard.through, heard.mark[::-1], 10)
    assert feed.look()


def test_f24_a_place_beyond_what_was_seen_is_none_of_this_log_after_a_look_that_began_later(
    world: World, feed: Feed
) -> None:
    page, since = begin(feed), feed.looks
    with pytest.raises(FeedBehindError):
        feed.page("default", page.through + 9, page.mark, 10, since=since)
    world.start()
    feed.look()
    with pytest.raises(OtherLogError):
        feed.page("default", page.through + 9, page.mark, 10, since=since)
    with pytest.raises(FeedBehindError):
        feed.page("default", page.through + 9, page.mark, 10, since=feed.looks)
    with pytest.raises(FeedBehindError):
        feed.page("default", page.through + 9, page.mark, 10)


def test_what_was_ahead_of_one_daemon_is_gone_on_from_once_it_has_looked(world: World, feed: Feed) -> None:
    other = Feed(world.adapters)
    other.look()
    end(world, world.start())
    feed.look()
    ahead, since = begin(feed), other.looks
    with pytest.raises(FeedBehindError):
        other.page("default", ahead.through, ahead.mark, 10, since=since)
    other.look()
    assert other.page("default", ahead.through, ahead.mark, 10, since=since).through == ahead.through


class Counting:
    """A store that counts how often it is read."""

    def __init__(self, store: Store) -> None:
        self.store, self.reads = store, 0

    def read(self) -> AbstractContextManager[Snapshot]:
        self.reads += 1
        return self.store.read()


def test_of_many_readers_that_begin_one_reads_the_store_and_none_where_the_feed_saw_it_come(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskbound.flows.revocation._MARKS", 1)
    for _ in range(5):
        end(world, world.start())
    live, later = Counting(world.store), Counting(world.store)
    seen = Feed(replace(world.adapters, store=live))  # type: ignore[arg-type]  # it only reads
    seen.look()
    place(world)
    begun = Feed(replace(world.adapters, store=later))  # type: ignore[arg-type]  # it only reads
    begun.look()
    assert pages(seen) == pages(begun)
    assert (live.reads, later.reads) == (1, 1 + 2)
    assert pages(begun) == pages(begun)
    assert later.reads == 3
    follow(world, begun, 605)
    assert pages(begun) == [[]]
    assert feed.look()


def pages(feed: Feed) -> list[list[tuple[str, str, str]]]:
    """What who begins is told, two entries at a time."""
    page = feed.page("default", -1, b"", 2)
    found = [said(page)]
    while page.more:
        page = feed.page("default", page.through, page.mark, 2)
        found.append(said(page))
    return found


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

    feed = Feed(replace(world.adapters, store=Hanging()))  # type: ignore[arg-type]  # it only reads
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


def test_entries_are_forgotten_after_an_hour_and_no_sooner(world: World) -> None:
    world.settle_in()
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


def begin_of_table(world: World) -> int:
    with world.store.read() as seen:
        return seen.revocation.entries(Instant(0))[0].place


def test_a_transaction_that_has_not_ended_holds_up_what_follows_and_makes_it_stale(server: Server) -> None:
    name = server.database()
    shared, beside = PostgresStore(server.url(name)), PostgresStore(server.url(name))
    world = World(store=shared)
    world.settle_in()
    feed, task = Feed(world.adapters), world.start()
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
