"""What a reader of the feed may rest on, and when; rules of `sdk.feed`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.revocation import About, FeedBrokenError, Thing
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.sdk.feed import FeedFollower, FeedReader, RevokedError, StaleFeedError, pause_after
from taskbound.sdk.fresh import BOUND, awake
from taskbound.wire.connection import Fault
from taskbound.wire.token import FeedEntry, FeedRows, ReadFeed
from tests.house.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.errors import TaskboundError

TASK = Thing(namespace="default", about=About.TASK, id="tsk_a")
KEY = Thing(namespace="", about=About.KEY, id="k1")
MARK = "ab" * 32


class Clock:
    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


def entry(place: int, turn: str = "over", about: str = "task", name: str = "tsk_a") -> FeedEntry:
    return FeedEntry(place=place, at=1, about=about, id=name, turn=turn)


def rows(*entries: FeedEntry, through: int, age: int = 0, more: bool = False) -> FeedRows:
    return FeedRows(namespace="default", entries=entries, through=through, mark=MARK, age=age, more=more)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(clock: Clock) -> FeedReader:
    return FeedReader(clock=clock)


def hear(reader: FeedReader, said: FeedRows) -> ReadFeed:
    ask, asked = reader.question()
    reader.hear(said, asked)
    return ask


def test_a_reader_that_heard_nothing_refuses(reader: FeedReader) -> None:
    with pytest.raises(StaleFeedError):
        reader.require_clear([TASK])


def test_it_begins_without_a_mark_and_goes_on_with_that_of_the_last_place(reader: FeedReader) -> None:
    assert hear(reader, rows(through=7)) == ReadFeed(after=-1, mark="", wait=0)
    assert reader.question()[0] == ReadFeed(after=7, mark=MARK, wait=2_000)
    assert reader.question(wait=5)[0].wait == 5


@pytest.mark.parametrize("turn", ["over", "stopped"])
@pytest.mark.parametrize("thing", [TASK, KEY], ids=["task", "key"])
def test_what_is_over_or_stopped_is_refused_and_nothing_else(
    reader: FeedReader, turn: str, thing: Thing
) -> None:
    hear(reader, rows(entry(3, turn, thing.about.value, thing.id), through=3))
    with pytest.raises(RevokedError, match=f"`{thing.id}` is {turn}"):
        reader.require_clear([Thing(namespace="default", about=About.AGENT, id="x"), thing])
    reader.require_clear([Thing(namespace="default", about=About.TASK, id="tsk_b")])


def test_what_is_of_a_namespace_of_which_nothing_is_heard_is_not_clear(reader: FeedReader) -> None:
    hear(reader, rows(through=3))
    reader.require_clear([TASK, KEY])
    with pytest.raises(StaleFeedError, match="another"):
        reader.require_clear([TASK, Thing(namespace="acme", about=About.TASK, id="tsk_a")])


def test_f24_what_was_heard_holds_for_five_seconds_from_the_question_less_its_age(
    reader: FeedReader, clock: Clock
) -> None:
    ask, asked = reader.question()
    clock.at += 1.5  # the answer took so long
    reader.hear(rows(through=3, age=500_000), asked)
    clock.at += 2.9
    reader.require_clear([TASK])
    clock.at += 0.2
    with pytest.raises(StaleFeedError):
        reader.require_clear([TASK])
    assert reader.age() == pytest.approx(0.1)
    assert ask.wait == 0


def test_what_is_over_is_said_so_however_stale_the_feed_is(reader: FeedReader, clock: Clock) -> None:
    hear(reader, rows(entry(3), through=3))
    clock.at += 60
    with pytest.raises(RevokedError):
        reader.require_clear([TASK])


def test_an_answer_that_took_longer_than_the_bound_makes_nothing_fresh(
    reader: FeedReader, clock: Clock
) -> None:
    _, asked = reader.question()
    clock.at += 5.1
    reader.hear(rows(through=3), asked)
    with pytest.raises(StaleFeedError):
        reader.require_clear([TASK])


def test_nothing_is_fresh_before_the_last_page_was_heard(reader: FeedReader) -> None:
    hear(reader, rows(through=3, more=True))
    assert reader.question()[0].wait == 0
    with pytest.raises(StaleFeedError):
        reader.require_clear([TASK])
    hear(reader, rows(through=4))
    reader.require_clear([TASK])


def test_an_older_answer_takes_no_freshness_away_and_brings_nothing_back(
    reader: FeedReader, clock: Clock
) -> None:
    _, first = reader.question()
    clock.at += 2
    hear(reader, rows(entry(4), through=5))
    assert not reader.hear(rows(entry(4, "back"), through=4), first)
    assert reader.hear(rows(entry(4, "back"), through=5), first), "the same again"
    clock.at += 4
    reader.require_clear([KEY])
    with pytest.raises(RevokedError):
        reader.require_clear([TASK])


def test_f24_another_log_keeps_what_ended_and_holds_nothing_until_it_was_heard(reader: FeedReader) -> None:
    hear(reader, rows(entry(9), through=9))
    reader.begin_anew()
    with pytest.raises(StaleFeedError):
        reader.require_clear([KEY])
    assert hear(reader, rows(through=2)).mark == ""
    reader.require_clear([KEY])
    with pytest.raises(RevokedError):
        reader.require_clear([TASK])


def test_f24_an_answer_from_before_another_log_began_makes_nothing_fresh_and_moves_no_place(
    reader: FeedReader,
) -> None:
    hear(reader, rows(through=9))
    _, before = reader.question()
    reader.begin_anew()
    assert not reader.hear(rows(through=12), before)
    assert reader.through == -1
    with pytest.raises(StaleFeedError):
        reader.require_clear([TASK])


def test_an_answer_that_was_given_to_another_question_makes_nothing_fresh(
    reader: FeedReader, clock: Clock
) -> None:
    again = rows(entry(9), through=9)
    hear(reader, again)
    clock.at += 4
    _, asked = reader.question()
    assert not reader.hear(again, asked)
    clock.at += 2
    with pytest.raises(StaleFeedError):
        reader.require_clear([KEY])


def test_what_ended_is_forgotten_only_long_after_every_token_of_it(reader: FeedReader, clock: Clock) -> None:
    hear(reader, rows(entry(3), through=3))
    clock.at += 719
    hear(reader, rows(through=3))
    with pytest.raises(RevokedError):
        reader.require_clear([TASK])
    clock.at += 2
    hear(reader, rows(through=3))
    reader.require_clear([TASK])


@pytest.mark.parametrize("said", [entry(3, "gone"), entry(3, about="planet")])
def test_what_is_not_known_is_not_taken(reader: FeedReader, said: FeedEntry) -> None:
    with pytest.raises(FeedBrokenError):
        hear(reader, rows(said, through=3))
    assert reader.through == -1


def test_what_is_of_another_namespace_is_not_taken_and_makes_nothing_fresh(clock: Clock) -> None:
    other = FeedReader("acme", clock=clock)
    with pytest.raises(FeedBrokenError, match="acme"):
        hear(other, rows(through=3))
    with pytest.raises(StaleFeedError):
        other.require_clear([])


@pytest.mark.parametrize("bound", [0, -1, 5.1])
def test_a_bound_is_at_most_five_seconds(bound: float) -> None:
    with pytest.raises(ValueError, match="bound"):
        FeedReader(bound=bound)


def test_the_clock_is_the_machines_that_goes_on_while_it_sleeps() -> None:
    first = awake()
    assert 0 <= awake() - first < 60


@given(st.lists(st.tuples(st.floats(0, 4), st.floats(0, 4), st.booleans()), max_size=20), st.floats(0, 10))
def test_i23_whoever_is_let_through_heard_of_the_log_as_it_was_five_seconds_before_at_most(
    course: list[tuple[float, float, bool]], later: float
) -> None:
    clock = Clock()
    reader, seen = FeedReader(clock=clock), float("-inf")
    for place, (took, pause, arrives) in enumerate(course):
        _, asked = reader.question()
        clock.at += took
        if arrives:
            reader.hear(rows(through=place), asked)
            seen = asked.at
        clock.at += pause
        try:
            reader.require_clear([TASK])
        except StaleFeedError:
            assert clock.at - seen >= 5 or seen == float("-inf")
        else:
            assert clock.at - seen < 5
    clock.at += later
    if clock.at - seen >= 5:
        with pytest.raises(StaleFeedError):
            reader.require_clear([TASK])


@dataclass
class Script:
    """Answers in order; the last one again and again, each time when told."""

    answers: list[FeedRows | Exception]
    asked: list[ReadFeed] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def __call__(self, ask: ReadFeed) -> FeedRows:
        self.asked.append(ask)
        if len(self.asked) > len(self.answers):
            self.done.set()
            raise DaemonLostError("no more")
        answer = self.answers[len(self.asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def follow(reader: FeedReader, *answers: FeedRows | Exception) -> tuple[Script, list[str]]:
    script, told = Script([*answers]), list[str]()

    def failed(error: TaskboundError) -> None:
        told.append(error.fault.code if isinstance(error, RefusedByDaemonError) else error.code)

    follower = FeedFollower(reader, script, failed=failed)
    follower.start()
    assert script.done.wait(20)
    follower.stop()
    return script, told


def test_a_follower_asks_on_whatever_fails_and_tells_it(reader: FeedReader) -> None:
    script, told = follow(
        reader, DaemonLostError("away"), rows(through=2), ZeroDivisionError(), rows(entry(3), through=3)
    )
    assert told[:2] == ["daemon-lost", "unavailable"]
    assert [one.after for one in script.asked] == [-1, -1, 2, 2, 3]
    with pytest.raises(RevokedError):
        reader.require_clear([TASK])


def test_a_follower_goes_on_whatever_is_done_with_what_it_tells(reader: FeedReader) -> None:
    script = Script([DaemonLostError("away"), rows(through=2)])

    def failed(_: TaskboundError) -> None:
        raise RuntimeError("nobody listens")

    follower = FeedFollower(reader, script, failed=failed)
    follower.start()
    assert script.done.wait(20)
    follower.stop()
    assert reader.through == 2


def test_a_follower_begins_anew_in_another_log(reader: FeedReader) -> None:
    other = RefusedByDaemonError(Fault(code="other-log", message="m", advice="a", family="denied"))
    script, told = follow(reader, rows(entry(8), through=9), other, rows(through=1))
    assert told[0] == "other-log"
    assert [(one.after, bool(one.mark)) for one in script.asked[:3]] == [(-1, False), (9, True), (-1, False)]
    with pytest.raises(RevokedError):
        reader.require_clear([TASK])


def test_a_follower_begins_anew_after_what_is_out_of_order(reader: FeedReader) -> None:
    script, told = follow(reader, rows(through=9), rows(entry(12), entry(11), through=12), rows(through=5))
    assert told[0] == "feed-broken"
    assert script.asked[2].after == -1
    reader.require_clear([KEY])


def test_a_follower_gives_up_no_place_for_an_answer_that_comes_late_or_again(reader: FeedReader) -> None:
    late, twice = rows(through=4), rows(entry(11), through=12)
    script, told = follow(reader, rows(through=9), late, twice, twice, late, rows(through=12))
    assert told[:3] == ["feed-broken"] * 3
    assert [one.after for one in script.asked] == [-1, 9, 9, 12, 12, 12, 12]
    assert all(one.mark for one in script.asked[1:])
    reader.require_clear([KEY])


def test_the_child_of_a_fork_is_stale_and_knows_what_ended_while_a_thread_of_the_parent_hears(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(FORKING)
    done = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["child stale-feed revoked left fresh", "parent fresh revoked"]


FORKING = """
import os, threading
from taskbound.sdk.feed import FeedReader
from taskbound.sdk.fresh import awake
from tests.sdk.test_feed import KEY, TASK, entry, rows

