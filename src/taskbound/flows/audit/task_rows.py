"""Compares acts, amendments, approvals and templates with the log.

- The acts of a task tree are compared once its root has ended and nothing is open or unknown. PostgreSQL
  numbers a transaction before it waits for the act, so of concurrent attempts any outcome may be the last.
- A row that was `consumed` and is not now would allow a second use.
- Not compared: answers (verified whenever they count), and a template's purpose, which no record holds.
"""

from __future__ import annotations

from dataclasses import field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.approval import ApprovalState
from taskbound.core.approval.amendment import AmendmentState
from taskbound.core.audit import (
    ActionDecided,
    ActionOutcome,
    ApprovalAsked,
    ApprovalChanged,
    TaskAmended,
    TaskChanged,
    TaskStarted,
    TemplateRemoved,
    TemplateSaved,
)
from taskbound.core.audit.events import AmendmentAnswered, AmendmentAsked, AmendmentChanged
from taskbound.core.audit.events.approval import PlanAsked, PlanChanged
from taskbound.core.audit.events.work import ActionReconciled
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import ActHistory
from taskbound.core.task import ENDED
from taskbound.core.task.spent import spent_words
from taskbound.flows.audit.compared import RecordedRows
from taskbound.flows.task.cascade import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.core.task import Template
    from taskbound.flows.audit.compared import Fields
    from taskbound.ports.store import Snapshot
    from taskbound.ports.task import StoredAmendment


_PAGE: Final = 500
_ENDED: Final = frozenset(one.value for one in ENDED)
_UNKNOWN: Final = ActionState.UNKNOWN.value
_HISTORY: Final = frozenset({"succeeded", "failed", _UNKNOWN})
"""Outcomes that an act is said to have ended with; any other leaves it as it was."""


@dataclass(slots=True)
class _Tree:
    tasks: list[str] = field(default_factory=list)
    acts: dict[str, ActHistory] = field(default_factory=dict)
    open: dict[str, str] = field(default_factory=dict)
    """The act of each action whose outcome is still to come, or unknown."""
    unknown: set[str] = field(default_factory=set)
    outcomes: dict[str, set[str]] = field(default_factory=dict)
    """Of each act, the outcomes since it was permitted last."""
    ended: bool = False


