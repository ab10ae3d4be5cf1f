"""Ending questions, each with its held action, in the transaction of what ends them.

1. An approval that ends without its use ends its held action too; both are written in one transaction,
   each in a conditional statement: of two that would end it, or end it and use it, one happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import ActionState, advance
from taskbound.core.approval import BEFALLS, ApprovalState, Befallen, advance_approval
from taskbound.core.audit import ActionOutcome, ApprovalChanged
from taskbound.core.dataclass import dataclass
from taskbound.ports.action import OutcomeChange
from taskbound.ports.approval import ApprovalChange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


DAEMON = ("daemon", "own process")
"""By whom, and how proven, what follows from the passing of time or from other changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of a question, for the connection that waits."""

    namespace: str
    action: str
    approval: str
    state: ApprovalState
    reason: str
    connection: str


def end_approvals(
    tx: Transaction,
    ending: Sequence[tuple[StoredApproval, Befallen]],
    *,
    by: tuple[str, str],
    now: Instant,
) -> tuple[list[Event], list[Told]]:
    """End these open approvals, of one namespace; what is to be recorded, and told (rule 1)."""
    steps: list[ApprovalChange] = []
    outcomes: list[OutcomeChange] = []
    events: list[Event] = []
    told: list[Told] = []
    for one, fate in ending:
        question = one.question
        after = advance_approval(one.state, fate.event)
        state = advance(ActionState.HELD, BEFALLS[fate.event])
        steps.append(
            ApprovalChange(id=question.id, before=one.state, after=after, finished=now, reason=fate.reason)
        )
        outcomes.append(
            OutcomeChange(
                id=question.action,
                before=ActionState.HELD,
                after=state,
                finished=now,
                answer=None,
                answer_digest="",
                released=False,
                note=fate.reason,
            )
        )
        events.append(changed_event(one, after, fate.reason, by))
        events.append(
            ActionOutcome(
                action=question.action,
                task=question.task,
                before=ActionState.HELD.value,
                after=state.value,
                released=False,
                reason=fate.reason,
            )
        )
        told.append(tell(one, after, fate.reason))
    if ending:
        namespace = ending[0][0].question.namespace
        tx.approvals.move_approvals(namespace, steps)
        tx.actions.set_outcomes(namespace, outcomes)
    return events, told


def changed_event(
    one: StoredApproval, after: ApprovalState, reason: str, by: tuple[str, str]
) -> ApprovalChanged:
    """The record of a step."""
    return ApprovalChanged(
        approval=one.question.id,
        action=one.question.action,
        task=one.question.task,
        before=one.state.value,
        after=after.value,
        reason=reason,
        by=by[0],
        proof=by[1],
    )


def tell(one: StoredApproval, after: ApprovalState, reason: str) -> Told:
    """What is told to the connection that waits."""
    return Told(
        namespace=one.question.namespace,
        action=one.question.action,
        approval=one.question.id,
        state=after,
        reason=reason,
        connection=one.waiter.connection,
    )
