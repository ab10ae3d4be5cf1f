"""Compares the rows of the database with the log, record by record.

Only open state is kept, so memory does not grow with the log. Not compared: rates, whose windows pass without
a record, and what `audit verify` lists. `tests/stories/test_compared_tables.py` says where each table is
compared.
"""

from __future__ import annotations

from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import GIVES_BACK, ActionState
from taskbound.core.audit import (
    ActionDecided,
    ActionOutcome,
    TaskAmended,
    TaskChanged,
    TaskStarted,
    TaskStepped,
    parse_record,
)
from taskbound.core.audit.events import ActionReconciled
from taskbound.core.dataclass import dataclass
from taskbound.core.scope import initial_limits
from taskbound.core.task import ENDED
from taskbound.flows.audit.compared import compared
from taskbound.flows.audit.identity_rows import AgentLedger, KeyLedger, PersonLedger, ServiceLedger
from taskbound.flows.audit.standing_rows import StandingLedger
from taskbound.flows.audit.task_rows import ActLedger, AmendmentLedger, ApprovalLedger, TemplateLedger
from taskbound.flows.audit.token_rows import CredentialLedger, PolicyLedger, TokenLedger, ToolLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskbound.core.audit import Record
    from taskbound.ports.store import Snapshot


_UNKNOWN: Final = ActionState.UNKNOWN.value


class UnknownLedger:
    """Outcomes that are or were unknown, as the log leaves them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._states: dict[tuple[str, str], str] = {}
        self._words: list[str] = []

    def take(self, record: Record) -> None:
        match record.event:
            case ActionOutcome(action=action, after="unknown"):
                self._states[record.namespace, action] = _UNKNOWN
            case ActionReconciled(action=action, after=after):
                self._states.pop((record.namespace, action), None)
                self._compare(record.namespace, action, after)
            case _:
                pass

    def differences(self) -> Iterator[str]:
        for space, action in self._states:
            self._compare(space, action, _UNKNOWN)
        yield from self._words

    def _compare(self, space: str, action: str, told: str) -> None:
        row = self._snapshot.actions.action(space, action)
        if row is not None and row.state.value != told:
            self._words.append(f"action {action} is `{row.state.value}`, and its record says `{told}`")


_LEDGERS: Final = (
    KeyLedger,
    PolicyLedger,
    UnknownLedger,
    AmendmentLedger,
    AgentLedger,
    PersonLedger,
    ServiceLedger,
    TemplateLedger,
    ToolLedger,
    ActLedger,
    ApprovalLedger,
    CredentialLedger,
    StandingLedger,
    TokenLedger,
)
_PAGE: Final = 500
_NAMED: Final = 1000
"""Differences that are named; beyond them they are counted."""
_STATES: Final = {"permit": "permitted", "hold": "held", "refuse": "refused"}
_ENDED: Final = frozenset(one.value for one in ENDED)
_GIVES_BACK: Final = frozenset(one.value for one in GIVES_BACK)
_OPEN: Final = frozenset({ActionState.PERMITTED, ActionState.SENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The size of the comparison and its differences."""

    records: int
    actions: int
    tasks: int
    found: int
    """How many differences there are."""
    differences: tuple[str, ...]
    """In words, as many as are named."""


@dataclass(slots=True)
class _Task:
    limits: dict[str, int]
    parent: str = ""
    scope: str = ""
    open: int = 0
    state: str = "running"
    since: int = 0
    """When it was amended, or entered a step after that; what was permitted before gives nothing back."""


