"""The end of what people are asked about a task, with the task.

1. The end of a task ends the questions of it and of all beneath it, plans and single ones, in the same
   transaction (law 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval import ApprovalEvent, Befallen
from taskbound.core.approval.amendment import AmendmentEvent, AmendmentFate
from taskbound.flows.approval.amendment.records import end_amendments
from taskbound.flows.approval.ending import end_approvals
from taskbound.flows.approval.plan.whole import end_plan, lock_wholes

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.flows.means import Actor
    from taskbound.ports.store import Transaction


def end_of_tasks(
    tx: Transaction, namespace: str, tasks: Collection[str], *, reason: str, by: Actor, now: Instant
) -> list[Event]:
    """Withdraw every open question of tasks that end in this transaction; what is to be recorded (rule 1)."""
    fate = Befallen(event=ApprovalEvent.WITHDRAW, reason=reason)
    events: list[Event] = []
    for whole in lock_wholes(tx, namespace, tasks):
        events += end_plan(tx, whole, fate, by=(by.name, by.proof), now=now)[0]
    ending = [(one, fate) for one in tx.approvals.lock_open(namespace, tasks)]
    events += end_approvals(tx, ending, by=(by.name, by.proof), now=now)[0]
    over = AmendmentFate(event=AmendmentEvent.WITHDRAW, reason=reason)
    open_ones = [(one, over) for one in tx.amendments.lock_open(namespace, tasks)]
    return events + end_amendments(tx, open_ones, by=(by.name, by.proof), now=now)
