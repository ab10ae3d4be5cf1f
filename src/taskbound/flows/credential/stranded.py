"""The end of what lives in targets while what it rests on does not: looked for, after whatever took it.

1. The end of a task takes its credentials in its own transaction (`ending`). What else stops a task's
   authority (a person who left, the kill switch) is written where it is known, and what rests on it is looked
   for right after that, and again and again (law 10).
2. What is seen to rest on nothing is judged again under the locks of a decision, in their order: kill switch,
   tasks. What lives again by then is left alone, and where nothing is seen nothing is locked. A canary rests
   on no task, and ends with everything else when all is stopped.
3. Each task is a transaction of its own: one that can't be written keeps no other waiting.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from taskbound.core.errors import DeniedError
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import require_live
from taskbound.flows.credential.ending import end_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.task import TaskHead
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


def end_stranded(means: Means, namespace: str) -> int:
    """End what lives of tasks that may do nothing now; how many credentials that were."""
    return sum(end_one_stranded(means, namespace, task) for task in find_stranded(means, namespace))


def find_stranded(means: Means, namespace: str) -> tuple[str, ...]:
    """Tasks with credentials that live and that may do nothing now; nothing is written or locked."""
    with means.store.read() as snapshot:
        tasks = snapshot.credentials.living_tasks(namespace)
        switch = snapshot.revocation.kill_switch(namespace)
        heads = snapshot.tasks.heads(namespace, {*tasks} - {""})
    now = means.clock.now()
    return tuple(task for task in tasks if _what_stops(switch, task, heads, now))


def end_one_stranded(means: Means, namespace: str, task: str) -> int:
    """End what lives of this task, if it may do nothing still (rules 2 and 3); how many that were."""
    return means.store.write(partial(_end, means, namespace, task))


def _end(means: Means, namespace: str, task: str, tx: Transaction) -> int:
    now = means.clock.now()
    switch = tx.revocation.lock_kill_switch(namespace)  # 2
    heads = tx.tasks.lock_heads(namespace, {task} - {""})
    why = _what_stops(switch, task, heads, now)
    if not why:
        return 0
    events = end_credentials(tx, namespace, {task}, why, now)
    if events:
        tx.audit.append(namespace, means.writer, events, now)
    return len(events)


def _what_stops(switch: KillSwitch, task: str, heads: Mapping[str, TaskHead], now: Instant) -> str:
    """What is in the way of this task, in words; empty where nothing is."""
    try:
        require_not_stopped(switch)
        if task:
            require_live(task, heads, now)
    except DeniedError as error:
        return error.message
    return ""
