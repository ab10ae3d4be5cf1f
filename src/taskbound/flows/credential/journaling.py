"""Journals a credential or renewal with its permit, and writes each later move.

- It ends at the earliest of the requested end, its kind's limit, and the deadlines of the task and its
  ancestors, as locked at the commit (I-03). Credentials are locked last (`flows.decision.group`).
- The secret is sealed to the recipient key of the call that got the permit. Approvers do not sign that key; a
  call repeated after a lost connection uses a new one.
- A renewed row is due at once and keeps its old end until a broker has extended it in the target.
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
    from taskbound.flows.means import Adapters
    from taskbound.ports.store import Snapshot, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A permitted action that mints or renews a credential."""

    id: str
    """The action's id: the held one's, where a hold was lifted."""
    action: Action
    target: str
    kind: str
    life: Life
    recipient: str
    """Empty of a renewal: nothing is sealed."""


def granted(settled: Settled, action: str, recipient: str | None) -> tuple[Granted, ...]:
    """Returns the credential to journal or renew by this decision; empty if it permits none."""
    if not isinstance(settled.decision, Permit):
        return ()
    proposal = settled.proposal
    named = credential_kind(proposal.action.tool)
    if named is None:
        return ()
    life = proposal.life
    if life is None or not (recipient or life.renews):
        raise NoRecipientError(f"`{action}` was permitted without a recipient for the minted secret")
    target, kind = named
    whole = Granted(
        id=action, action=proposal.action, target=target, kind=kind, life=life, recipient=recipient or ""
    )
    return (whole,)


def journal_credentials(
    tx: Transaction, adapters: Adapters, some: Sequence[Granted], heads: Mapping[str, TaskHead], now: Instant
) -> None:
    """Journals credentials of one namespace; `heads` are locked tasks with all ancestors."""
    rows: list[Credential] = []
    for one in some:
        ends = end_of(one.life.asked, one.life.most, now, deadline_with(one.action.task, heads))
        tx.audit.append(one.action.namespace, adapters.writer, [_event(one, ends)], now)
        rows.append(_row(one, ends, tx.audit.last_number(), now))
    tx.credentials.insert_credentials(rows)


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
"""The outcome of an action is unknown or not reported."""


def see_renewable(
    reads: Snapshot | Transaction, namespace: str, names: Collection[str]
) -> tuple[Renewable, ...]:
    """Returns the existing credentials of these ids without lock."""
    found = (reads.credentials.credential(namespace, one) for one in sorted(names))
    return tuple(_renewable(reads, row) for row in found if row is not None)


def lock_renewable(tx: Transaction, namespace: str, names: Collection[str]) -> tuple[Renewable, ...]:
    found = [tx.credentials.lock_credential(namespace, one) for one in sorted(names)]
    return tuple(_renewable(tx, row) for row in found if row is not None)


def _renewable(reads: Snapshot | Transaction, row: Credential) -> Renewable:
    before = row.renewal
    action = reads.actions.action(row.namespace, before.action) if before is not None else None
    return Renewable(row=row, unsettled=action is not None and action.state in _UNSETTLED)


def prolong_credentials(
    tx: Transaction, adapters: Adapters, some: Sequence[Granted], heads: Mapping[str, TaskHead], now: Instant
) -> None:
    """Writes renewals of locked credentials; after NotRenewableError the caller must roll back."""
    for one in some:
        space = one.action.namespace
        row = tx.credentials.lock_credential(space, one.life.renews)
        if row is None:
            raise NotRenewableError(f"`{one.id}` was permitted to renew what is not there")
        deadline = deadline_with(one.action.task, heads)
        ends = renewed_until(Renewable(row=row), one.action, one.life, now, deadline)
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
        tx.audit.append(space, adapters.writer, [event], now)
        renewal = Renewal(action=one.id, ends=ends, record=tx.audit.last_number())
        tx.credentials.put_credential(prolong_credential(row, renewal, now), expect=row.version)


def lock(tx: Transaction, namespace: str, credential: str) -> Credential:
    found = tx.credentials.lock_credential(namespace, credential)
    if found is None:
        raise UnknownCredentialError(f"no credential is named `{shown(credential)}`")
    return found


class Moves:
    """The credential moves of one transaction."""

    def __init__(self, adapters: Adapters, tx: Transaction, namespace: str, now: Instant) -> None:
        self._adapters, self._tx, self._namespace = adapters, tx, namespace
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
        self._events.append(moved_event(before, after, event, cut=cut, notes=tuple(notes)))
        return self.keep(before, after)

    def keep(self, before: Credential, after: Credential) -> Credential:
        self._tx.credentials.put_credential(after, expect=before.version)
        self._events += note_canary(self._tx, self._adapters, after, self.now)
        return after

    def note(self, event: Event) -> None:
        self._events.append(event)

    def record(self) -> None:
        """Writes the events; must be the last step of the transaction."""
        if self._events:
            self._tx.audit.append(self._namespace, self._adapters.writer, self._events, self.now)