parent, hearing, may = os.getpid(), threading.Event(), threading.Event()

def clock():
    if os.getpid() == parent and threading.current_thread() is not threading.main_thread():
        hearing.set()
        may.wait(20)
    return awake()

def said(thing):
    try:
        reader.require_clear([thing])
    except Exception as error:
        return error.code
    return "fresh"

reader = FeedReader(clock=clock)
reader.hear(rows(entry(3), through=3), reader.question()[1])
_, asked = reader.question()
other = threading.Thread(target=reader.hear, args=(rows(through=4), asked))
other.start()
hearing.wait(20)
if os.fork() == 0:
    found = []

    def look():
        found.extend([said(KEY), said(TASK), "taken" if reader.hear(rows(through=9), asked) else "left"])
        reader.hear(rows(through=5), reader.question()[1])
        found.append(said(KEY))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(10)
    print("child", *found, flush=True)
    os._exit(0)
os.wait()
may.set()
other.join()
print("parent", said(KEY), said(TASK), flush=True)
"""


@pytest.mark.parametrize(
    ("code", "family", "asks_less_often"),
    [
        ("invalid_client", "unproven", True),
        ("invalid_dpop_proof", "malformed", True),
        ("forbidden", "denied", True),
        ("feed-stale", "unavailable", False),
        ("other-log", "denied", False),
    ],
)
def test_a_follower_that_is_told_no_asks_less_often(code: str, family: str, asks_less_often: bool) -> None:  # noqa: FBT001 -- a case's word
    away = pause_after(DaemonLostError("away"))
    told = pause_after(RefusedByDaemonError(Fault(code=code, message="m", advice="a", family=family)))
    assert (told > away) is asks_less_often
    assert told + away < BOUND  # who is let in again is fresh before what was heard is stale
