"""Plans within a commit: the next step, deviations, and the end of a plan.

One conditional statement moves the count of used steps in the transaction that writes the permits, so steps
are used once and in order. A plan is always locked before its steps. What ends one remaining step ends all,
because the plan was signed as a whole; so does a preceding step that did not succeed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field, replace
from typing import TYPE_CHECKING, Protocol

from taskbound.core.approval import (
    OPEN,
    ApprovalEvent,
    ApprovalOverError,
    ApprovalState,
    Invalidation,
    advance_approval,
    befallen,
    why_plan_over,
)
from taskbound.core.audit.events import PlanChanged
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import OpenPlan
from taskbound.flows.approval.circle import DAEMON, end_approvals, ground_of
from taskbound.ports.approval import PlanChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from taskbound.core.audit import Event
    from taskbound.core.decision import OpenHold
    from taskbound.flows.approval.circle import QuestionUpdate
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.approval import StoredApproval, StoredPlan
    from taskbound.ports.store import Snapshot, Transaction

    class FateOf(Protocol):
        """Judges a remaining step of a plan."""

        def __call__(self, one: StoredApproval, *, first: bool) -> Invalidation | None:
            pass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanWithApprovals:
    """A plan with the approvals of its steps, in order."""

    stored: StoredPlan
    steps: tuple[StoredApproval, ...]

    @property
    def left(self) -> tuple[StoredApproval, ...]:
        return self.steps[self.stored.used :]

    @property
    def last(self) -> StoredApproval:
        return self.steps[self.stored.used - 1]


def see_whole(snapshot: Snapshot, stored: StoredPlan) -> PlanWithApprovals:
    plan = stored.plan
    return PlanWithApprovals(stored=stored, steps=snapshot.approvals.steps_of(plan.namespace, {plan.id}))


def lock_whole(tx: Transaction, namespace: str, plan: str) -> PlanWithApprovals | None:
    stored = tx.approvals.lock_plan(namespace, plan)
    if stored is None:
        return None
    return PlanWithApprovals(stored=stored, steps=tx.approvals.lock_steps(namespace, {plan}))


def lock_wholes(tx: Transaction, namespace: str, tasks: Iterable[str]) -> tuple[PlanWithApprovals, ...]:
    found = tx.approvals.lock_plans(namespace, sorted(tasks))
    steps = tx.approvals.lock_steps(namespace, {one.plan.id for one in found}) if found else ()
    return tuple(
        PlanWithApprovals(
            stored=one, steps=tuple(step for step in steps if step.question.plan == one.plan.id)
        )
        for one in found
    )


def lock_open_plan(tx: Transaction, namespace: str, name: str) -> PlanWithApprovals | None:
    """Locks the open plan named by its id or a step's approval; None if no plan is named."""
    step = tx.approvals.approval(namespace, name)
    whole = lock_whole(tx, namespace, name if step is None else step.question.plan)
    if whole is not None and whole.stored.state not in OPEN:
        raise ApprovalOverError(f"the plan is over: it is {whole.stored.state.value}")
    return whole


def fate_of_plan(
    snapshot: Snapshot, whole: PlanWithApprovals, policies: Policies, now: Instant
) -> Invalidation | None:
    for one in whole.left:
        fate = befallen(one.question, ground_of(snapshot, one.question, policies), now)
        if fate is not None:
            return Invalidation(event=fate.event, reason=f"step {one.question.step}: {fate.reason}")
    return fate_by_outcome(snapshot, whole)


def fate_by_outcome(snapshot: Snapshot, whole: PlanWithApprovals) -> Invalidation | None:
    why = turn_of(snapshot, whole)
    if not why:
        return None
    return Invalidation(event=ApprovalEvent.SUPERSEDE, reason=f"step {whole.stored.used + 1}: {why}")


def turn_of(snapshot: Snapshot, whole: PlanWithApprovals) -> str | None:
    """Returns why the next step can never run, '' if it may run now, None if it must wait."""
    if not whole.stored.used:
        return ""
    last = whole.last.question
    kept = snapshot.actions.action(last.namespace, last.action)
    return "the step before it is not there" if kept is None else why_plan_over(kept.state)


