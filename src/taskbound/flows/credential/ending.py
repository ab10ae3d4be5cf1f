"""Ends credentials with their task and with what they rest on.

Of `ending`:

1. Whatever takes authority from a task takes its credentials too, and those of all beneath it: its end, a
   pause, another step or scope, the stop of its agent or of everything. What is needed again is asked for
   again, and is a decision of its own.
2. Nobody is waited for: the rows say what is to be revoked, and are due at once.

Of `stranded`:

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

from taskbound.core.audit.events.work import CredentialMoved
from taskbound.core.credential import CredentialEvent, CredentialState, end_credential
from taskbound.core.errors import DeniedError
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import require_live

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.task import TaskHead
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


def end_credentials(
    tx: Transaction, namespace: str, tasks: Collection[str], why: str, now: Instant
) -> list[Event]:
    """End what these tasks have that lives; the records of it, which whoever calls writes.

    The tasks are locked by whoever calls: nothing is journaled for them meanwhile.
    """
    events: list[Event] = []
    for row in tx.credentials.lock_living(namespace, tasks) if tasks else ():
        after = end_credential(row, why, now)
        tx.credentials.put_credential(after, expect=row.version)
        events.append(moved_event(row, after, CredentialEvent.END))
    return events


def moved_event(
    before: Credential,
    after: Credential,
    event: CredentialEvent,
    *,
    cut: int = 0,
    notes: tuple[str, ...] = (),
) -> CredentialMoved:
    """The record of a move."""
    lasts = after.state in {CredentialState.ACTIVE, CredentialState.UNSUPPORTED}
    return CredentialMoved(
        credential=after.id,
        target=after.target,
        task=after.task,
        before=before.state.value,
        after=after.state.value,
        event=event.value,
        why=after.why,
        until=after.ends if lasts else 0,
        cut=cut,
        notes=notes,
    )


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
