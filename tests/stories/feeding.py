"""Writers whose commits come in another order than they began, feeds that look, and readers that are cut off.

Each writer and each feed has a handle of the store of its own, as so many daemons have. What a writer writes
are revoked tokens, among records that end nothing. Every so often one holds its transaction, which has its
number by then, until others have committed theirs. Readers ask now this daemon, now that one; answers are
lost, come twice, or come late.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.audit.events import TokenRevoked
from taskbound.core.audit.events.standing import Delivery
from taskbound.core.errors import TaskboundError
from taskbound.core.revocation import About, Thing
from taskbound.flows.audit.sequencing import Sequencer, open_writer
from taskbound.flows.revocation import Feed, OtherLogError
from taskbound.ports.store import ConflictError
from taskbound.sdk.feed import Asked, FeedReader, RevokedError, StaleFeedError
from taskbound.surfaces.api.operations.feed import rows_of
from taskbound.wire.token import FeedRows
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.flows.means import Adapters
    from taskbound.ports.store import Store, Transaction


HOLD: Final = 0.05
"""Seconds that a transaction is held at most, where no other one commits meanwhile."""
NOISE = Delivery(monitor="world:1", subject="checkpoint", outcome="delivered")
DEADLINE: Final = 60.0
Answer: TypeAlias = tuple[FeedRows, Asked]
"""An answer, and which question it is of."""


@dataclass(slots=True)
class Told:
    """What a course came to."""

    committed: dict[str, float] = field(default_factory=dict)
    """When each token was revoked."""
    heard: list[dict[str, float]] = field(default_factory=list)
    """By reader: when it knew of each."""
    held: int = 0
    """Transactions that committed behind others which began later."""
    lost: int = 0
    """Answers that were lost, came twice, or late."""
    late: int = 0
    """Answers of which nothing was taken: they came behind a later one."""
    anew: int = 0
    """How often a reader began anew."""
    other: int = 0
    """How often a daemon said that its log is another one; there is only one."""
    failures: list[BaseException] = field(default_factory=list)

    def missed(self) -> int:
        """Revoked tokens that a reader didn't know of at the end, of all readers."""
        return sum(len(self.committed.keys() - one.keys()) for one in self.heard)

    def latencies(self) -> list[float]:
        """Seconds between each commit and each reader's knowing, of all."""
        return [
            when - self.committed[token]
            for one in self.heard
            for token, when in one.items()
            if token in self.committed
        ]


@dataclass(slots=True)
class Course:
    """The stores, how much is written, and by which chance."""

    writers: Sequence[Store]
    watchers: Sequence[Store]
    count: int
    seed: int
    holds: float = 0.1
    """The part of all transactions that are held."""
    pace: float = 0.0
    """Ends a second, of all writers; 0 for as many as they commit."""
    adapters: Adapters | None = None
    told: Told = field(default_factory=Told)
    turn: threading.Condition = field(default_factory=threading.Condition)
    commits: int = 0
    written: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def chance(self, name: str) -> random.Random:
        """A chance of its own for each thread."""
        return random.Random(f"{self.seed} {name}")  # noqa: S311 - a course of events that can be repeated

    def thread(self, work: Callable[..., None], *given: object) -> threading.Thread:
        """A thread for this work; what it raises ends the course."""

        def guarded() -> None:
            try:
                work(self, *given)
            except BaseException as error:  # noqa: BLE001 - told at the end
                self.told.failures.append(error)
                self.written.set()
                self.over.set()

        return threading.Thread(target=guarded)


def run(course: Course, *, readers: int = 4) -> Told:
    """Write, look, give places and read until every reader knows all, or a minute after the last commit."""
    course.adapters = World(store=course.watchers[0]).adapters
    feeds = [Feed(replace(course.adapters, store=one)) for one in course.watchers]
    for one in feeds:
        one.look()
    course.told.heard = [{} for _ in range(readers)]
    beside = [course.thread(_look, one) for one in feeds] + [course.thread(_place)]
    reading = [course.thread(_read, feeds, number) for number in range(readers)]
    for thread in (*beside, *reading):
        thread.start()
    write_all(course)
    course.written.set()
    for thread in reading:
        thread.join()
    course.over.set()
    for thread in beside:
        thread.join()
    if course.told.failures:
        raise course.told.failures[0]
    return course.told


def write_all(course: Course) -> None:
    """Write all there is to write, as fast as it commits, each writer in a thread of its own."""
    writing = [course.thread(_write, number) for number in range(len(course.writers))]
    for thread in writing:
        thread.start()
    for thread in writing:
        thread.join()