@dataclass(slots=True)
class ActLedger:
    """Acts as the log leaves them."""

    snapshot: Snapshot
    roots: dict[tuple[str, str], str] = field(default_factory=dict)
    """Of each task of a tree that is followed."""
    trees: dict[tuple[str, str], _Tree] = field(default_factory=dict)
    spaces: set[str] = field(default_factory=set)
    words: list[str] = field(default_factory=list)

    def take(self, record: Record) -> None:
        space = record.namespace
        self.spaces.add(space)
        match record.event:
            case TaskStarted(task=task, parent=parent):
                root = self.roots.get((space, parent), task)
                self.roots[space, task] = root
                self.trees.setdefault((space, root), _Tree()).tasks.append(task)
            case TaskChanged(task=task, after=after) if (space, task) in self.trees and after in _ENDED:
                self.trees[space, task].ended = True
                self._close(space, task)
            case ActionDecided(decision="permit", task=task) as event if (space, task) in self.roots:
                self._permit(self.trees[space, self.roots[space, task]], event, record.at)
            case (ActionOutcome(task=task) | ActionReconciled(task=task)) as event if (
                space,
                task,
            ) in self.roots:
                root = self.roots[space, task]
                self._end(self.trees[space, root], event)
                self._close(space, root)
            case _:
                pass

    def _permit(self, tree: _Tree, event: ActionDecided, at: int) -> None:
        before = tree.acts.get(event.act_key)
        tree.outcomes[event.act_key] = set()
        if before is None or event.attempt > before.attempts:
            tree.acts[event.act_key] = replace(
                before or ActHistory(), attempts=event.attempt, last_action=event.action, last_at=Instant(at)
            )
        if not event.outcome:
            tree.open[event.action] = event.act_key

    def _end(self, tree: _Tree, event: ActionOutcome | ActionReconciled) -> None:
        key = tree.open.get(event.action)
        if key is None:
            return  # it was held, and never permitted
        act = tree.acts[key]
        if isinstance(event, ActionOutcome):
            if event.after in _HISTORY:
                tree.acts[key] = replace(act, last_outcome=event.after)
                tree.outcomes[key].add(event.after)
            if event.after == _UNKNOWN:
                tree.unknown.add(event.action)
                return
        del tree.open[event.action]
        tree.unknown.discard(event.action)
        if isinstance(event, ActionReconciled):
            others = any(tree.open[one] == key for one in tree.unknown)
            outcome = event.after.removeprefix("reconciled-")
            tree.outcomes[key] = set()
            tree.acts[key] = act.reconciled(outcome, still_unknown=others)

    def _close(self, space: str, root: str) -> None:
        tree = self.trees[space, root]
        if tree.ended and not tree.open:
            self._compare(space, root, tree)
            for task in tree.tasks:
                del self.roots[space, task]
            del self.trees[space, root]

    def differences(self) -> Iterator[str]:
        for (space, root), tree in self.trees.items():
            self._compare(space, root, tree)
        yield from self.words
        for space in sorted(self.spaces | set(self.snapshot.actions.namespaces())):
            yield from self._invented(space)

    def _compare(self, space: str, root: str, tree: _Tree) -> None:
        for key, told in tree.acts.items():
            row = self.snapshot.actions.act(space, root, key)
            for what, here, there in (
                ("number of attempts", row.attempts, told.attempts),
                (
                    "outcome",
                    {row.last_outcome},
                    {row.last_outcome} & tree.outcomes[key] or {told.last_outcome},
                ),
                ("last attempt", (row.last_action, row.last_at), (told.last_action, told.last_at)),
            ):
                if here != there:
                    self.words.append(
                        f"act {key} of task {root} has another {what} than its records leave it with"
                    )

    def _invented(self, space: str) -> Iterator[str]:
        after = ("", "")
        while page := self.snapshot.actions.acts(space, limit=_PAGE, after=after):
            for root, key in page:
                tree = self.trees.get((space, root))
                task = self.snapshot.tasks.task(space, root) if tree is None else None
                over = task is not None and task.state in ENDED
                if not over and (tree is None or key not in tree.acts):
                    yield f"act {key} of task {root} is there, and no record permitted it"
            after = page[-1]


@dataclass(slots=True)
class _Recorded:
    asked: AmendmentAsked
    state: str = AmendmentState.PENDING.value
    answers: set[tuple[str, str, str]] = field(default_factory=set)
    """(person, answer, SHA-256 of what was signed)."""
    given: bool = False
    """Whether a record gives its task the scope."""


