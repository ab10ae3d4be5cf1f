"""Decides and writes requests in turns; queues what waits for a turn, or for a plan's step.

Of `worker`:
1. What ends or stops something goes first, then outcomes, then calls (I-61).
2. Calls that wait together are decided together: one transaction, one sync.
3. Answers of the worker's thread reach the loop in one hop per group.
4. Queues are bounded; beyond the bound a call is refused at once.
5. A turn of small jobs runs in the loop itself, because two thread hops cost as much as the decision. Large
   jobs, and all jobs while the store is slow, run in the thread, so that the loop goes on. Loop and thread
   never have a turn at the same time.
6. With a single connection, its turn follows directly on what was read, not a round of the loop later.
Of `turns`:
1. Turns are a hint: a gateway also asks again every few seconds, and each request is decided anew. They are
   lost with the daemon, and outcomes taken by another daemon are not seen.
2. They cost outcomes nothing: the waiting actions are known from the answers to their calls.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from taskbound.core.approval import ApprovalState
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Waiting
from taskbound.core.errors import UnavailableError
from taskbound.core.quick import quick
from taskbound.flows.approval import QuestionUpdate

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from taskbound.flows.action import Report
    from taskbound.flows.action.outcome import Released
    from taskbound.flows.approval.look import OperandFindings
    from taskbound.flows.decision import Watched
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.wire.action import Decide


_log = logging.getLogger(__name__)

WAITING: Final = 4096
"""Jobs of one kind that may wait: about a quarter of a second of work."""
GROUP: Final = 64
"""Jobs that are done together at most."""

A = TypeVar("A")
J = TypeVar("J")
Given: TypeAlias = "Callable[[], None]"

SLOW: Final = 0.05
"""Seconds of a turn after which the next one is the thread's (rule 5)."""


class OverloadedError(UnavailableError):
    """Too many requests wait to be answered in time."""

    code = "overloaded"
    remedy = "try again in a moment"


class Lane(Generic[J, A]):
    """Jobs of one kind, done in groups and in order."""

    def __init__(
        self,
        worker: Worker,
        work: Callable[[Sequence[J]], Sequence[A]],
        *,
        small: Callable[[J], bool] = lambda _: False,
        most: int = GROUP,
    ) -> None:
        """`small` says whether the loop may do a job itself (rule 5), `most` limits a group.

        `work` returns an answer for each job, in order. See `Worker` for the order of lanes.
        """
        self._worker = worker
        self._work = work
        self._small = small
        self._most = most
        self._jobs: deque[tuple[J, Callable[[A], None], Callable[[Exception], None]]] = deque()
        worker.add(self)

    def __len__(self) -> int:
        return len(self._jobs)

    def hand(self, job: J, answer: Callable[[A], None], fail: Callable[[Exception], None]) -> None:
        """Queues a job; calls exactly one of the two callbacks in the loop later. Called in the loop.

        Raises OverloadedError if too many wait (rule 4).
        """
        if len(self._jobs) >= WAITING:
            raise OverloadedError(f"{WAITING} requests wait already")
        self._jobs.append((job, answer, fail))
        self._worker.call(here=self._small(job))

    def put(self, job: J) -> asyncio.Future[A]:
        """Queues a job and returns the future answer; called in the loop; raises OverloadedError (rule 4)."""
        future: asyncio.Future[A] = self._worker.loop.create_future()
        self.hand(job, partial(answer_to, future), partial(fail_with, future))
        return future

    def run(self) -> list[Given]:
        """Does waiting jobs, up to a group; returns callbacks that deliver their answers."""
        taken = [self._jobs.popleft() for _ in range(min(self._most, len(self._jobs)))]
        if not taken:
            return []
        try:
            answers = self._work([job for job, _, _ in taken])
        except Exception as error:  # noqa: BLE001 - a turn's outermost edge, and the rest goes on
            _log.exception("a group of %d jobs failed", len(taken))
            return [partial(fail, error) for _, _, fail in taken]
        return [partial(give, answer) for (_, give, _), answer in zip(taken, answers, strict=True)]


