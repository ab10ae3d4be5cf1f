"""Two real daemons, writers, and readers in processes of their own that are cut off again and again.

The writers are those of `tests/stories/feeding`: eight, as fast as they commit, out of order. A reader is an
enforcement point: it follows the feed over the sockets of the daemons, now of this one, now of that one.

1. What becomes of its answers: they are lost, come twice, or late, behind those of later questions.
2. It is cut off for some seconds, and finds nobody meanwhile. A daemon is killed, and started again.
3. It is started anew, and knows nothing then: it hears all that is kept, and refuses until it has.
4. Times are those of one clock of the machine. Of each end it is known when it was acknowledged, and when
   each reader knew of it; of each look at a reader, whether it might be rested on.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import threading
import time
from bisect import bisect_left
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from taskbound.adapters.clock.system import SystemClock
from taskbound.adapters.store.postgres import PostgresStore
from taskbound.core.clock import Instant
from taskbound.core.revocation import About, Thing
from taskbound.sdk.client import Client, DaemonLostError, RefusedByDaemonError
from taskbound.sdk.feed import FeedFollower, FeedReader, StaleFeedError
from taskbound.wire.token import FeedRows
from taskbound.wiring.home import find_socket, make_home
from tests.stories.feeding import Course, knows, write_all
from tests.wiring.running import client, daemon, signer
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from taskbound.core.errors import TaskboundError
    from taskbound.sdk.feed import Asked
    from taskbound.wire.token import ReadFeed
    from tests.wiring.running import Running


WRITERS: Final = 8
ORIGIN: Final = "example.com/log"
KEPT: Final = 540.0
"""Seconds for which every reader has to know what ended, whenever it began: a minute less than it is kept."""
PATIENCE: Final = 60.0
"""Seconds after the last commit until every reader has to know all."""
LOOK: Final = 0.02
LATE: Final = 0.2
"""The part of answers before which one arrives that is late."""
BOUND: Final = 5.0
NOTHING: Final = Thing(namespace="default", about=About.TASK, id="tsk_of_nobody")
_CONTEXT: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often what happens (rules 1 to 3)."""

    spoiled: float = 0.15
    """The part of all answers that are lost, come twice, or late, a third each."""
    cut: float = 0.005
    """The part of all questions at which a reader is cut off."""
    away: float = 8.0
    """Seconds that it is, at most."""
    lives: float = 30.0
    """Seconds after which a reader is started anew, about; 0 for never."""
    pace: float = 0.0
    """Ends a second that are written; 0 for as many as are committed."""
    kills: float = 20.0
    """Seconds after which a daemon is killed, the one and then the other; 0 for never."""


@dataclass(slots=True)
class Life:
    """What a reader heard from its start to its end (rule 4)."""

    began: float
    whole: float = 0.0
    """When it could be rested on first; 0 for never."""
    heard: list[tuple[float, float, list[str]]] = field(default_factory=list)
    """Of each answer with something new: before and after it was taken, and which ends."""
    clear: list[tuple[float, float]] = field(default_factory=list)
    """Before and after each look at which it could be rested on."""
    refused: int = 0
    """Looks at which it could not."""


@dataclass(slots=True)
class Report:
    """What a reader came to."""

    lives: list[Life] = field(default_factory=list)
    away: list[tuple[float, float]] = field(default_factory=list)
    """When it was cut off, and when not any more (rule 2)."""
    spoiled: int = 0
    left: int = 0
    """Answers of which nothing was taken, since they were older than what was heard."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Errors by code."""
    missed: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Came:
    """What it all came to."""

    committed: dict[str, float]
    """When each end was acknowledged."""
    held: int
    """Transactions that committed behind others which began later."""
    seconds: float
    """From the first commit to the last."""
    reports: list[Report]
    kills: int

    def missed(self) -> int:
        """Ends that a reader did not know of at the end, of all readers."""
        return sum(len(one.missed) for one in self.reports)

    def refusals(self, code: str) -> int:
        """How often any of them was refused so."""
        return sum(one.refusals.get(code, 0) for one in self.reports)

    def waits(self) -> tuple[list[float], list[float]]:
        """Seconds until a reader knew: who was connected, and who was cut off, from its reconnection on."""
        connected: list[float] = []
        cut: list[float] = []
        for one in self.reports:
            known: set[str] = set()
            for life in one.lives:
                self._waits_of(life, one, known, connected, cut)
        return connected, cut

    def _waits_of(
        self, life: Life, report: Report, known: set[str], connected: list[float], cut: list[float]
    ) -> None:
        backs = [back for _, back in report.away]
        for _, when, ids in life.heard:
            for one in ids:
                committed = self.committed.get(one)
                if committed is None or one in known or committed < life.began:
                    continue  # it was told of what had ended before: how long that takes is `wholes`
                known.add(one)
                at = bisect_left(backs, committed)
                since = committed
                while at < len(backs) and report.away[at][0] < when:
                    since, at = max(since, backs[at]), at + 1
                if since > committed:
                    cut.append(when - since)
                elif not life.whole or committed < life.whole:
                    continue  # it came with what was kept
                else:
                    connected.append(when - committed)

    def wholes(self) -> list[float]:
        """Seconds from a reader's start until it could be rested on, where it was not cut off meanwhile."""
        return [
            life.whole - life.began
            for one in self.reports
            for life in one.lives
            if life.whole and not any(gone < life.whole and back > life.began for gone, back in one.away)
        ]

    def unfinished(self) -> int:
        """Readers that were ended before they could be rested on."""
        return sum(not life.whole for one in self.reports for life in one.lives)

    def unheard(self) -> int:
        """Looks at which a reader was clear, and did not know what had ended five seconds before (I-23)."""
        return sum(self._unheard_in(life) for one in self.reports for life in one.lives)

    def _unheard_in(self, life: Life) -> int:
        knew = {name: before for before, _, ids in life.heard for name in ids}
        begins = [before for before, _ in life.clear]
        wrong = 0
        for name, committed in self.committed.items():
            first = bisect_left(begins, committed + BOUND)
            if first == len(begins) or begins[first] - committed > KEPT:
                continue
            wrong += knew.get(name, float("inf")) > life.clear[first][1]
        return wrong

    def looks(self) -> tuple[int, int]:
        """At how many looks readers could be rested on, and at how many not."""
        lives = [life for one in self.reports for life in one.lives]
        return sum(len(one.clear) for one in lives), sum(one.refused for one in lives)