def end_plan(
    tx: Transaction,
    whole: PlanWithApprovals,
    fate: Invalidation,
    *,
    by: tuple[str, str],
    now: Instant,
    each: Sequence[Invalidation] = (),
) -> tuple[list[Event], list[QuestionUpdate]]:
    """Ends the rest of an open plan; `each` are the steps' reasons where they differ from the plan's."""
    fates = each or [fate] * len(whole.left)
    events, told = end_approvals(tx, list(zip(whole.left, fates, strict=True)), by=by, now=now)
    after = advance_approval(whole.stored.state, fate.event)
    events.append(move_plan(tx, whole, (after, whole.stored.used), fate.reason, by=by, now=now))
    return events, told


def move_plan(
    tx: Transaction,
    whole: PlanWithApprovals,
    after: tuple[ApprovalState, int],
    reason: str,
    *,
    by: tuple[str, str],
    now: Instant,
) -> Event:
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


@dataclass(slots=True, kw_only=True)
class PlanBatch:
    """The open plans of the group's tasks, and the changes to write."""

    wholes: dict[str, PlanWithApprovals]
    """By plan."""
    used: Counter[str] = field(default_factory=Counter)
    """By plan: how many of its steps this group uses."""

    @property
    def steps(self) -> tuple[StoredApproval, ...]:
        return tuple(step for one in self.wholes.values() for step in one.left)

    def judge(
        self,
        tx: Transaction,
        fate_of: FateOf,
        *,
        now: Instant,
    ) -> tuple[list[Event], list[tuple[StoredApproval, Invalidation]]]:
        """Ends each plan with a step that no longer holds; returns events, and ended steps with reasons."""
        events: list[Event] = []
        ended: list[tuple[StoredApproval, Invalidation]] = []
        for name, whole in list(self.wholes.items()):
            fate = _fate(tx, whole, fate_of)
            if fate is not None:
                events += end_plan(tx, whole, fate, by=DAEMON, now=now)[0]
                ended += [(one, fate) for one in whole.left]
                del self.wholes[name]
        return events, ended

    def places(self, tx: Transaction, open_hold: Callable[[StoredApproval], OpenHold]) -> dict[str, OpenPlan]:
        return {
            whole.stored.plan.task: OpenPlan(
                plan=name,
                first=whole.stored.used + 1,
                steps=tuple((one.question.act, open_hold(one)) for one in whole.left),
                runs=whole.last.question.action if turn_of(tx, whole) is None else "",
            )
            for name, whole in self.wholes.items()
        }

    def write(self, tx: Transaction, differed: Mapping[str, str], now: Instant) -> Iterable[Event]:
        for name, found in self.wholes.items():
            whole, count, reason = found, self.used[name], differed.get(name, "")
            if count:
                whole, event = _use(tx, whole, count, now)
                yield event
            if reason and whole.left:
                fate = Invalidation(event=ApprovalEvent.SUPERSEDE, reason=f"it differs: {reason}")
                yield from end_plan(tx, whole, fate, by=DAEMON, now=now)[0]


def lock_plans(tx: Transaction, namespace: str, tasks: Iterable[str]) -> PlanBatch:
    return PlanBatch(wholes={one.stored.plan.id: one for one in lock_wholes(tx, namespace, tasks)})


def _fate(tx: Transaction, whole: PlanWithApprovals, fate_of: FateOf) -> Invalidation | None:
    if tuple(one.question.digest for one in whole.steps) != whole.stored.plan.questions:
        return Invalidation(
            event=ApprovalEvent.SUPERSEDE, reason="what is kept of the plan is about other steps"
        )
    for number, one in enumerate(whole.left):
        fate = fate_of(one, first=number == 0)
        if fate is not None:
            return Invalidation(event=fate.event, reason=f"step {one.question.step}: {fate.reason}")
    return fate_by_outcome(tx, whole)


def _use(
    tx: Transaction, whole: PlanWithApprovals, count: int, now: Instant
) -> tuple[PlanWithApprovals, Event]:
    stored = whole.stored
    used = stored.used + count
    state = stored.state
    if used == len(whole.steps):
        state = advance_approval(state, ApprovalEvent.CONSUME)
    event = move_plan(tx, whole, (state, used), f"step {used} is permitted", by=DAEMON, now=now)
    return PlanWithApprovals(stored=replace(stored, state=state, used=used), steps=whole.steps), event