@dataclass(slots=True)
class _Ledger:
    snapshot: Snapshot
    tasks: dict[tuple[str, str], _Task] = field(default_factory=dict)
    permits: dict[tuple[str, str], ActionDecided] = field(default_factory=dict)
    holds: dict[tuple[str, str], ActionDecided] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    found: int = 0
    actions: int = 0
    seen_tasks: int = 0

    def differ(self, words: str) -> None:
        self.found += 1
        if len(self.words) < _NAMED:
            self.words.append(words)

    def take(self, record: Record) -> None:
        space = record.namespace
        match record.event:
            case TaskStarted() as event:
                self._start(space, event)
            case TaskChanged() as event if (space, event.task) in self.tasks:
                known = self.tasks[space, event.task]
                known.state = event.after
                self._move(space, known.parent, event.returned, sign=1)
                self._close(space, event.task)
            case TaskAmended() as event if (space, event.task) in self.tasks:
                self._amend(space, event)
                self.tasks[space, event.task].since = record.at
            case TaskStepped() as event if (space, event.task) in self.tasks:
                known = self.tasks[space, event.task]
                known.since = record.at if known.since else 0
            case ActionDecided(decision="hold") as event:
                self.holds[space, event.action] = event
            case ActionDecided() as event if event.decision in _STATES:
                self.holds.pop((space, event.action), None)  # it was lifted
                self._decide(space, event)
            case ActionOutcome() as event:
                self._end(space, event)
            case _:
                pass

    def finish(self) -> None:
        for space, action in self.permits:
            row = self.snapshot.actions.action(space, action)
            if row is not None and row.state not in _OPEN:
                self.differ(f"action {action} is `{row.state.value}`, and no record says that it ended")
            elif row is not None and (row.answer is not None or row.released):
                self.differ(f"action {action} has an answer, and no record says that it ended")
        for (space, _), event in self.holds.items():
            self._decide(space, event)
        for space, task in list(self.tasks):
            self._compare_task(space, task)

    def _start(self, space: str, event: TaskStarted) -> None:
        self.seen_tasks += 1
        row = self.snapshot.tasks.task(space, event.task)
        if row is None:
            self.differ(f"task {event.task} was started, and is not there")
            return
        if (row.agent, row.deadline) != (event.agent, event.deadline):
            self.differ(f"task {event.task} has another agent or deadline than it was started with")
        above = self.snapshot.tasks.task(space, event.parent) if event.parent else None
        for what, here, there in (
            ("requester", row.requester, event.requester),
            ("parent", row.parent, event.parent),
            ("root", row.root, event.task if above is None else above.root),
            ("word for learning", row.learning, event.learning),
            ("heartbeat", (row.heartbeat, row.grace), (event.heartbeat, event.grace)),
        ):
            if here != there:
                self.differ(f"task {event.task} has another {what} than it was started with")
        limits = dict(initial_limits(row.scope))  # of an amended task the amendment's record says them
        self.tasks[space, event.task] = _Task(limits, parent=event.parent, scope=event.scope)
        self._move(space, event.parent, event.carved, sign=-1)

    def _amend(self, space: str, event: TaskAmended) -> None:
        known = self.tasks[space, event.task]
        if known.scope != event.before:
            self.differ(f"task {event.task} was amended from another scope than its records leave it with")
        known.scope, known.limits = event.scope, {}
        _add(known, event.left, sign=1)
        parent = self.tasks.get((space, known.parent))
        if parent is not None:
            gone = {one.rpartition("=")[0] for one in event.above}
            parent.limits = {name: left for name, left in parent.limits.items() if name not in gone}
            _add(parent, event.above, sign=1)

    def _move(self, space: str, task: str, amounts: tuple[str, ...], *, sign: int) -> None:
        """Moves amounts to or from a child of a task that has not ended."""
        known = self.tasks.get((space, task))
        if known is not None:
            _add(known, amounts, sign=sign)

    def _decide(self, space: str, event: ActionDecided) -> None:
        self.actions += 1
        row = self.snapshot.actions.action(space, event.action)
        if row is None:
            self.differ(f"action {event.action} was decided, and is not there")
            return
        for name, here, there in compared(row, event):
            if here != there:
                self.differ(f"action {event.action} has another {name} than its record")
        if event.decision != "permit":
            state, told = row.state.value, event.decision
            if state != _STATES[told]:
                self.differ(f"action {event.action} is `{state}`, and its record says {told}")
            return
        task = self.tasks.get((space, event.task))
        if task is not None:
            _add(task, event.charges, sign=-1)
        if event.outcome:
            if row.state.value != event.outcome or row.answer is not None or row.released:
                words = f"is `{row.state.value}`, and its record says {event.outcome} of it"
                self.differ(f"action {event.action} {words}")
            return  # nothing more is recorded of it
        self.permits[space, event.action] = event
        if task is not None:
            task.open += 1

    def _end(self, space: str, event: ActionOutcome) -> None:
        decided = self.permits.pop((space, event.action), None)
        held = self.holds.pop((space, event.action), None)
        row = self.snapshot.actions.action(space, event.action)
        if held is not None:
            self.actions += 1
        if row is not None:
            for name, here, there in compared(row, held) if held is not None else ():
                if here != there:
                    self.differ(f"action {event.action} has another {name} than its record")
            state = row.state.value
            if event.after not in {state, "unknown"}:  # what was unknown is followed by itself
                self.differ(f"action {event.action} is `{state}`, and its record says `{event.after}`")
            if (row.released, row.answer_digest) != (event.released, event.answer):
                self.differ(f"action {event.action} has another answer or release than its record")
            if row.answer is not None and sha256(row.answer).hexdigest() != event.answer:
                self.differ(f"the answer of action {event.action} is not the one that its record names")
        task = self.tasks.get((space, event.task))
        if decided is None or task is None:
            return
        task.open -= 1
        counts = row is None or row.at > task.since
        if event.after in _GIVES_BACK and decided.scope == task.scope and counts:
            _add(task, decided.charges, sign=1)
        self._close(space, event.task)

    def _close(self, space: str, task: str) -> None:
        known = self.tasks[space, task]
        if known.state in _ENDED and known.open == 0:
            self._compare_task(space, task)
            del self.tasks[space, task]

    def _compare_task(self, space: str, task: str) -> None:
        known = self.tasks[space, task]
        row = self.snapshot.tasks.task(space, task)
        if row is not None and row.state.value != known.state:
            self.differ(f"task {task} is `{row.state.value}`, and its records say `{known.state}`")
        if row is not None and row.scope.digest != known.scope:
            self.differ(f"task {task} has another scope than its records leave it with")
        left = dict(self.snapshot.tasks.remainders(space, task))
        for limit in sorted(one for one in left.keys() | known.limits.keys() if "/rate/" not in one):
            here, there = left.get(limit), known.limits.get(limit)
            if here != there:
                self.differ(f"task {task} has {here} left of `{limit}`, and its records leave {there}")