def run(url: str, folder: Path, *, count: int, seed: int, readers: int, faults: Faults) -> Came:
    """Write, follow and cut, until every reader knows all or a minute has passed since the last commit.

    Args:
        url: A database of its own.
        folder: For the daemons' data.
        count: How many ends are written.
        seed: Of all chance.
        readers: How many, each in a process of its own.
        faults: What happens to them.
    """
    with _daemons(url, folder) as (sockets, kill), ExitStack() as open_:
        links = [
            open_.enter_context(_process(_follow, sockets, f"{seed} {number}", faults))
            for number in range(readers)
        ]
        for link in links:
            assert link.recv() == "whole"
        with _process(_write, url, count, seed, faults.pace) as writing:
            kills = _kill_until(writing, kill, faults)
            committed, held = writing.recv()
        ends = sorted(committed.values())
        recent = [name for name, when in committed.items() if ends[-1] - when < KEPT]
        for link in links:
            link.send(recent)
        reports = [link.recv() for link in links]
    return Came(committed=committed, held=held, seconds=ends[-1] - ends[0], reports=reports, kills=kills)


class _Daemons:
    """Two of them, of which one can be killed and comes back."""

    def __init__(self, homes: Sequence[Path], flags: Sequence[str]) -> None:
        self._homes, self._flags = homes, flags
        self._running: list[Running] = [daemon(one, *flags).__enter__() for one in homes]

    def kill(self, number: int) -> None:
        """Kill this one, and start it again."""
        self._running[number].end(signal.SIGKILL)
        self._running[number] = daemon(self._homes[number], *self._flags).__enter__()

    def end(self) -> None:
        """End them all."""
        for one in self._running:
            one.__exit__()


@contextmanager
def _daemons(url: str, folder: Path) -> Iterator[tuple[list[Path], _Daemons]]:
    homes, apart = [folder / "one", folder / "two"], folder / "apart"
    for one in homes:
        make_home(one)
    apart.mkdir(mode=0o700)
    place = apart / "signer.sock"
    with signer(apart / "keys", place, "--create", origin=ORIGIN):
        found = _Daemons(homes, ("--store", url, "--signer", str(place), "--origin", ORIGIN))
        try:
            yield [find_socket(one) for one in homes], found
        finally:
            found.end()


def _kill_until(writing: Connection, daemons: _Daemons, faults: Faults) -> int:
    """Kill one daemon after the other until all is written; how many were."""
    kills = 0
    while faults.kills and not writing.poll(faults.kills):
        daemons.kill(kills % 2)
        kills += 1
    return kills


@contextmanager
def _process(work: Callable[..., None], *given: object) -> Iterator[Connection]:
    """A process that does this work, and our end of what it says; it is ended with the context."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=work, args=(theirs, *given), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.terminate()
        process.join(30)


def _write(told: Connection, url: str, count: int, seed: int, pace: float) -> None:
    stores = [PostgresStore(url) for _ in range(WRITERS)]
    course = Course(writers=stores, watchers=(), count=count, seed=seed, pace=pace)
    clock = SystemClock(last=Instant(0))
    world = World(store=stores[0], clock=clock)  # type: ignore[arg-type]  # daemons look at these instants
    course.adapters = world.adapters
    write_all(course)
    for one in stores:
        one.close()
    if course.told.failures:
        raise course.told.failures[0]
    told.send((course.told.committed, course.told.held))


class _Timed(FeedReader):
    """A reader that says when it knew what."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self.life, self.known = life, set[str]()
        _, self.asked = super().question()
        """The last question."""

    def question(self, *, wait: int = 2_000) -> tuple[ReadFeed, Asked]:
        ask, self.asked = super().question(wait=wait)
        return ask, self.asked

    def hear(self, rows: FeedRows, asked: Asked) -> bool:
        before = time.monotonic()
        taken = super().hear(rows, asked)
        fresh = [one.id for one in rows.entries if one.id not in self.known and knows(self, one.id)]
        if fresh:
            self.known.update(fresh)
            self.life.heard.append((before, time.monotonic(), fresh))
        return taken


