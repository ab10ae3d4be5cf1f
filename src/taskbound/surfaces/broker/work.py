"""The broker's scheduler and its socket.

1. The store is polled each half second, and at once after a notification, which only names a target. Free
   workers continue with the last look's rows until there are fewer rows than workers; with a large backlog
   notifications don't cause a look, so a mint waits at most half a second. Only leased rows are worked on.
2. Each target has `WORKERS` workers; one is reserved for the other kind of work, so that revocation never
   blocks mints and renewals or the reverse. A hanging target occupies only its own (I-59). The agent with the
   fewest running jobs is next, and an agent whose ends take long has one worker fewer for a while. With a
   backlog of quick ends one worker fewer ends credentials: a third adds a fifth to the throughput of two,
   while decisions take 2.1 instead of 1.7 times as long.
3. Only as many rows are leased as workers can begin; with a backlog of quick ends `AHEAD` more, since a lease
   costs the daemon a commit. Unused leases expire and the rows are due again.
4. A refused row is skipped for a second unless a notification names its target. A failed look is skipped for
   five.
5. An unreachable store or daemon ends nothing; the scheduler retries.

The socket changes nothing and returns no secret, so any peer may ask; unreadable requests end the connection.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.credential import Step, step_of
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.broker.discovering import Discoveries, EpochReporter
from taskbound.surfaces.broker.steps import LeaseClock, look_for, mint, renew, revoke
from taskbound.surfaces.broker.sweep import Sweeps
from taskbound.wire.connection import Fault
from taskbound.wire.frame import FrameBuffer, FrameError, decode_frame, encode_frame
from taskbound.wire.target import BrokerKey, ask_decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.ports.store import Snapshot
    from taskbound.ports.target import StoredTarget
    from taskbound.surfaces.broker.steps import ClockPair, WorkerDependencies
    from taskbound.wire.target import Order, Orders


_log = logging.getLogger(__name__)
EVERY: Final = 0.5
"""Seconds between two looks at the store."""
WORKERS: Final = 4
AHEAD: Final = 8
"""Ends that are leased before there is a worker for them (rule 3): two tenths of a second of work."""
_LOOKED_AT: Final = 64
"""Rows of one target that are looked at in one round."""
_ALIVE: Final = 16
"""Rows that live which are looked at beside them, where there are more."""
_MOST: Final = 64
"""Credentials that are leased by one question."""
_PASSED: Final = 1.0
"""Seconds that what was not given is passed over (rule 4)."""
_LOOKED: Final = 5.0
"""Seconds that what can't be looked for is."""
_SLOW: Final = 1.0
"""Seconds from which on an end took long (rule 2): of a database that answers one takes a twentieth of it."""
_SLOW_FOR: Final = 60.0
_QUICK: Final = 0.1
"""Seconds up to which an end was quick (rule 2)."""
_STEPS: Final = {Step.MINT, Step.RENEW, Step.REVOKE, Step.LOOK}
_GIVING: Final = {Step.MINT, Step.RENEW}
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A running job."""

    giving: bool
    """Whether it mints or renews."""
    agent: str
    begun: float
    """On the clock that is never set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchedEnd:
    """A leased end that has not begun."""

    row: Credential
    work: Callable[[], None]


