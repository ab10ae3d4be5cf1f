"""Judges whether open approval requests still hold.

- Answers count only for what was asked: other people, bundle, scope or operands end the hold. A person whose
  required sign-in has ended must be asked anew.
- A call that waits for an ended held action does not run, even if policy no longer holds it; only a
  superseded one may be decided as a new call. A narrowed call needs its person's answer even if policy would
  permit it.
- The task's template decides whether questions outlive calls; an agent cannot. Network callers with the same
  task cannot be told apart, so the wait time does not keep another caller from resuming.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import (
    OPEN,
    ApprovalEvent,
    ApprovalState,
    Ground,
    Invalidation,
    befallen,
    differing,
)
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Evaluated, Hold, Holding, OpenHold, Reason
from taskbound.core.decision.hold import is_network_holder
from taskbound.core.task import Holds
from taskbound.ports.approval import Waiter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.approval import EligibleApprovers, Question
    from taskbound.core.decision import Proposal
    from taskbound.core.task import Task
    from taskbound.flows.approval.circle import People
    from taskbound.flows.means import Adapters
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


ELSEWHERE: Final = Invalidation(
    event=ApprovalEvent.SUPERSEDE, reason="what is kept of the question is about another action"
)
SIGNED_OUT: Final = Invalidation(
    event=ApprovalEvent.SUPERSEDE, reason="the sign-in that an answer came with has ended"
)


def fate_of(one: StoredApproval, task: Task, bundle: str, lacking: str, now: Instant) -> Invalidation | None:
    ground = Ground(
        ended="",
        active=True,
        bundle=bundle,
        scope=task.scope.digest,
        edition=task.scope_version,
        act=one.question.act,
    )
    fate = befallen(one.question, ground, now)
    if fate is None and one.state is ApprovalState.APPROVED and lacking:
        reason = f"who approved may not do so any more: {lacking}"
        return Invalidation(event=ApprovalEvent.SUPERSEDE, reason=reason)
    return fate


def other_wish(one: StoredApproval, verdicts: Sequence[Holding]) -> Invalidation | None:
    for verdict in verdicts:
        reason = _why_other(one.question, verdict)
        if reason:
            return Invalidation(event=ApprovalEvent.SUPERSEDE, reason=reason)
    return None


def _why_other(question: Question, verdict: Holding) -> str:
    if question.lifters != verdict.hold.lifters:
        return "policy wants another word than was asked for"
    if verdict.blocked is not None:
        return f"what it names can't be looked at any more: {verdict.blocked.message}"
    found = differing(question.operands, verdict.operands)
    return f"what it names is another thing now: {found}" if found else ""


NOBODY: Final = Waiter(connection="", request="", until=Instant(0))
"""Who waits for a question whose call is over."""


def outlives(task: Task | None) -> bool:
    """Whether questions of this task stay open after their calls end."""
    return task is not None and task.holds is Holds.OUTLIVE_CALL


def waits_until(one: StoredApproval, task: Task | None, lost: Collection[tuple[str, str]]) -> Instant:
    """Returns until when only the waiting presentation may resume; `lost` are connections that may return."""
    if is_network_holder(one.waiter.connection):
        return NOBODY.until
    gone = (one.question.namespace, one.waiter.connection) in lost
    return NOBODY.until if gone and outlives(task) else one.waiter.until


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingState:
    """The state that open questions are judged by."""

    adapters: Adapters
    people: People
    tasks: Mapping[str, Task]
    circles: Mapping[tuple[str, str], EligibleApprovers]
    """By task and tool."""
    verdicts: Mapping[tuple[str, str], Sequence[Holding]]
    """By task and action digest: what the calls of the group were evaluated to."""
    bundle: str
    lost: Collection[tuple[str, str]]
    """(namespace, connection) of lost connections that may return."""
    now: Instant
    lacks: dict[str, str] = field(default_factory=dict)
    """By question that was judged: what is missing until it is lifted."""

    def fate(self, one: StoredApproval) -> Invalidation | None:
        wishes = self.verdicts.get((one.question.task, one.question.act), ())
        return self.fate_of_step(one, first=False) or other_wish(one, wishes)

    def fate_of_step(self, one: StoredApproval, *, first: bool) -> Invalidation | None:
        """Returns what ends a step of a plan; the first remaining step is judged as any hold."""
        if first:
            return self.fate(one)
        question = one.question
        circle, task = self.circles[question.task, question.tool], self.tasks[question.task]
        lacking = self.people.lacking(question, one.answers, circle, self.adapters, self.now, plan=one.plan)
        self.lacks[question.id] = lacking
        fate = fate_of(one, task, self.bundle, lacking, self.now)
        if fate is None and self.people.signed_out(question, one.answers, self.now):
            return SIGNED_OUT
        return fate

    def open(self, one: StoredApproval) -> OpenHold:
        task = self.tasks.get(one.question.task)
        return open_hold(one, self.lacks[one.question.id], task, self.lost)


def make_bench(  # noqa: PLR0913 - what is judged, and by what, each by its name
    tx: Transaction,
    adapters: Adapters,
    people: People,
    held: Sequence[Proposal],
    steps: Sequence[StoredApproval],
    *,
    bundle: str,
    lost: Collection[tuple[str, str]],
    now: Instant,
) -> JudgingState:
    wanted = {(one.action.task, one.action.tool) for one in held}
    wanted |= {(one.question.task, one.question.tool) for one in steps}
    tasks, circles = people.circles(tx, held[0].action.namespace, wanted)
    verdicts: dict[tuple[str, str], list[Holding]] = {}
    for one in held:
        resumes = one.narrows is None and one.planned is None and one.basis.bundle == bundle
        if resumes and isinstance(one.verdict, Holding):
            verdicts.setdefault((one.action.task, one.action.digest), []).append(one.verdict)
    return JudgingState(
        adapters=adapters,
        people=people,
        tasks=tasks,
        circles=circles,
        verdicts=verdicts,
        bundle=bundle,
        lost=lost,
        now=now,
    )


def open_hold(
    one: StoredApproval, lacking: str, task: Task | None, lost: Collection[tuple[str, str]]
) -> OpenHold:
    return OpenHold(
        approval=one.question.id,
        action=one.question.action,
        connection=one.waiter.connection,
        request=one.waiter.request,
        waits=waits_until(one, task, lost),
        lifted=one.state is ApprovalState.APPROVED and not lacking,
    )


_NEW = OPEN | {ApprovalState.SUPERSEDED}


def as_held(tx: Transaction, namespace: str, proposals: Sequence[Proposal]) -> list[Proposal]:
    """Returns the proposals, held where they name or narrow a held or ended action."""
    return [_stand(tx, namespace, one) for one in proposals]


def _stand(tx: Transaction, namespace: str, proposal: Proposal) -> Proposal:
    if not isinstance(proposal.verdict, Evaluated):
        return proposal
    if proposal.narrows is not None:
        return _held(proposal, proposal.verdict, proposal.narrows.lifters)
    named = tx.approvals.approval_of(namespace, proposal.resume) if proposal.resume else None
    if named is None or (named.state in _NEW and not named.question.narrows):
        return proposal
    return _held(proposal, proposal.verdict, named.question.lifters)


def _held(proposal: Proposal, verdict: Evaluated, lifters: tuple[str, ...]) -> Proposal:
    reason = Reason(code="held", text="a person has narrowed it", detail=f"lifted by {', '.join(lifters)}")
    hold = Hold(reasons=(reason,), policies=verdict.policies, lifters=lifters)
    looked = verdict.looked
    if looked is None:
        looked = Holding(covered=verdict.covered, hold=hold)
    return replace(proposal, verdict=replace(looked, hold=hold))


def last_narrowed(tx: Transaction, one: StoredApproval) -> StoredApproval:
    while one.state is ApprovalState.NARROWED:
        found = tx.approvals.lock_narrowed(one.question.namespace, one.question.digest)
        if found is None:
            break
        one = found
    return one