class _Ways:
    """What a follower asks through: the sockets of daemons, with all that goes wrong (rules 1 and 2)."""

    def __init__(self, sockets: Sequence[Path], chance: random.Random, faults: Faults) -> None:
        self.report = Report()
        self._calm = threading.Event()
        """Set once nothing goes wrong any more."""
        self._sockets, self._chance, self._faults = sockets, chance, faults
        self._link: Client | None = None
        self._late: list[tuple[FeedRows, Asked]] = []
        self._until = float("-inf")

    def begin(self, reader: _Timed) -> None:
        """Be asked by this reader from now on: what was on its way to another one is lost."""
        self._reader = reader
        self._late.clear()

    def fetch(self, ask: ReadFeed) -> FeedRows:
        """An answer, if it comes; one that is late or comes again arrives before it."""
        if not self._calm.is_set() and self._is_away():
            raise DaemonLostError("there is no way to it")
        if self._link is None:
            self._link = client(self._chance.choice(self._sockets))
        try:
            rows = self._link.ask(ask, FeedRows)
        except DaemonLostError:
            self.leave()
            raise
        return rows if self._calm.is_set() else self._spoiled(rows)

    def failed(self, error: TaskboundError) -> None:
        """Count it."""
        code = error.fault.code if isinstance(error, RefusedByDaemonError) else error.code
        self.report.refusals[code] = self.report.refusals.get(code, 0) + 1

    def calm(self) -> None:
        """Let nothing go wrong any more; called in another thread than what is asked."""
        self._calm.set()
        now = time.monotonic()
        if self.report.away and self.report.away[-1][1] > now:
            self.report.away[-1] = self.report.away[-1][0], now

    def leave(self) -> None:
        """Have no connection any more."""
        if self._link is not None:
            self._link.close()
        self._link = None

    def _is_away(self) -> bool:
        now = time.monotonic()
        if now < self._until:
            return True
        if self._chance.random() >= self._faults.cut:
            return False
        self.leave()
        self._until = now + self._chance.uniform(0.2, self._faults.away)
        self.report.away.append((now, self._until))
        return True

    def _spoiled(self, rows: FeedRows) -> FeedRows:
        if self._late and self._chance.random() < LATE:
            self.report.left += not self._reader.hear(*self._late.pop(0))
        if self._chance.random() >= self._faults.spoiled:
            return rows
        self.report.spoiled += 1
        what = self._chance.choice(("lost", "late", "twice"))
        if what != "lost":
            self._late.append((rows, self._reader.asked))
        if what == "twice":
            return rows
        self.leave()
        raise DaemonLostError("the answer is lost, or will be late")


def _follow(told: Connection, sockets: Sequence[Path], seed: str, faults: Faults) -> None:
    """A reader, started anew again and again, until it is told what it has to know at the end."""
    chance = random.Random(f"{seed} reader")  # noqa: S311 - a course of events that can be repeated
    ways = _Ways(sockets, random.Random(f"{seed} answers"), faults)  # noqa: S311 - a course of events that can be repeated
    end, wanted, said = float("inf"), list[str](), False
    while not wanted:
        life = Life(began=time.monotonic())
        ways.report.lives.append(life)
        reader = _Timed(life)
        ways.begin(reader)
        follower = FeedFollower(reader, ways.fetch, failed=ways.failed)
        follower.start()
        if faults.lives and said:
            end = life.began + chance.uniform(0.5, 1.5) * faults.lives
        while time.monotonic() < end and not wanted:
            _look(reader, life)
            if life.whole and not said:
                told.send("whole")
                said, end = True, life.began + faults.lives if faults.lives else end
            if told.poll(LOOK):
                wanted = told.recv()
                ways.calm()
        if wanted:
            ways.report.missed = _unknown(reader, life, wanted)
        follower.stop()
    ways.leave()
    told.send(ways.report)


def _look(reader: FeedReader, life: Life) -> None:
    before = time.monotonic()
    try:
        reader.require_clear([NOTHING])
    except StaleFeedError:
        life.refused += 1
        return
    now = time.monotonic()
    life.clear.append((before, now))
    life.whole = life.whole or now


def _unknown(reader: FeedReader, life: Life, wanted: Sequence[str]) -> list[str]:
    """What the reader does not come to know of these, until it knows all or the time is over."""
    end, left, pause = time.monotonic() + PATIENCE, list(wanted), threading.Event()
    while left and time.monotonic() < end:
        left = [one for one in left if not knows(reader, one)]
        _look(reader, life)
        pause.wait(LOOK)
    return left