@dataclass(slots=True)
class TargetWorkers:
    """The workers of one target."""

    in_hand: dict[str, Job] = field(default_factory=dict)
    """By credential that is worked on."""
    ahead: dict[str, PrefetchedEnd] = field(default_factory=dict)
    """By credential that is leased for who is free next (rule 3)."""
    passed: dict[str, float] = field(default_factory=dict)
    """By credential that was not given: until when it is passed over."""
    slow: dict[str, float] = field(default_factory=dict)
    """By agent something of whose took long to end: until when it has fewer workers for that."""
    beside: float = 0.0
    """When it is looked next beside those who have the most, on the clock that is never set."""
    due: list[tuple[Credential, Step]] = field(default_factory=list)
    """What the last look showed, and nobody has begun since (rule 1)."""
    more: bool = False
    """Whether there was more of it than is looked at in one round."""
    quick: bool = False
    """Whether the last end was."""

    @property
    def short(self) -> bool:
        """Whether a look may find more that a worker could begin (rule 1)."""
        return not self.due or (self.more and len(self.due) < WORKERS)

    def choose(self, elapsed: float) -> list[Credential]:
        self.passed = {name: until for name, until in self.passed.items() if until > elapsed}
        self._note_slow(elapsed)
        busy = list(self.in_hand.values())
        has = Counter(job.agent for job in busy)
        found: list[Credential] = []
        taken = {*self.in_hand, *self.ahead, *self.passed}
        free = [one for one in self.due if one[0].id not in taken]
        while len(busy) < WORKERS:
            able = [one for one in free if self._has_room(_job(*one, elapsed), busy)]
            if not able:
                break
            row, step = min(able, key=lambda one: has[one[0].agent])  # the first of them
            free.remove((row, step))
            found.append(row)
            busy.append(_job(row, step, elapsed))
            has[row.agent] += 1
        found += self._ahead_of(found, free)
        chosen = {one.id for one in found}
        self.due = [one for one in self.due if one[0].id not in chosen]
        return found

    def _ahead_of(self, found: list[Credential], free: list[tuple[Credential, Step]]) -> list[Credential]:
        if not (found and self.more and self.quick) or self.ahead:
            return []
        ends = [row for row, step in free if step is Step.REVOKE and row.agent not in self.slow]
        return ends[:AHEAD]

    def can_begin(self, job: Job) -> bool:
        busy = list(self.in_hand.values())
        return len(busy) < WORKERS and self._has_room(job, busy)

    def next(self, elapsed: float) -> PrefetchedEnd | None:
        """Takes a leased row that can begin now, or None."""
        for name, one in self.ahead.items():
            job = Job(giving=False, agent=one.row.agent, begun=elapsed)
            if self.can_begin(job):
                self.in_hand[name] = job
                del self.ahead[name]
                return one
        return None

    def done(self, credential: str, elapsed: float) -> None:
        self._note_slow(elapsed)
        job = self.in_hand.pop(credential, None)
        if job is not None and not job.giving:
            self.quick = elapsed - job.begun < _QUICK
        self.due = [one for one in self.due if one[0].id != credential]  # as it stood before

    def _note_slow(self, elapsed: float) -> None:
        self.slow = {agent: until for agent, until in self.slow.items() if until > elapsed}
        for job in self.in_hand.values():
            if not job.giving and elapsed - job.begun >= _SLOW:
                self.slow[job.agent] = elapsed + _SLOW_FOR

    def _has_room(self, job: Job, busy: list[Job]) -> bool:
        same = [one for one in busy if one.giving is job.giving]
        slow = [one for one in same if one.agent in self.slow]
        drawn_out = not job.giving and job.agent in self.slow
        most = WORKERS - (2 if self.more and self.quick and not job.giving else 1)
        return len(same) < most and not (drawn_out and len(slow) >= most - 1)


def _job(row: Credential, step: Step, elapsed: float) -> Job:
    return Job(giving=step in _GIVING, agent=row.agent, begun=elapsed)


