"""The end of a task and of all beneath it, in one transaction, whoever asks for it.

1. The whole tree is locked from the task down: nothing is decided for it, and nothing begins beneath it,
   until the end stands.
2. What a child has not spent goes back to its parent (`core.task.child`), and stands in the record of its
   end.
3. Nothing is waited for any more.
4. What people were asked for any of it is withdrawn, and no approval of it can be used.
5. What any of it has in targets is over.
"""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import TaskChanged
from taskbound.core.dataclass import dataclass
from taskbound.core.task import ENDED, NoTaskError, Refunds, TaskEvent, move_task, refunds
from taskbound.flows.approval import end_of_tasks
from taskbound.flows.credential import end_credentials
from taskbound.flows.means import Moved
from taskbound.flows.task.start import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.task import Task, TaskState
    from taskbound.flows.means import Actor
    from taskbound.ports.store import Transaction


_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What ended, the first task last, and the records of it; both empty when it had ended before."""

    moved: list[Moved] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def lock_tree(tx: Transaction, namespace: str, task: str) -> tuple[Task, ...]:
    """The task and all that is not ended beneath it, under lock (rule 1).

    Raises:
        NoTaskError: It is not known.
    """
    tree = tx.tasks.lock_tree(namespace, task)
    if not tree:
        raise NoTaskError(f"no task is named `{task}`", remedy="list them with `taskbound task list`")
    return tree


def lock_beneath_parent(tx: Transaction, namespace: str, task: str) -> tuple[Task | None, tuple[Task, ...]]:
    """The parent of a task, and the task with all that is not ended beneath it, all under lock (rule 1).

    The parent is locked first, with all beneath it: a record of an amendment says what limits have left, and
    stands behind the records of all that was charged to them before. On PostgreSQL records are in the order
    in which transactions got their first lock.

    Raises:
        NoTaskError: It is not known.
    """
    seen = tx.tasks.task(namespace, task)
    if seen is None or not seen.parent:
        return None, lock_tree(tx, namespace, task)
    above, *beneath = lock_tree(tx, namespace, seen.parent)
    tree = {one.id: one for one in beneath if one.id == task}
    for one in beneath:  # nearest first
        if one.parent in tree:
            tree[one.id] = one
    return above, tuple(tree.values()) or lock_tree(tx, namespace, task)  # it has ended


def end_tree(  # noqa: PLR0913 - how a tree ends, each by its name
    tx: Transaction,
    tree: Sequence[Task],
    event: TaskEvent,
    actor: Actor,
    *,
    now: Instant,
    reason: str,
    beneath: str = "",
) -> Ended:
    """Write the end of a locked tree; whoever calls writes the records.

    Args:
        tx: The transaction.
        tree: As `lock_tree` gave it.
        event: How the first of it ends; the others are revoked.
        actor: Who ends it.
        now: When.
        reason: Why.
        beneath: Why the others end; because of the first, when it is empty.

    Raises:
        WrongStateError: It can't end like that.
    """
    first = tree[0]
    if first.state in ENDED:
        return Ended()
    back = _give_back(tx, tree)
    ended = Ended()
    below = beneath or f"its ancestor {first.id} ended"
    for one in reversed(tree):
        how, why = (event, reason) if one is first else (TaskEvent.REVOKE, below)
        after = move_task(one, how)
        tx.tasks.put_task(after, expect=one.version)
        if one.heartbeat:
            tx.tasks.drop_heartbeat(one.namespace, one.id)  # 3
        returned = back.returned.get(one.id, _NOTHING)
        ended.events.append(changed_record(one, after, how, actor, why, returned=returned))
        ended.moved.append(moved(one, after.state, why))
    names = {one.id for one in tree}
    withdrawn = end_of_tasks(tx, first.namespace, names, reason="its task has ended", by=actor, now=now)
    ended.events.extend(withdrawn)  # 4
    ended.events.extend(end_credentials(tx, first.namespace, names, "its task has ended", now))  # 5
    return ended


def _give_back(tx: Transaction, tree: Sequence[Task]) -> Refunds:
    """Move what ending tasks have not spent to their parents (rule 2)."""
    first = tree[0]
    if not first.parent and len(tree) == 1:
        return Refunds(left={}, returned={})
    above = tx.tasks.task(first.namespace, first.parent) if first.parent else None
    names = {one.id for one in tree} | ({above.id} if above else set())
    back = refunds(tree, above, tx.tasks.lock_remainders(first.namespace, names))
    tx.tasks.set_remainders(first.namespace, back.left)
    return back


def moved(task: Task, state: TaskState, reason: str) -> Moved:
    """What those who hold connections of the task are told."""
    return Moved(namespace=task.namespace, task=task.id, state=state, reason=reason)


def changed_record(
    before: Task,
    after: Task,
    event: TaskEvent,
    actor: Actor,
    reason: str,
    *,
    returned: Mapping[str, int] = _NOTHING,
) -> TaskChanged:
    """The record of a change of state."""
    return TaskChanged(
        task=before.id,
        before=before.state.value,
        after=after.state.value,
        event=event.value,
        reason=reason,
        by=actor.name,
        proof=actor.proof,
        learning=before.learning,
        returned=words(returned),
    )