@dataclass(slots=True)
class AmendmentLedger:
    """Amendments as the log leaves them."""

    snapshot: Snapshot
    told: dict[tuple[str, str], _Recorded] = field(default_factory=dict)
    spaces: set[str] = field(default_factory=set)
    kept: dict[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    """By task: what its last amendment says its limits were given, and what was spent until then."""

    def take(self, record: Record) -> None:
        space, event = record.namespace, record.event
        self.spaces.add(space)
        if isinstance(event, AmendmentAsked):
            self.told[space, event.amendment] = _Recorded(event)
            return
        if isinstance(event, TaskAmended):
            self.kept[space, event.task] = (event.over, event.spent)
        if isinstance(event, AmendmentChanged | AmendmentAnswered | TaskAmended):
            known = self.told.get((space, event.amendment))
            if known is None:
                return  # a narrowing has no amendment; what was never asked has no row that agrees
            match event:
                case AmendmentChanged():
                    known.state = event.after
                case AmendmentAnswered():
                    known.answers.add((event.person, event.answer, event.statement))
                case TaskAmended():
                    known.given = (event.task, event.scope) == (known.asked.task, known.asked.after)

    def differences(self) -> Iterator[str]:
        for (space, name), told in sorted(self.told.items(), key=lambda pair: pair[0]):
            row = self.snapshot.amendments.amendment(space, name)
            if row is None:
                yield f"amendment {name} was asked for, and is not there"
            else:
                yield from _compare(row, told)
        for (space, name), (over, spent) in sorted(self.kept.items()):
            task = self.snapshot.tasks.task(space, name)
            if task is None:
                continue  # that is told of the task
            if words(dict(task.over)) != over:
                yield f"task {name} was given other amounts of its limits than its records say"
            if spent_words(task.spent) != spent:
                yield f"task {name} has spent another amount before its amendment than its records say"
        for space in sorted(self.spaces):
            for one in self._rows(space):
                if (space, one.question.id) not in self.told:
                    yield f"amendment {one.question.id} is there, and no record asked for it"

    def _rows(self, space: str) -> Iterator[StoredAmendment]:
        before = ""
        while page := self.snapshot.amendments.amendments(space, limit=_PAGE, before=before):
            yield from page
            before = page[-1].question.id


def _compare(row: StoredAmendment, told: _Recorded) -> Iterator[str]:
    name = row.question.id
    if row.question.digest != told.asked.digest:
        yield f"amendment {name} is not what was asked for"
    if row.state.value != told.state:
        yield f"amendment {name} is `{row.state.value}`, and its records say `{told.state}`"
    here = {(one.person, one.kind.value, sha256(one.statement).hexdigest()) for one in row.answers}
    if here != told.answers:
        yield f"amendment {name} has other answers than its records"
    if told.given is not (told.state == AmendmentState.APPLIED.value):
        yield f"amendment {name} is `{told.state}` by its records, and its task's records say otherwise"


_PENDING: Final = ApprovalState.PENDING.value


@dataclass(slots=True)
class ApprovalLedger:
    """Approvals and plans as the log leaves them."""

    snapshot: Snapshot
    approvals: RecordedRows = field(default_factory=lambda: RecordedRows("approval", "asked for"))
    plans: RecordedRows = field(default_factory=lambda: RecordedRows("plan", "asked for"))
    spaces: set[str] = field(default_factory=set)

    def take(self, record: Record) -> None:
        space = record.namespace
        self.spaces.add(space)
        match record.event:
            case ApprovalAsked() as event:
                self.approvals.put(space, event.approval, question=event.digest, state=_PENDING)
            case ApprovalChanged() as event:
                self.approvals.change(space, event.approval, state=event.after)
            case PlanAsked() as event:
                self.plans.put(space, event.plan, question=event.digest, state=_PENDING, use=0)
            case PlanChanged() as event:
                self.plans.change(space, event.plan, state=event.after, use=event.used)
            case _:
                pass

    def differences(self) -> Iterator[str]:
        for space in sorted(self.spaces | set(self.snapshot.actions.namespaces())):
            yield from self.approvals.against(space, dict(self._rows(space)))
            plans = {name: self._plan(space, name) for where, name in self.plans.rows if where == space}
            yield from self.plans.against(space, {name: one for name, one in plans.items() if one})

    def _rows(self, space: str) -> Iterator[tuple[str, Fields]]:
        before = ""
        while page := self.snapshot.approvals.approvals(space, limit=_PAGE, before=before):
            for one in page:
                yield one.question.id, {"question": one.question.digest, "state": one.state.value}
            before = page[-1].question.id

    def _plan(self, space: str, name: str) -> Fields:
        row = self.snapshot.approvals.plan(space, name)
        if row is None:
            return {}
        return {"question": row.plan.digest, "state": row.state.value, "use": row.used}


@dataclass(slots=True)
class TemplateLedger:
    """Templates as the log leaves them."""

    snapshot: Snapshot
    told: dict[tuple[str, str], TemplateSaved] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        match record.event:
            case TemplateSaved() as event:
                self.told[record.namespace, event.template] = event
            case TemplateRemoved() as event:
                self.told.pop((record.namespace, event.template), None)
            case _:
                pass

    def differences(self) -> Iterator[str]:
        spaces = {space for space, _ in self.told} | set(self.snapshot.identities.namespaces())
        for space in sorted(spaces):
            rows = {one.name: one for one in self.snapshot.tasks.templates(space)}
            told = {name: one for (where, name), one in self.told.items() if where == space}
            for name in sorted(rows.keys() | told.keys()):
                if name not in rows:
                    yield f"template {name} was saved, and is not there"
                elif name not in told:
                    yield f"template {name} is there, and no record saved it"
                elif _now(rows[name]) != _then(told[name]):
                    yield f"template {name} is not as its last record leaves it"


def _now(row: Template) -> tuple[object, ...]:
    return (row.scope.digest, row.seconds, row.heartbeat, row.grace, row.holds.value)


def _then(told: TemplateSaved) -> tuple[object, ...]:
    return (told.scope, told.seconds, told.heartbeat, told.grace, told.holds)
