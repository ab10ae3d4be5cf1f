"""Writing a plan: its steps are held like the calls of agents, each with its question, and the plan of them.

1. While a plan is asked about, its task has no other open question: what that lifted would be a call in the
   middle of a list that somebody signs as a whole.
2. All of it, or nothing: steps, questions and plan are one transaction.
3. What the steps spend together is looked at, and held takes nothing, as ever.
4. Who proposes a plan gets nothing by it: the task's requester, the agent's owner, or what its run runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval import (
    ApprovalState,
    Plan,
    PlanOpenError,
    PlanRefusedError,
    require_one_answer,
    require_showable,
    step_words,
)
from taskbound.core.approval.sheet import plan_sheet_of, sheet_of
from taskbound.core.audit.events import PlanAsked
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Hold, Holding, Refuse, Settled, Stale, require_payable, settle
from taskbound.flows.approval.circle import lock_people
from taskbound.flows.decision.group import lock_group, settle_group
from taskbound.flows.decision.undecided import ContendedError
from taskbound.ports.approval import StoredPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.decision import Locked, Proposal
    from taskbound.core.task import Task
    from taskbound.flows.decision.views import Views
    from taskbound.flows.decision.writing import Pending
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposer:
    """Who proposes a plan (rule 4)."""

    actor: Actor
    connection: str
    beneath: bool
    """Whether it runs beneath the run of the plan's own task."""


def write_plan(
    tx: Transaction,
    means: Means,
    views: Views,
    task: Task,
    pending: Sequence[Pending],
    by: Proposer,
) -> Plan:
    """Hold these calls of one task with their questions, and write the plan of them (rule 2).

    Raises:
        ContendedError: It is to be evaluated again.
    """
    space, proposals = task.namespace, [one.proposal for one in pending]
    tx.tasks.task(space, task.id)  # first: PostgreSQL's transaction is alone by that
    locked = lock_group(tx, space, proposals, means.policy, views.doubts)
    if tx.approvals.lock_plans(space, {task.id}):
        raise PlanOpenError(f"task `{task.id}` has an open plan")
    if tx.approvals.count_open(space, task.id):
        raise PlanOpenError(f"task `{task.id}` has open questions")  # 1
    now = means.clock.now()
    _require_held(proposals, locked, now)
    settlement = settle_group(tx, means, views, space, pending)
    for number, answer in enumerate(settlement.answers, 1):
        match answer:
            case Settled(decision=Hold()):
                continue
            case Settled(decision=Refuse() as refused):
                raise _refused(refused, step_words(number, pending[number - 1].call.tool))
            case _:
                raise ContendedError("what this depends on has changed")
    require_payable(proposals, locked.left, now)  # 3
    found = [tx.approvals.approval_of(space, one.id) for one in proposals]
    steps = [one for one in found if one is not None]
    plan = _plan(tx, means, task, steps, by)
    sheets = [
        sheet_of(one.question, proposal.action, policies=proposal.verdict.hold.policies)
        for one, proposal in zip(steps, proposals, strict=True)
        if isinstance(proposal.verdict, Holding)
    ]
    require_showable(plan_sheet_of(plan, sheets))
    return plan


def _plan(tx: Transaction, means: Means, task: Task, steps: Sequence[StoredApproval], by: Proposer) -> Plan:
    """Write the plan that these held actions are the steps of."""
    space, questions = task.namespace, [one.question for one in steps]
    people = lock_people(tx, space, means.clock.now())
    _, circles = people.circles(tx, space, {(task.id, one.tool) for one in questions})
    require_one_answer(questions, [circles[task.id, one.tool] for one in questions])
    plan = Plan(
        namespace=space,
        id=questions[0].plan,
        task=task.id,
        requester=task.requester,
        questions=tuple(one.digest for one in questions),
        nonce=means.chance.name("non"),
        asked=questions[0].asked,
        deadline=Instant(min(one.deadline for one in questions)),
    )
    stored = StoredPlan(plan=plan, agent=task.agent, state=ApprovalState.PENDING)
    tx.approvals.insert_plan(stored)
    event = PlanAsked(
        plan=plan.id,
        digest=plan.digest,
        task=task.id,
        agent=task.agent,
        requester=task.requester,
        approvals=tuple(one.id for one in questions),
        questions=plan.questions,
        nonce=plan.nonce,
        asked=plan.asked,
        deadline=plan.deadline,
        connection=by.connection,
        by=by.actor.name,
        proof=by.actor.proof,
    )
    tx.audit.append(space, means.writer, [event], means.clock.now())
    return plan


def _require_held(proposals: Sequence[Proposal], locked: Locked, now: Instant) -> None:
    """Go on only where policy holds every step, by what is locked.

    Raises:
        PlanRefusedError: It does not.
        ContendedError: What the evaluation read has changed.
    """
    settlement = settle(proposals, locked, now=now, until=now)  # nothing is written by this
    for number, (one, answer) in enumerate(zip(proposals, settlement.answers, strict=True), 1):
        match answer:
            case Stale():
                raise ContendedError("what this depends on has changed")
            case Settled(decision=Refuse() as refused) if not isinstance(one.verdict, Holding):
                raise _refused(refused, step_words(number, one.action.tool))
            case _ if not isinstance(one.verdict, Holding):
                raise PlanRefusedError(
                    "nobody's word is needed for it, so nobody is asked",
                    remedy="leave it out: it runs as any call does, before, between or behind the steps",
                    where=step_words(number, one.action.tool),
                )
            case _:
                continue


def _refused(refused: Refuse, where: str) -> PlanRefusedError:
    reasons = "; ".join(dict.fromkeys(one.text for one in refused.reasons))
    return PlanRefusedError(f"it is refused ({refused.code}): {reasons}", remedy=refused.instead, where=where)
