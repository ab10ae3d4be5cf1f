"""The end of what tasks have in targets, in the transaction of what ends or stops them (law 4).

1. Whatever takes authority from a task takes its credentials too, and those of all beneath it: its end, a
   pause, another step or scope, the stop of its agent or of everything. What is needed again is asked for
   again, and is a decision of its own.
2. Nobody is waited for: the rows say what is to be revoked, and are due at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit.events.credential import CredentialMoved
from taskbound.core.credential import CredentialEvent, CredentialState, end_credential

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
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
