"""Writing a credential down in the transaction that permits it, before anybody calls its target (law 5).

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
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit.events.credential import CredentialJournaled
from taskbound.core.credential import Credential, CredentialState, NoRecipientError, credential_of, end_of
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Permit
from taskbound.core.task import deadline_with
from taskbound.core.tool import credential_kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.action import Action
    from taskbound.core.clock import Instant
    from taskbound.core.decision import Settled
    from taskbound.core.target import Life
    from taskbound.core.task import TaskHead
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


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
