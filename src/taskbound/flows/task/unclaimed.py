"""Tasks that are begun for somebody who gets something of it in a later step (`core.task.unclaimed`).

1. The note is in the transaction that starts the task, and goes in the one that lets somebody in to it.
2. Who claims a task and who ends it take the same lock: who comes first wins. What has ended can't be
   claimed.
3. It ends like every task, with all beneath it and a record; the daemon's own act, which any daemon does.
4. A note of what ended in another way is forgotten when its time has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.task import ENDED, TaskEvent, require_live
from taskbound.core.task.unclaimed import leave_unclaimed
from taskbound.flows.means import Actor
from taskbound.flows.task.cascade import end_tree, lock_tree

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.task import Task
    from taskbound.core.task.unclaimed import Unclaimed
    from taskbound.flows.means import Means, Moved
    from taskbound.ports.store import Transaction


_WHY: Final = "nobody was let in to it within a minute"


def note_unclaimed(tx: Transaction, task: Task, now: Instant, *, unclaimed: bool) -> None:
    """Note a task that starts, where it starts for somebody who has nothing of it yet (rule 1)."""
    if unclaimed:
        tx.unclaimed.put(leave_unclaimed(task, now))


def claim(tx: Transaction, namespace: str, task: str, now: Instant) -> None:
    """Let somebody in to a task that gives authority now (rule 2).

    Raises:
        DeniedError: It doesn't, or has ended.
    """
    require_live(task, tx.tasks.lock_heads(namespace, {task}), now)
    tx.unclaimed.drop(namespace, task)


def claim_task(means: Means, namespace: str, task: str) -> None:
    """The same, in a transaction of its own."""
    means.store.write(lambda tx: claim(tx, namespace, task, means.clock.now()))


def end_unclaimed(tx: Transaction, seen: Unclaimed, *, writer: str, now: Instant) -> list[Moved]:
    """End the task of a note whose time has come, and forget the note (rules 2 to 4); what changed."""
    tree = lock_tree(tx, seen.namespace, seen.task)
    if tx.unclaimed.note(seen.namespace, seen.task) is None:
        return []
    tx.unclaimed.drop(seen.namespace, seen.task)
    if tree[0].state in ENDED:
        return []
    actor = Actor(name="daemon", proof="own process")
    ended = end_tree(tx, tree, TaskEvent.CANCEL, actor, now=now, reason=_WHY)
    tx.audit.append(seen.namespace, writer, ended.events, now)
    return ended.moved
