"""The end of what lives in targets while what it rests on does not: looked for, after whatever took it.

1. The end of a task takes its credentials in its own transaction (`ending`). What else stops a task's
   authority (a person who left, the kill switch) is written where it is known, and what rests on it is looked
   for right after that, and again and again (law 10).
2. It is judged under the locks of a decision, in their order: kill switch, tasks. What lives again by
   then is left alone. A canary rests on no task, and ends with everything else when all is stopped.
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
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction

__all__ = ["end_stranded"]


def end_stranded(means: Means, namespace: str) -> int:
    """End what lives of tasks that may do nothing now; how many credentials that were."""
    with means.store.read() as snapshot:
        tasks = snapshot.credentials.living_tasks(namespace)
    return sum(means.store.write(partial(_end, means, namespace, task)) for task in tasks)  # 3


def _end(means: Means, namespace: str, task: str, tx: Transaction) -> int:
    now = means.clock.now()
    try:
        require_not_stopped(tx.revocation.lock_kill_switch(namespace))  # 2
        if task:
            require_live(task, tx.tasks.lock_heads(namespace, {task}), now)
    except DeniedError as error:
        events = end_credentials(tx, namespace, {task}, error.message, now)
    else:
        return 0
    if events:
        tx.audit.append(namespace, means.writer, events, now)
    return len(events)