def _write(course: Course, number: int) -> None:
    store, chance, writer = course.writers[number], course.chance(f"writer {number}"), f"wrt_w{number}"
    assert course.adapters is not None
    adapters = replace(course.adapters, store=store, writer=writer)
    _open(adapters)
    wanted = course.count // len(course.writers) + (number < course.count % len(course.writers))
    done, began = 0, time.monotonic()
    while done < wanted and not course.over.is_set():
        if course.pace:
            due = began + done * len(course.writers) / course.pace
            course.over.wait(max(0.0, due - time.monotonic()))
        last = min(done + chance.randint(1, 3), wanted)
        tokens = [f"tok_{course.seed}_{number}_{one}" for one in range(done, last)]
        done += len(tokens)
        events: list[Event] = [NOISE] * chance.randint(0, 2)
        events += [
            TokenRevoked(token=one, task="tsk", agent="coder", why="", by="ann", proof="p") for one in tokens
        ]
        holds = chance.random() < course.holds
        held = store.write(lambda tx: _append(course, tx, writer, events, adapters.clock.now(), holds=holds))  # noqa: B023 - it is run at once
        now = time.monotonic()
        with course.turn:
            course.told.held += held
            course.told.committed.update(dict.fromkeys(tokens, now))
            course.commits += 1
            course.turn.notify_all()


def _open(adapters: Adapters) -> None:
    while True:
        try:
            open_writer(adapters, software="test")
        except ConflictError:  # another writer's head moved just then
            continue
        return


def _append(
    course: Course, tx: Transaction, writer: str, events: Sequence[Event], now: Instant, *, holds: bool
) -> bool:
    """Append, and wait for others to commit where this one holds; whether they did."""
    tx.audit.append("default", writer, events, now)
    if not holds:
        return False
    tx.audit.last_number()  # it has its number now, and the server has its records
    with course.turn:
        before = course.commits
        return course.turn.wait_for(lambda: course.commits >= before + 3, HOLD)


def _look(course: Course, feed: Feed) -> None:
    while not course.over.is_set():
        feed.look()
        course.over.wait(0.005)


def _place(course: Course) -> None:
    chance = course.chance("places")
    assert course.adapters is not None
    sequencers = [
        Sequencer(replace(course.adapters, store=one), None, "log")  # type: ignore[arg-type]  # nothing is signed here
        for one in course.watchers
    ]
    while not course.over.is_set():
        for one in chance.sample(sequencers, 1):
            one.extend()
        course.over.wait(chance.random() * 0.05)


def _read(course: Course, feeds: Sequence[Feed], number: int) -> None:
    chance, reader, late = course.chance(f"reader {number}"), FeedReader(), list[Answer]()
    heard, told, end = course.told.heard[number], course.told, float("inf")
    while time.monotonic() < end and not course.over.is_set():
        if course.written.is_set() and end == float("inf"):
            end = time.monotonic() + DEADLINE
        ask, asked = reader.question()
        try:
            page = chance.choice(feeds).page("default", ask.after, bytes.fromhex(ask.mark), 500)
        except OtherLogError:
            told.other += 1
            reader.begin_anew()
            continue
        except TaskboundError:
            continue  # behind, for a moment
        arrived = _spoiled(told, chance, (rows_of("default", page), asked), late)
        told.late += sum([not reader.hear(*one) for one in arrived])
        if chance.random() < 0.0002:  # as one that is started anew
            told.anew += 1
            reader.begin_anew()
        known = time.monotonic()
        for one in (entry for rows, _ in arrived for entry in rows.entries):
            if one.id not in heard and knows(reader, one.id):
                heard[one.id] = known
        if course.written.is_set() and course.told.committed.keys() <= heard.keys():
            return


def _spoiled(told: Told, chance: random.Random, rows: Answer, late: list[Answer]) -> list[Answer]:
    """What arrives of an answer: it, nothing, it twice, or an older one behind it."""
    drawn = chance.random()
    told.lost += drawn < 0.3
    if drawn < 0.1:
        late.append(rows)
        return []
    if drawn < 0.2:
        return [rows, rows]
    if drawn < 0.3 and late:
        return [rows, late.pop()]
    return [rows]


def knows(reader: FeedReader, token: str) -> bool:
    """Whether the reader refuses what rests on this token since it was revoked."""
    try:
        reader.require_clear([Thing(namespace="default", about=About.TOKEN, id=token)])
    except RevokedError:
        return True
    except StaleFeedError:
        return False
    return False
