"""Comparing acts with the log: how often each was permitted, which attempt was the last, and how it ended.

1. What policy holds of a retry rests on this: an act that is said to have failed may be tried again.
2. The acts of a tree of tasks are compared, and forgotten, once its root has ended and nothing of it is open
   or unknown: from then on nothing of it is permitted.
3. Records of two daemons are read in the order of their numbers, and PostgreSQL numbers a transaction before
   it waits for the act. So the highest attempt is the last one, and of the outcomes of attempts that were
   open at once each may have been the last.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.audit import ActionDecided, ActionOutcome, TaskChanged, TaskStarted
from taskbound.core.audit.events.work import ActionReconciled
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import ActHistory
from taskbound.core.task import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.ports.store import Snapshot


_PAGE: Final = 500
_ENDED: Final = frozenset(one.value for one in ENDED)
_UNKNOWN: Final = ActionState.UNKNOWN.value
_HISTORY: Final = frozenset({"succeeded", "failed", _UNKNOWN})
"""Outcomes that an act is said to have ended with; any other leaves it as it was."""


@dataclass(slots=True)
class _Tree:
    """A task with all beneath it."""

    tasks: list[str] = field(default_factory=list)
    acts: dict[str, ActHistory] = field(default_factory=dict)
    open: dict[str, str] = field(default_factory=dict)
    """The act of each action whose outcome is still to come, or unknown."""
    unknown: set[str] = field(default_factory=set)
    outcomes: dict[str, set[str]] = field(default_factory=dict)
    """Of each act, the outcomes since it was permitted last (rule 3)."""
    ended: bool = False


@dataclass(slots=True)
class ActLedger:
    """What the log says of acts."""

    snapshot: Snapshot
    roots: dict[tuple[str, str], str] = field(default_factory=dict)
    """Of each task of a tree that is followed."""
    trees: dict[tuple[str, str], _Tree] = field(default_factory=dict)
    spaces: set[str] = field(default_factory=set)
    words: list[str] = field(default_factory=list)

    def take(self, record: Record) -> None:
        """Follow one record."""
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
        if before is None or event.attempt > before.attempts:  # 3
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
        """Where the rows differ, in words."""
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
        """Acts that no record permitted, of trees in which something may still be permitted (rule 2)."""
        after = ("", "")
        while page := self.snapshot.actions.acts(space, limit=_PAGE, after=after):
            for root, key in page:
                tree = self.trees.get((space, root))
                task = self.snapshot.tasks.task(space, root) if tree is None else None
                over = task is not None and task.state in ENDED
                if not over and (tree is None or key not in tree.acts):
                    yield f"act {key} of task {root} is there, and no record permitted it"
            after = page[-1]