class Work:
    """The broker's scheduler."""

    def __init__(self, desk: WorkerDependencies) -> None:
        self._desk = desk
        self._halls: dict[tuple[str, str], TargetWorkers] = {}
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._looks = threading.Event()
        """That something may be due which the last look didn't show (rule 1)."""
        self._ending = threading.Event()
        self._sweeps = Sweeps(desk)
        self._standings = EpochReporter(desk)
        self.discoveries = Discoveries(desk)
        self._thread = threading.Thread(target=self._run, name="work", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, patience: float) -> None:
        """Starts no more jobs and waits up to `patience` seconds for running ones."""
        self._ending.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        self.settle(patience=patience)

    def settle(self, *, patience: float) -> bool:
        """Waits up to `patience` seconds until no worker is busy; returns whether that is so."""
        with self._idle:
            idle = self._idle.wait_for(self._is_idle, patience)
        swept = idle and self._sweeps.settle(patience=patience)
        return swept and self.discoveries.settle(patience=patience)

    def _is_idle(self) -> bool:
        return not any(hall.in_hand for hall in self._halls.values())

    def push(self, namespace: str, target: str, *, sweep: bool) -> None:
        """Handles a notification of the daemon (rules 1 and 4); an empty name means all its targets."""
        with self._lock:
            there = [
                hall
                for place, hall in self._halls.items()
                if place[0] == namespace and target in {"", place[1]}
            ]
            for hall in there:
                hall.passed.clear()
            looks = sweep or not there or any(hall.short or not hall.more for hall in there)
        if sweep:
            self._sweeps.want(namespace, target)
        if looks:
            self._looks.set()
        self._wake.set()

    def round(self, *, look: bool = True) -> None:
        """Starts what is due; without `look` it continues with the last look's rows (rule 1)."""
        targets = self._look() if look else None
        self._go_on()
        chosen = self._choose()
        for namespace in sorted({place[0] for place in chosen}):
            wanted = {
                row.id: (target, row)
                for (space, target), rows in chosen.items()
                if space == namespace
                for row in rows
            }
            names = list(wanted)  # as they were chosen: who is first begins, and the rest is ahead
            for start in range(0, len(names), _MOST):
                self._lease(namespace, {one: wanted[one] for one in names[start : start + _MOST]})
        if targets is not None:
            left = self._sweeps.round(targets)
            self._standings.round(targets=len(targets), left=left)

    def _look(self) -> tuple[StoredTarget, ...]:
        desk = self._desk
        now, elapsed = desk.watch.clock.now(), desk.watch.elapsed()
        with desk.store.read() as snapshot:
            targets = {(one.namespace, one.name): one for one in snapshot.targets.all_targets()}
            with self._lock:
                halls = self._halls_of(targets.keys())
            found = {place: _due(snapshot, place, hall, now, elapsed) for place, hall in halls.items()}
        with self._lock:
            for place, (rows, more) in found.items():
                halls[place].due, halls[place].more = rows, more
        desk.targets.forget(frozenset(targets))
        desk.authority.attend({namespace for namespace, _ in targets})
        return tuple(targets.values())

    def _halls_of(self, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], TargetWorkers]:
        for place, hall in list(self._halls.items()):
            if place not in places:
                hall.due, hall.more = [], False
                if not hall.in_hand:
                    del self._halls[place]
        return {one: self._halls.setdefault(one, TargetWorkers()) for one in sorted(places)}

    def _choose(self) -> dict[tuple[str, str], list[Credential]]:
        elapsed = self._desk.watch.elapsed()
        with self._lock:
            chosen = {place: hall.choose(elapsed) for place, hall in self._halls.items()}
        return {place: rows for place, rows in chosen.items() if rows}

    def _lease(self, namespace: str, wanted: dict[str, tuple[str, Credential]]) -> None:
        asked = self._desk.watch.now()
        try:
            orders = self._desk.authority.lease(namespace, wanted.keys())
        except TaskboundError as error:
            _log.info("nothing is leased in %s: %s", namespace, error.message)  # 5
            return
        given = {one.credential: one for one in orders.orders if one.credential in wanted}
        begun: list[tuple[str, str, Callable[[], None]]] = []
        with self._lock:
            for name, (target, row) in wanted.items():
                hall = self._halls[namespace, target]
                order = given.get(name)
                if order is None:
                    hall.passed[name] = asked.elapsed + _PASSED
                    continue
                job = _job(row, Step(order.step), asked.elapsed)
                work = self._work_of(namespace, target, order, orders, asked)
                if Step(order.step) is Step.REVOKE and not hall.can_begin(job):
                    hall.ahead[name] = PrefetchedEnd(row=row, work=work)  # 3
                else:
                    hall.in_hand[name] = job
                    begun.append((target, name, work))
        for target, name, work in begun:
            self._begin(namespace, target, name, work)

    def _work_of(
        self, namespace: str, target: str, order: Order, orders: Orders, asked: ClockPair
    ) -> Callable[[], None]:
        grip = LeaseClock(
            watch=self._desk.watch,
            asked=asked,
            lasts=(order.until - orders.now) / _SECOND,
            fence=order.fence,
        )
        return {
            "mint": lambda: mint(self._desk, namespace, order.credential, grip),
            "renew": lambda: renew(self._desk, namespace, order.credential, grip),
            "revoke": lambda: revoke(self._desk, namespace, order.credential, grip),
            "look": lambda: self._look_for(namespace, target, order.credential),
        }[order.step]

    def _begin(self, namespace: str, target: str, credential: str, work: Callable[[], None]) -> None:
        worker = threading.Thread(
            target=self._do, args=(namespace, target, credential, work), name=target, daemon=True
        )
        try:
            worker.start()
        except RuntimeError:  # no thread can be had now: the lease ends by itself
            _log.warning("%s: no worker can be had", credential)
            self._done(namespace, target, credential, goes_on=False)

    def _go_on(self) -> None:
        elapsed = self._desk.watch.elapsed()
        begun: list[tuple[str, str, PrefetchedEnd]] = []
        with self._lock:
            for (namespace, target), hall in self._halls.items():
                while (one := hall.next(elapsed)) is not None:
                    begun.append((namespace, target, one))
        for namespace, target, one in begun:
            self._begin(namespace, target, one.row.id, one.work)

    def _look_for(self, namespace: str, target: str, credential: str) -> None:
        if not look_for(self._desk, namespace, credential):
            with self._lock:
                passed = self._halls[namespace, target].passed
                passed[credential] = self._desk.watch.elapsed() + _LOOKED  # 4

    def _do(self, namespace: str, target: str, credential: str, work: Callable[[], None]) -> None:
        while True:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the thread's outermost edge
                _log.error(
                    "%s: %s was raised", credential, type(error).__name__
                )  # and no words: they may be a target's
            following = self._done(namespace, target, credential)
            if following is None:
                return
            credential, work = following.row.id, following.work

    def _done(
        self, namespace: str, target: str, credential: str, *, goes_on: bool = True
    ) -> PrefetchedEnd | None:
        with self._lock:
            hall = self._halls.get((namespace, target))
            following = None
            if hall is not None:
                elapsed = self._desk.watch.elapsed()
                hall.done(credential, elapsed)
                following = hall.next(elapsed) if goes_on and not self._ending.is_set() else None
            if hall is None or hall.short:
                self._looks.set()
            self._idle.notify_all()
        if following is None:
            self._wake.set()
        return following

    def _run(self) -> None:
        next_look = self._desk.watch.elapsed()
        while not self._ending.is_set():
            self._wake.clear()
            look = self._looks.is_set() or self._desk.watch.elapsed() >= next_look
            if look:
                self._looks.clear()  # before the store is read: what is said from now on is for the next one
                next_look = self._desk.watch.elapsed() + EVERY
            try:
                self.round(look=look)
            except TaskboundError as error:
                _log.warning("what is due can't be looked at: %s", error.message)  # 5
            except Exception:  # noqa: BLE001 - the thread's outermost edge
                _log.exception("a look at what is due failed")
            self._wake.wait(max(0.0, next_look - self._desk.watch.elapsed()))


