"""Ends credentials with their task and with what they rest on.

The end, pause, step or scope change of a task, or a stop, ends its credentials and those of its descendants.
A task's end takes its credentials in its own transaction. Other losses of authority are found right after
they are written, and periodically (law 10); a candidate is judged again under lock: kill switch, then tasks.
A canary has no task and ends when everything is stopped.
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
    from taskbound.flows.means import Adapters
    from taskbound.ports.store import Transaction


def end_credentials(
    tx: Transaction, namespace: str, tasks: Collection[str], why: str, now: Instant
) -> list[Event]:
    """Ends the live credentials of these tasks; the caller holds the tasks' locks and writes the events."""
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


def end_stranded(adapters: Adapters, namespace: str) -> int:
    return sum(end_one_stranded(adapters, namespace, task) for task in find_stranded(adapters, namespace))


def find_stranded(adapters: Adapters, namespace: str) -> tuple[str, ...]:
    """Returns tasks without authority that have live credentials; takes no locks."""
    with adapters.store.read() as snapshot:
        tasks = snapshot.credentials.living_tasks(namespace)
        switch = snapshot.revocation.kill_switch(namespace)
        heads = snapshot.tasks.heads(namespace, {*tasks} - {""})
    now = adapters.clock.now()
    return tuple(task for task in tasks if _what_stops(switch, task, heads, now))


def end_one_stranded(adapters: Adapters, namespace: str, task: str) -> int:
    return adapters.store.write(partial(_end, adapters, namespace, task))


def _end(adapters: Adapters, namespace: str, task: str, tx: Transaction) -> int:
    now = adapters.clock.now()
    switch = tx.revocation.lock_kill_switch(namespace)
    heads = tx.tasks.lock_heads(namespace, {task} - {""})
    why = _what_stops(switch, task, heads, now)
    if not why:
        return 0
    events = end_credentials(tx, namespace, {task}, why, now)
    if events:
        tx.audit.append(namespace, adapters.writer, events, now)
    return len(events)


def _what_stops(switch: KillSwitch, task: str, heads: Mapping[str, TaskHead], now: Instant) -> str:
    try:
        require_not_stopped(switch)
        if task:
            require_live(task, heads, now)
    except DeniedError as error:
        return error.message
    return ""
