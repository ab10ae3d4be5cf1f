"""What a feed keeps while clocks are set, and are apart; rule 4 of `flows.revocation.feed`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.audit.events import TokenKeyRevoked
from taskbound.core.clock import Instant, minutes
from taskbound.core.revocation import earliest_of
from tests.stories.test_feed import begin, end, feed_of, follow, place, said

if TYPE_CHECKING:
    from taskbound.flows.revocation import Feed
    from tests.world import World


@pytest.fixture
def feed(world: World) -> Feed:
    world.settle_in()
    return feed_of(world)


def test_what_ended_ten_minutes_ago_is_not_kept(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = world.start(), world.start(seconds=90_000)
    end(world, old)
    feed.look()
    follow(world, feed, 590)
    assert said(begin(feed))[-1] == ("task", old.id, "over")
    end(world, new)
    follow(world, feed, 15)
    assert said(begin(feed)) == [("task", new.id, "over")]
    place(world)
    monkeypatch.setattr("taskbound.flows.revocation._LATELY", 0)  # none tells of another clock
    assert said(begin(feed_of(world))) == [("task", new.id, "over")]


@pytest.mark.parametrize("ahead", [601, 3_600, 86_400 * 3_650])
def test_f17_a_clock_that_is_set_ahead_forgets_nothing_that_a_reader_has_yet_to_hear(
    world: World, feed: Feed, ahead: int
) -> None:
    before, task = begin(feed), world.start()
    end(world, task)
    world.clock.advance(ahead)
    feed.look()
    page = feed.page("default", before.through, before.mark, 1000)
    assert said(page) == [("task", task.id, "over")]
    world.clock.advance(ahead)
    feed.look()
    assert said(feed.page("default", before.through, before.mark, 1000)) == said(page)
    follow(world, feed, 605)
    assert said(feed.page("default", before.through, before.mark, 1000)) == []


def test_f18_what_a_daemon_records_whose_clock_is_far_behind_is_told(world: World, feed: Feed) -> None:
    follow(world, feed, 605)  # nothing else is kept
    before = begin(feed)
    lost = TokenKeyRevoked(key="kid_1", before="current", why="lost", by="ann", proof="p")
    late = Instant(world.clock.now() - minutes(20))
    world.store.write(lambda tx: tx.audit.append("default", world.adapters.writer, [lost], late))
    feed.look()
    assert said(feed.page("default", before.through, before.mark, 1000)) == [("key", "kid_1", "over")]


def test_f17_who_begins_hears_what_ended_right_before_a_clock_was_set_ahead(world: World, feed: Feed) -> None:
    task = world.start()
    end(world, task)
    place(world)
    world.clock.advance(1_800)
    assert said(begin(feed_of(world)))[-1] == ("task", task.id, "over")
    assert feed.look()


def test_of_records_that_can_not_be_read_none_is_the_earliest() -> None:
    bodies = [
        b'{"at":7,"event":{}}',
        b'{"at":5.5}',
        b'{"at":"3",',
        b'{"at":12345678901234567890,',
        b"",
        b'{"at":9,',
    ]
    assert earliest_of(bodies, Instant(8)) == 7
    assert earliest_of(bodies[1:], Instant(8)) == 8
    assert earliest_of([], Instant(8)) == 8
