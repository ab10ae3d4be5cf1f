"""One open question under lock: what has befallen it, and the steps that are written with their record.

1. A question is locked behind what it stands on, and a step of a plan behind that, in the order of the
   commit (design 4.8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval import (
    OPEN,
    ApprovalEvent,
    ApprovalOverError,
    UnknownApprovalError,
    advance_approval,
    befallen,
)
from taskbound.core.clock import Instant
from taskbound.flows.approval.circle import ground_of
from taskbound.flows.approval.ending import DAEMON, changed_event, end_approvals, tell
from taskbound.flows.approval.plan.whole import end_plan, lock_whole
from taskbound.ports.approval import ApprovalChange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval import Befallen
    from taskbound.core.audit import Event
    from taskbound.flows.approval.ending import Told
    from taskbound.flows.approval.plan.whole import Whole
    from taskbound.flows.means import Means
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


class Questions:
    """Works on one question at a time, inside a transaction."""

    def __init__(self, means: Means) -> None:
        """Keep what to work with."""
        self._means = means

    def lock(self, tx: Transaction, namespace: str, approval: str) -> StoredApproval | None:
        """The approval, locked behind what it stands on (rule 1)."""
        seen = tx.approvals.approval(namespace, approval)
        if seen is None:
            return None
        tx.revocation.lock_kill_switch(namespace)
        tx.identities.lock_agents(namespace, {seen.question.agent})
        tx.tools.lock_tools(namespace, {seen.question.tool})
        tx.tasks.lock_heads(namespace, {seen.question.task})
        if seen.question.plan:
            tx.approvals.lock_plan(namespace, seen.question.plan)
        return tx.approvals.lock_approval(namespace, approval)

    def lock_open(
        self, tx: Transaction, namespace: str, approval: str
    ) -> tuple[StoredApproval, Befallen | None]:
        """The open approval, locked, and what has befallen it.

        Raises:
            UnknownApprovalError: There is no such question.
            ApprovalOverError: It is not open any more.
        """
        one = self.lock(tx, namespace, approval)
        if one is None:
            raise UnknownApprovalError(f"no approval is named `{approval}`")
        if one.state not in OPEN:
            raise ApprovalOverError(f"the question is over: it is {one.state.value}")
        return one, self.fate(tx, one)

    def fate(self, tx: Transaction, one: StoredApproval) -> Befallen | None:
        """What has befallen it by now; None while it is the one that was asked."""
        ground = ground_of(tx, one.question, self._means.policy)
        return befallen(one.question, ground, self._means.clock.now())

    def end(
        self, tx: Transaction, ending: list[tuple[StoredApproval, Befallen]], by: tuple[str, str] = DAEMON
    ) -> list[Told]:
        """End these, of one namespace, and record it."""
        now = self._means.clock.now()
        events, told = end_approvals(tx, ending, by=by, now=now)
        if events:
            self.record(tx, ending[0][0].question.namespace, events, now)
        return told

    def lock_plan(self, tx: Transaction, namespace: str, plan: str) -> Whole | None:
        """The plan with its steps, locked behind what they stand on (rule 1)."""
        stored = tx.approvals.plan(namespace, plan)
        if stored is None:
            return None
        steps = tx.approvals.steps_of(namespace, {plan})
        tx.revocation.lock_kill_switch(namespace)
        tx.identities.lock_agents(namespace, {stored.agent})
        tx.tools.lock_tools(namespace, {one.question.tool for one in steps})
        tx.tasks.lock_heads(namespace, {stored.plan.task})
        return lock_whole(tx, namespace, plan)

    def end_whole(
        self,
        tx: Transaction,
        whole: Whole,
        fate: Befallen,
        by: tuple[str, str] = DAEMON,
        each: Sequence[Befallen] = (),
    ) -> list[Told]:
        """End what is left of this open plan, and record it (`end_plan`)."""
        now = self._means.clock.now()
        events, told = end_plan(tx, whole, fate, by=by, now=now, each=each)
        self.record(tx, whole.stored.plan.namespace, events, now)
        return told

    def approve(self, tx: Transaction, one: StoredApproval, by: tuple[str, str], now: Instant) -> Told:
        """Enough was said: it is usable from now on."""
        after = advance_approval(one.state, ApprovalEvent.APPROVE)
        reason = "enough have answered"
        step = ApprovalChange(
            id=one.question.id, before=one.state, after=after, finished=Instant(0), reason=reason
        )
        tx.approvals.move_approvals(one.question.namespace, [step])
        self.record(tx, one.question.namespace, [changed_event(one, after, reason, by)], now)
        return tell(one, after, reason)

    def record(self, tx: Transaction, namespace: str, events: list[Event], now: Instant) -> None:
        """Record what happened, in the transaction in which it does."""
        tx.audit.append(namespace, self._means.writer, events, now)
