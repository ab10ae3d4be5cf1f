"""Writing a renewal down in the transaction that permits it, before anybody tells the target (law 5, I-09).

1. A settled permit that names a credential by `renews` moves that one's row, and writes none of its own. What
   it may be is judged by the row under its lock (`core.target.renewing`), at the instant of the commit.
2. The row has the renewal with the number of its record, and is due at once. Until a broker told the target
   it ends when it did: a renewal that nobody brings to the target is worth nothing.
3. Rows are locked in the order of their names, as everything that moves several does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.audit.events.credential import CredentialProlonged
from taskbound.core.credential import NotRenewableError, Renewal, prolong_credential
from taskbound.core.target import Renewable, renewed_until
from taskbound.core.task import deadline_with

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.core.task import TaskHead
    from taskbound.flows.credential.journaling import Granted
    from taskbound.flows.means import Means
    from taskbound.ports.store import Snapshot, Transaction


_UNSETTLED: Final = frozenset({ActionState.PERMITTED, ActionState.SENT, ActionState.UNKNOWN})
"""Where nobody knows, or said, what came of an action."""


def see_renewable(
    reads: Snapshot | Transaction, namespace: str, names: Collection[str]
) -> tuple[Renewable, ...]:
    """Those of these ids that are there, as they stand; locked by nobody."""
    found = (reads.credentials.credential(namespace, one) for one in sorted(names))
    return tuple(_renewable(reads, row) for row in found if row is not None)


def lock_renewable(tx: Transaction, namespace: str, names: Collection[str]) -> tuple[Renewable, ...]:
    """The same, which nobody else changes until this transaction is over (rule 3)."""
    found = [tx.credentials.lock_credential(namespace, one) for one in sorted(names)]
    return tuple(_renewable(tx, row) for row in found if row is not None)


def _renewable(reads: Snapshot | Transaction, row: Credential) -> Renewable:
    before = row.renewal
    action = reads.actions.action(row.namespace, before.action) if before is not None else None
    return Renewable(row=row, unsettled=action is not None and action.state in _UNSETTLED)


def prolong_credentials(
    tx: Transaction, means: Means, some: Sequence[Granted], heads: Mapping[str, TaskHead], now: Instant
) -> None:
    """Write these down with their records (rules 1 and 2).

    Args:
        tx: The transaction of their permits.
        means: What the store's writer is called by.
        some: Permitted renewals of one namespace, each of another credential, whose rows are locked.
        heads: Their tasks with all ancestors, locked.
        now: The instant of the commit.

    Raises:
        NotRenewableError: One of them is not to be renewed: nothing of the transaction may stand.
    """
    for one in some:
        space = one.action.namespace
        row = tx.credentials.lock_credential(space, one.life.renews)
        if row is None:
            raise NotRenewableError(f"`{one.id}` was permitted to renew what is not there")
        deadline = deadline_with(one.action.task, heads)
        ends = renewed_until(Renewable(row=row), one.action, one.life, now, deadline)  # 1
        event = CredentialProlonged(
            credential=row.id,
            target=row.target,
            of=row.kind,
            identity=row.identity,
            task=row.task,
            agent=row.agent,
            action=one.id,
            before=row.ends,
            ends=ends,
        )
        tx.audit.append(space, means.writer, [event], now)
        renewal = Renewal(action=one.id, ends=ends, record=tx.audit.last_number())  # 2
        tx.credentials.put_credential(prolong_credential(row, renewal, now), expect=row.version)