def _due(
    snapshot: Snapshot, place: tuple[str, str], hall: TargetWorkers, now: Instant, elapsed: float
) -> tuple[list[tuple[Credential, Step]], bool]:
    due = snapshot.credentials.due(*place, now, limit=_LOOKED_AT)
    more = len(due) == _LOOKED_AT
    found = {one.id: one for one in due}
    if more:
        found |= {one.id: one for one in snapshot.credentials.due_alive(*place, now, limit=_ALIVE)}  # 2
    if more and elapsed >= hall.beside:
        hall.beside = elapsed + EVERY
        agents = {one.agent for one in due}
        beside = snapshot.credentials.due_beside(*place, now, agents, limit=WORKERS)
        found |= {one.id: one for one in beside}  # 2
    steps = ((row, step_of(row, now)) for row in found.values())
    return [(row, step) for row, step in steps if step in _STEPS], more


_OPENING: Final = 10.0
"""Seconds until a connection is ended."""
_LONGEST: Final = 4_096
"""Bytes of what is asked."""


class BrokerSocket(asyncio.Protocol):
    """One connection."""

    def __init__(self, public: str) -> None:
        self._public = public
        self._buffer = FrameBuffer(limit=_LONGEST)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._timer = asyncio.get_running_loop().call_later(_OPENING, transport.close)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        try:
            for body in self._buffer.feed(data):
                decode_frame(ask_decoder, body)
                self._transport.write(encode_frame(BrokerKey(key=self._public)))
        except FrameError as error:
            self._transport.write(encode_frame(_fault(error)))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()


def _fault(error: TaskboundError) -> Fault:
    return Fault(code=error.code, message=error.message, advice=error.advice)
