"""Changes a running task: its next step, or a narrower scope.

The requester or the agent's owner enters a step. An agent may not, as what it read in one step must not open
the next. Any person may narrow a task. Credentials minted before a step or amendment end, covered or not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.audit import TaskAmended, TaskStepped
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.task import (
    ENDED,
    Task,
    TaskEndedError,
    TaskEvent,
    TaskSyntaxError,
    move_task,
    require_live,
)
from taskbound.core.task.amendment import amend_task, enter_step, require_in_charge, step_name
from taskbound.core.task.spent import spent_words
from taskbound.flows.approval import end_of_tasks
from taskbound.flows.credential import end_credentials
from taskbound.flows.task.cascade import changed_record, lock_beneath_parent, lock_tree, moved, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.scope import Scope
    from taskbound.core.task.amendment import Amendment
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Adapters, TaskChange
    from taskbound.ports.store import Transaction


Left: TypeAlias = "Mapping[str, Mapping[str, int]]"
"""By task: what each of its limits has left."""


class ScopeChangedError(DeniedError):
    """The task's scope has changed since it was read."""

    code = "scope-changed"
    remedy = "look at it again"


class Changes:
    """Steps and amendments; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
        self._views = views

    def step(self, namespace: str, task: str, name: str, actor: Actor) -> Task:
        def work(tx: Transaction) -> Task:
            before, *beneath = lock_tree(tx, namespace, task)
            now = self._adapters.clock.now()
            require_live(task, tx.tasks.lock_heads(namespace, {task}), now)
            agent = tx.identities.agent(namespace, before.agent)
            require_in_charge(before, agent.owner if agent else "", actor.name)
            after = enter_step(before, name, now)
            tx.tasks.put_task(after, expect=before.version)
            event = TaskStepped(
                task=task,
                step=after.step,
                name=step_name(after),
                by=actor.name,
                proof=actor.proof,
                learning=after.learning,
            )
            tree = {task, *(one.id for one in beneath)}
            over = end_credentials(tx, namespace, tree, "its task is in another step", now)
            tx.audit.append(namespace, self._adapters.writer, [event, *over], now)
            return after

        after = self._adapters.store.write(work)
        self._views.forget_task(namespace, task)
        return after

    def amend(
        self, namespace: str, task: str, scope: Scope, actor: Actor, *, seen: str = ""
    ) -> list[TaskChange]:
        """Returns tasks ended beneath it; `seen` is the digest of the scope it was based on, '' for any."""
        ended = self._adapters.store.write(lambda tx: self._amend(tx, namespace, task, scope, actor, seen))
        self._views.forget()
        return ended

    def _amend(
        self, tx: Transaction, namespace: str, task: str, scope: Scope, actor: Actor, seen: str
    ) -> list[TaskChange]:
        above, tree = lock_beneath_parent(tx, namespace, task)
        require_other(tree[0], scope, seen)
        left = lock_left(tx, above, tree)
        now = self._adapters.clock.now()
        after = amend_task(tree, above, left, scope, now)
        work = Amended(tree=tree, above=above, left=left, after=after)
        ended, events = write_amended(tx, work, actor, now)
        tx.audit.append(namespace, self._adapters.writer, events, now)
        return ended


def require_other(task: Task, scope: Scope, seen: str) -> None:
    if task.state in ENDED:
        raise TaskEndedError(f"task `{task.id}` has ended ({task.state.value})")
    if seen and seen != task.scope.digest:
        raise ScopeChangedError(f"task `{task.id}` has another scope by now")
    if scope == task.scope:
        raise TaskSyntaxError(f"task `{task.id}` has this scope", where="scope")


def lock_left(tx: Transaction, above: Task | None, tree: Sequence[Task]) -> Left:
    """Locks and returns what the parent and the tasks of a locked tree have left."""
    names = {one.id for one in tree} | ({above.id} if above else set())
    return tx.tasks.lock_remainders(tree[0].namespace, names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amended:
    """An amendment computed from locked rows, with those rows."""

    tree: Sequence[Task]
    above: Task | None
    left: Left
    after: Amendment
    by_approval: str = ""
    """The amendment that people approved; empty for a narrowing."""


def write_amended(
    tx: Transaction, work: Amended, actor: Actor, now: Instant
) -> tuple[list[TaskChange], list[Event]]:
    """Writes the amendment; returns tasks ended beneath it, and the events to record."""
    task, after, above = work.tree[0].id, work.after, work.above
    namespace = work.tree[0].namespace
    before = {one.id: one for one in work.tree}
    ended, events = _end_children(tx, after, before, task, actor, now)
    for one in work.tree:
        kept = after.tasks.get(one.id)
        if kept is not None and kept != one:
            tx.tasks.put_task(kept, expect=one.version)
    if not work.by_approval:
        events += end_credentials(tx, namespace, after.amended, "what its task may do was narrowed", now)
    _write_left(tx, namespace, after, work.left)
    parent: Mapping[str, int] = {}
    if above is not None:
        parent = {
            limit: amount
            for limit, amount in after.left[above.id].items()
            if amount != work.left[above.id][limit]
        }
        if parent:
            tx.tasks.put_task(replace(above, version=above.version + 1), expect=above.version)
    for name in after.amended:
        why = "" if name == task else f"its ancestor {task} was amended"
        events.append(
            TaskAmended(
                task=name,
                before=before[name].scope.digest,
                scope=after.tasks[name].scope.digest,
                version=after.tasks[name].scope_version,
                left=words(after.left[name]),
                reason=why,
                by=actor.name,
                proof=actor.proof,
                above=words(parent) if name == task else (),
                learning=before[name].learning,
                amendment=work.by_approval if name == task else "",
                over=words(dict(after.tasks[name].over)),
                spent=spent_words(after.tasks[name].spent),
            )
        )
    return ended, events


def _end_children(
    tx: Transaction, after: Amendment, before: dict[str, Task], task: str, actor: Actor, now: Instant
) -> tuple[list[TaskChange], list[Event]]:
    ended: list[TaskChange] = []
    events: list[Event] = []
    why = f"its ancestor {task} was amended, and does not cover it"
    for name in after.ended:
        one = before[name]
        gone = move_task(one, TaskEvent.REVOKE)
        tx.tasks.put_task(gone, expect=one.version)
        tx.tasks.drop_heartbeat(one.namespace, one.id)
        events.append(changed_record(one, gone, TaskEvent.REVOKE, actor, why))
        ended.append(moved(one, gone.state, why))
    space = before[task].namespace
    events += end_of_tasks(tx, space, after.ended, reason="its task has ended", by=actor, now=now)
    events += end_credentials(tx, space, after.ended, "its task has ended", now)
    return ended, events


def _write_left(tx: Transaction, namespace: str, after: Amendment, left: Left) -> None:
    changes: dict[tuple[str, str], tuple[int, int]] = {}
    for task, limits in after.left.items():
        if task in after.amended:
            tx.tasks.close_limits(namespace, task)
            tx.tasks.open_limits(namespace, task, limits)
        elif task not in after.ended:
            changes.update(
                {
                    (task, name): (left[task][name], value)
                    for name, value in limits.items()
                    if value != left[task][name]
                }
            )
    if changes:
        tx.tasks.set_remainders(namespace, changes)