class Worker:
    """Runs lanes in turns, the lane made first before the others."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, slow: float = SLOW) -> None:
        """Prepares; `start` begins. A turn of more than `slow` seconds moves the next one to the thread."""
        self.loop = loop
        self._lanes: list[Lane[object, object]] = []
        self._wake = threading.Condition()
        self._called = True
        """Whether whatever waits is the thread's, also before its start and after its end; under `_wake`."""
        self._ending = False
        self._turn = threading.Lock()
        self._due = False
        """Whether the loop has a turn before it; in the loop."""
        self._alone = False
        """Whether what is read just now is a whole round's (rule 6); in the loop."""
        self._limit = slow
        self._slow = False
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def add(self, lane: Lane[J, A]) -> None:
        """Adds a lane behind the existing ones."""
        self._lanes.append(lane)  # type: ignore[arg-type]  # a lane gives its own jobs to its own work only

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finishes what waits, and ends."""
        with self._wake:
            self._ending = self._called = True
            self._wake.notify()
        self._thread.join()

    @property
    def busy(self) -> bool:
        """Returns whether waiting jobs are the thread's now."""
        with self._wake:
            return self._called

    def call(self, *, here: bool) -> None:
        """Has waiting jobs done by the thread, or in the loop once it has read what arrived with them."""
        if not here:
            self._call_thread()
        elif not self._due:
            self._due = True
            if not self._alone:
                self.loop.call_soon(self._have_turn)

    @contextmanager
    def reading(self, *, alone: bool) -> Iterator[None]:
        """A context for bytes of one connection; `alone` if there is no other (rule 6)."""
        self._alone = alone and not self._due
        try:
            yield
        finally:
            own, self._alone = self._alone, False
            if own and self._due:
                self._have_turn()

    def _call_thread(self) -> None:
        with self._wake:
            self._called = True
            self._wake.notify()

    def _have_turn(self) -> None:
        """Runs a turn in the loop unless the thread has one (rule 5)."""
        self._due = False
        if self.busy:
            return
        if self._slow:
            self._call_thread()
            return
        self._do(_give)
        if self._waiting():
            self.call(here=True)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._called and self._waiting()):
                    if self._ending:
                        return
                    self._called = False
                    self._wake.wait()
            self._do(self._send)

    def _send(self, given: Sequence[Given]) -> None:
        self.loop.call_soon_threadsafe(_give, given)  # 3

    def _waiting(self) -> bool:
        return any(map(len, self._lanes))

    def _do(self, give: Callable[[Sequence[Given]], object]) -> None:
        with self._turn:
            began = monotonic()
            for lane in self._lanes:  # 1
                given = lane.run()  # 2
                if given:
                    give(given)
            self._slow = monotonic() - began > self._limit


def _give(given: Sequence[Given]) -> None:
    for one in given:
        one()


def answer_to(future: asyncio.Future[A], answer: A) -> None:
    """Sets the result of a future that is still waited for."""
    if not future.done():
        future.set_result(answer)


def fail_with(future: asyncio.Future[A], error: Exception) -> None:
    """Sets the exception of a future that is still waited for."""
    if not future.done():
        future.set_exception(error)


SMALL: Final = 65_536
"""Bytes of arguments, or of an answer, up to which a job is small: some milliseconds at most."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCall:
    """A call, and the connection on which it came."""

    connection: Connection
    ask: Decide
    sight: OperandFindings | None = None
    """What was seen for it."""
    rounds: int = 0
    """How often something was looked at for it."""
    until: float | None = None
    """The instant of the loop's clock by which its gateway has an answer, once something is looked at."""
    watch: Watched | None = None
    """Receives the spans of the decision."""
    unwatched: bool = False
    """Whether who asks will tell nothing of what came of it."""
    subject: str = ""
    """Whom they say that it is for."""


def is_small_report(report: Report) -> bool:
    """Returns whether it is at most some milliseconds of work."""
    return report.answer is None or len(report.answer) <= SMALL


def is_small_call(asked: WaitingCall) -> bool:
    """Returns whether it is at most some milliseconds of work."""
    return len(asked.ask.arguments) <= SMALL


def do_all(works: Sequence[Callable[[], None]]) -> list[None]:
    """Does all of them, in order."""
    for work in works:
        work()
    return [None] * len(works)


_MOST: Final = 256
"""The limit of remembered waiting calls; beyond it the oldest is dropped, and asks again by itself."""


class CallTurns:
    """The calls that wait for actions; used where calls are decided and outcomes recorded, one at a time."""

    def __init__(
        self,
        record: Callable[[Sequence[Report]], tuple[Released, ...]],
        tell: Callable[[Sequence[QuestionUpdate]], None],
    ) -> None:
        self._record = record
        self._tell = tell
        self._waiting: dict[tuple[str, str], QuestionUpdate] = {}
        """By namespace and the action that runs."""

    def note(self, answers: Iterable[object]) -> None:
        """Remembers which of these calls wait for a running action."""
        for one in answers:
            if not isinstance(one, Waiting) or not one.hold.behind:
                continue
            namespace = one.proposal.action.frame.namespace
            self._waiting.pop((namespace, one.hold.behind), None)
            self._waiting[namespace, one.hold.behind] = QuestionUpdate(
                namespace=namespace,
                action=one.hold.action,
                approval=one.hold.approval,
                state=ApprovalState.APPROVED,
                reason="",
                connection=one.proposal.presented.connection,
            )
            if len(self._waiting) > _MOST:
                del self._waiting[next(iter(self._waiting))]

    def record(self, reports: Sequence[Report]) -> tuple[Released, ...]:
        """Records these outcomes and wakes the calls that wait for one."""
        answers = self._record(reports)
        found = [self._waiting.pop((one.namespace, one.action), None) for one in reports]
        told = [one for one in found if one is not None]
        if told:
            self._tell(told)
        return answers
