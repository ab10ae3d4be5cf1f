"""Writes a credential or a renewal with the decision that permits it, and each later step.

Of `journaling`:

1. Each settled permit of a tool `TARGET__credential/KIND` has one row: named after its action, *journaled*,
   due at once; but of a renewal, which moves one (`prolonging`). What is not settled, not permitted or
   presented again has none, and no row is written without its permit.
2. It ends when it was asked to, when its kind does, or with the first deadline of its task and that one's
   ancestors: as they stand locked, at the instant of the commit (I-03).
3. The row has the number of its own record, which is appended in the same transaction behind the decisions.
   In a group each has its own.
4. The secret is sealed to whoever presented the call that was given the permit. People who lift a hold, who
   narrow it or who approve a plan of such calls sign what is minted, for which task, and what it may do. They
   do not sign the recipient: a key that was made for one request says nothing to a reader, a permit is its
   connection's alone, and nobody but who holds that is given what was sealed. Who asks again after a lost
   connection makes another key, and what people signed counts for that call too.
5. Credentials are locked last of all (`flows.decision.group`); a new row waits for nobody's.

Of `prolonging`:

1. A settled permit that names a credential by `renews` moves that one's row, and writes none of its own. What
   it may be is judged by the row under its lock (`core.target.renewing`), at the instant of the commit.
2. The row has the renewal with the number of its record, and is due at once. Until a broker told the target
   it ends when it did: a renewal that nobody brings to the target is worth nothing.
3. Rows are locked in the order of their names, as everything that moves several does.

Of `moving`:

1. A row is locked, moved by a rule of `core.credential`, written over the version that it was made of, and
   its record is written in the same transaction. What is refused changes nothing.
2. A move that only counts attempts, or changes nothing that anybody could see, leaves no record.
3. A canary is its target's: whether a preflight is over with its move is seen, and written, with the move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.audit.events.work import CredentialJournaled, CredentialProlonged
from taskbound.core.credential import (
    Credential,
    CredentialState,
    NoRecipientError,
    NotRenewableError,
    Renewal,
    credential_of,
    end_of,
    prolong_credential,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Permit
from taskbound.core.target import Renewable, renewed_until
from taskbound.core.task import deadline_with
from taskbound.core.tool import credential_kind
from taskbound.core.tool.name import shown
from taskbound.flows.credential.ending import moved_event
from taskbound.flows.credential.errors import UnknownCredentialError
from taskbound.flows.target.testing import note_canary

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.action import Action
    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.credential import CredentialEvent
    from taskbound.core.decision import Settled
    from taskbound.core.target import Life
    from taskbound.core.task import TaskHead
    from taskbound.flows.means import Means
    from taskbound.ports.store import Snapshot, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """One permitted action that asks for a credential, or for a longer life of one (`prolonging`)."""

    id: str
    """The action's id: the held one's, where a hold was lifted."""
    action: Action
    target: str
    kind: str
    life: Life
    recipient: str
    """Empty of a renewal: nothing is sealed."""


def granted(settled: Settled, action: str, recipient: str | None) -> tuple[Granted, ...]:
    """The credential that is written down or renewed with this decision; none where it is no permit of one.

    Args:
        settled: The decision.
        action: The id of the action that was settled.
        recipient: Of the call that is given the permit (rule 4).

    Raises:
        NoRecipientError: It was evaluated for nobody; nothing may be permitted by that.
    """
    if not isinstance(settled.decision, Permit):
        return ()  # 1
    proposal = settled.proposal
    named = credential_kind(proposal.action.tool)
    if named is None:
        return ()
    life = proposal.life
    if life is None or not (recipient or life.renews):
        raise NoRecipientError(f"`{action}` was permitted for nobody who could get what is minted")
    target, kind = named
    whole = Granted(
        id=action, action=proposal.action, target=target, kind=kind, life=life, recipient=recipient or ""
    )
    return (whole,)


def journal_credentials(
    tx: Transaction, means: Means, some: Sequence[Granted], heads: Mapping[str, TaskHead], now: Instant
) -> None:
    """Write these down with their records (rules 1 to 3).

    Args:
        tx: The transaction of their permits.
        means: What the store's writer is called by.
        some: At least one, all of one namespace.
        heads: Their tasks with all ancestors, locked.
        now: The instant of the commit.
    """
    rows: list[Credential] = []
    for one in some:
        ends = end_of(one.life.asked, one.life.most, now, deadline_with(one.action.task, heads))  # 2
        tx.audit.append(one.action.namespace, means.writer, [_event(one, ends)], now)
        rows.append(_row(one, ends, tx.audit.last_number(), now))  # 3
    tx.credentials.insert_credentials(rows)  # 5


def _row(one: Granted, ends: Instant, record: int, now: Instant) -> Credential:
    action = one.action
    return Credential(
        namespace=action.namespace,
        id=credential_of(one.id),
        target=one.target,
        kind=one.kind,
        identity=action.server,
        task=action.task,
        agent=action.agent,
        action=one.id,
        arguments=action.arguments,
        recipient=one.recipient,
        state=CredentialState.JOURNALED,
        made=now,
        ends=ends,
        due=now,
        record=record,
    )


def _event(one: Granted, ends: Instant) -> CredentialJournaled:
    return CredentialJournaled(
        credential=credential_of(one.id),
        target=one.target,
        of=one.kind,
        identity=one.action.server,
        task=one.action.task,
        agent=one.action.agent,
        action=one.id,
        ends=ends,
        recipient=one.recipient,
    )


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


def lock(tx: Transaction, namespace: str, credential: str) -> Credential:
    """The credential, which nobody else changes until this transaction is over.

    Raises:
        UnknownCredentialError: There is none.
    """
    found = tx.credentials.lock_credential(namespace, credential)
    if found is None:
        raise UnknownCredentialError(f"no credential is named `{shown(credential)}`")
    return found


class Moves:
    """The moves of one transaction (rule 1)."""

    def __init__(self, means: Means, tx: Transaction, namespace: str, now: Instant) -> None:
        """Begin with none."""
        self._means, self._tx, self._namespace = means, tx, namespace
        self.now = now
        self._events: list[Event] = []

    def put(
        self,
        before: Credential,
        after: Credential,
        event: CredentialEvent,
        *,
        cut: int = 0,
        notes: Sequence[str] = (),
    ) -> Credential:
        """Write this row over the one that it was made of, with its record; the row."""
        self._events.append(moved_event(before, after, event, cut=cut, notes=tuple(notes)))
        return self.keep(before, after)

    def keep(self, before: Credential, after: Credential) -> Credential:
        """Write this row over the one that it was made of, without a record (rule 2); the row."""
        self._tx.credentials.put_credential(after, expect=before.version)
        self._events += note_canary(self._tx, self._means, after, self.now)  # 3
        return after

    def note(self, event: Event) -> None:
        """Have this recorded beside them."""
        self._events.append(event)

    def record(self) -> None:
        """Write the records, where there are some; the last thing of the transaction."""
        if self._events:
            self._tx.audit.append(self._namespace, self._means.writer, self._events, self.now)
