"""One plan under lock with its steps: what has befallen it, and its end.

1. A plan is locked before any of its steps, whoever locks it; so of two that would use, answer or end it
   one waits, and then meets what the other made of it.
2. What befalls one step that is left befalls all that is left: who signed the plan signed all of it, in
   this order. So does it when the step before the next one has not succeeded.
3. Steps that were used stay used: nothing is taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval import (
    OPEN,
    ApprovalEvent,
    ApprovalOverError,
    ApprovalState,
    Befallen,
    advance_approval,
    befallen,
    why_plan_over,
)
from taskbound.core.audit.events import PlanChanged
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.flows.approval.circle import ground_of
from taskbound.flows.approval.ending import end_approvals
from taskbound.ports.approval import PlanChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskbound.core.audit import Event
    from taskbound.flows.approval.ending import Told
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.approval import StoredApproval, StoredPlan
    from taskbound.ports.store import Snapshot, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A plan with the approvals of its steps, in order."""

    stored: StoredPlan
    steps: tuple[StoredApproval, ...]

    @property
    def left(self) -> tuple[StoredApproval, ...]:
        """The steps that were not used."""
        return self.steps[self.stored.used :]

    @property
    def last(self) -> StoredApproval:
        """The step that was used last, where one was."""
        return self.steps[self.stored.used - 1]


def see_whole(snapshot: Snapshot, stored: StoredPlan) -> Whole:
    """The plan with its steps, to look at."""
    plan = stored.plan
    return Whole(stored=stored, steps=snapshot.approvals.steps_of(plan.namespace, {plan.id}))


def lock_whole(tx: Transaction, namespace: str, plan: str) -> Whole | None:
    """The plan of this id with its steps, locked (rule 1)."""
    stored = tx.approvals.lock_plan(namespace, plan)
    if stored is None:
        return None
    return Whole(stored=stored, steps=tx.approvals.lock_steps(namespace, {plan}))


def lock_wholes(tx: Transaction, namespace: str, tasks: Iterable[str]) -> tuple[Whole, ...]:
    """The open plans of these tasks with their steps, locked (rule 1)."""
    found = tx.approvals.lock_plans(namespace, sorted(tasks))
    steps = tx.approvals.lock_steps(namespace, {one.plan.id for one in found}) if found else ()
    return tuple(
        Whole(stored=one, steps=tuple(step for step in steps if step.question.plan == one.plan.id))
        for one in found
    )


def lock_open_plan(tx: Transaction, namespace: str, name: str) -> Whole | None:
    """The open plan of this id, or whose step this approval is, locked; None when it names no plan.

    Raises:
        ApprovalOverError: The plan is not open any more.
    """
    step = tx.approvals.approval(namespace, name)
    whole = lock_whole(tx, namespace, name if step is None else step.question.plan)
    if whole is not None and whole.stored.state not in OPEN:
        raise ApprovalOverError(f"the plan is over: it is {whole.stored.state.value}")
    return whole


def fate_of_plan(snapshot: Snapshot, whole: Whole, policies: Policies, now: Instant) -> Befallen | None:
    """What has befallen what is left of an open plan by now (rule 2); None while nothing has."""
    for one in whole.left:
        fate = befallen(one.question, ground_of(snapshot, one.question, policies), now)
        if fate is not None:
            return Befallen(event=fate.event, reason=f"step {one.question.step}: {fate.reason}")
    return fate_by_outcome(snapshot, whole)


def fate_by_outcome(snapshot: Snapshot, whole: Whole) -> Befallen | None:
    """What has befallen it by the outcome of the step that was used last (rule 2)."""
    why = turn_of(snapshot, whole)
    if not why:
        return None
    return Befallen(event=ApprovalEvent.SUPERSEDE, reason=f"step {whole.stored.used + 1}: {why}")


def turn_of(snapshot: Snapshot, whole: Whole) -> str | None:
    """Why the next step's turn never comes, by the step before it; empty when it came, None until then."""
    if not whole.stored.used:
        return ""
    last = whole.last.question
    kept = snapshot.actions.action(last.namespace, last.action)
    return "the step before it is not there" if kept is None else why_plan_over(kept.state)


def end_plan(
    tx: Transaction,
    whole: Whole,
    fate: Befallen,
    *,
    by: tuple[str, str],
    now: Instant,
    each: Sequence[Befallen] = (),
) -> tuple[list[Event], list[Told]]:
    """End what is left of an open plan; what is to be recorded, and told (rules 2 and 3).

    `each` is what befalls each step that is left, where that is not what befalls the plan.
    """
    fates = each or [fate] * len(whole.left)
    events, told = end_approvals(tx, list(zip(whole.left, fates, strict=True)), by=by, now=now)
    after = advance_approval(whole.stored.state, fate.event)
    events.append(move_plan(tx, whole, (after, whole.stored.used), fate.reason, by=by, now=now))
    return events, told


def move_plan(
    tx: Transaction,
    whole: Whole,
    after: tuple[ApprovalState, int],
    reason: str,
    *,
    by: tuple[str, str],
    now: Instant,
) -> Event:
    """Write where the plan stands from now on; its record."""
    stored = whole.stored
    goes_on = after[0] in OPEN
    change = PlanChange(
        id=stored.plan.id,
        before=(stored.state, stored.used),
        after=after,
        finished=Instant(0) if goes_on else now,
        reason=reason,
    )
    tx.approvals.move_plan(stored.plan.namespace, change)
    return PlanChanged(
        plan=stored.plan.id,
        task=stored.plan.task,
        before=stored.state.value,
        after=after[0].value,
        used=after[1],
        reason=reason,
        by=by[0],
        proof=by[1],
    )