def compare_rows(snapshot: Snapshot, progress: Callable[[int, int], None]) -> Comparison:
    """Compares rows with the log; calls `progress` with (records followed, records in all)."""
    ledger = _Ledger(snapshot)
    others = [make(snapshot) for make in _LEDGERS]
    total, done = snapshot.audit.count(), 0
    for page in _pages(snapshot):
        for raw in page:
            record = parse_record(raw)
            ledger.take(record)
            for one in others:
                one.take(record)
        done += len(page)
        progress(done, total)
    ledger.finish()
    for words in (words for one in others for words in one.differences()):
        ledger.differ(words)
    return Comparison(
        records=done,
        actions=ledger.actions,
        tasks=ledger.seen_tasks,
        found=ledger.found,
        differences=tuple(ledger.words),
    )


def _pages(snapshot: Snapshot) -> Iterator[tuple[bytes, ...]]:
    start, size = 0, snapshot.audit.size()
    while start < size:
        page = snapshot.audit.records(start, _PAGE)
        if not page:
            return
        yield page
        start += len(page)
    yield tuple(one.body for one in snapshot.audit.pending(snapshot.audit.count() - size + 1))


def _add(task: _Task, amounts: tuple[str, ...], *, sign: int) -> None:
    for one in amounts:
        limit, _, amount = one.rpartition("=")
        task.limits[limit] = task.limits.get(limit, 0) + sign * int(amount)
