"""Whether open approval requests still hold by what is true now.

Of `judging`:

1. What a call resumes is judged by what is true now: policy, scope, deadline and what its probes find; and
   of an approved one, whether those who approved may still do so. Where that is not so the hold is ended.
2. Of the steps of a plan that are left each is judged, and the next one also by what the call that presents
   it found.
3. Whoever answered and is signed in no more, where that was asked for, can't answer this question again: it
   is asked anew, of everybody.

Of `fates`:

1. What is kept of an answer counts for what was asked, and for nothing that was found since: other people,
   another bundle or scope, another file or row behind the arguments end it.

Of `named`:

1. Where a held action is over, a call that waits for it runs no more, also when policy would hold it no more.
   Only what was superseded may be decided as a new call.
2. What a person has narrowed needs their answer, also when policy would permit it without.
3. The narrowed action of a narrowed one is the last of that row.

Of `outliving`:

1. Its task says so, by its template, and never the call: no agent keeps its questions open by itself.
2. Who asked over a network can't be told from whoever asks the same for that task: until when it waits is
   until when its question stays open without anybody coming back, and keeps nobody else from resuming it.
3. Who waits and is lost gives way at once to the same call from elsewhere: its question is used by whoever
   comes first, once, and the other is told that it is over.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import OPEN, ApprovalEvent, ApprovalState, Befallen, Ground, befallen, differing
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Evaluated, Hold, Holding, OpenHold, Reason
from taskbound.core.decision.hold import is_afar
from taskbound.core.task import Holds
from taskbound.ports.approval import Waiter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.approval import Circle, Question
    from taskbound.core.decision import Proposal
    from taskbound.core.task import Task
    from taskbound.flows.approval.circle import People
    from taskbound.flows.means import Means
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


ELSEWHERE: Final = Befallen(
    event=ApprovalEvent.SUPERSEDE, reason="what is kept of the question is about another action"
)
SIGNED_OUT: Final = Befallen(
    event=ApprovalEvent.SUPERSEDE, reason="the sign-in that an answer came with has ended"
)


def fate_of(one: StoredApproval, task: Task, bundle: str, lacking: str, now: Instant) -> Befallen | None:
    """What has befallen a hold that the active agent of this task, which is live, presents again."""
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
        return Befallen(event=ApprovalEvent.SUPERSEDE, reason=reason)
    return fate


def other_wish(one: StoredApproval, verdicts: Sequence[Holding]) -> Befallen | None:
    """What has befallen a hold that these presentations would resume, by what each of them found."""
    for verdict in verdicts:
        reason = _why_other(one.question, verdict)
        if reason:
            return Befallen(event=ApprovalEvent.SUPERSEDE, reason=reason)
    return None


def _why_other(question: Question, verdict: Holding) -> str:
    """Why what would be asked now is not what was asked; empty when it is."""
    if question.lifters != verdict.hold.lifters:
        return "policy wants another word than was asked for"
    if verdict.blocked is not None:
        return f"what it names can't be looked at any more: {verdict.blocked.message}"
    found = differing(question.operands, verdict.operands)
    return f"what it names is another thing now: {found}" if found else ""


NOBODY: Final = Waiter(connection="", request="", until=Instant(0))
"""Who waits for a question whose call is over."""


def outlives(task: Task | None) -> bool:
    """Whether what people are asked of this task's calls stays open when they are over (rule 1)."""
    return task is not None and task.holds is Holds.OUTLIVE_CALL


def waits_until(one: StoredApproval, task: Task | None, lost: Collection[tuple[str, str]]) -> Instant:
    """Until when nobody but the presentation that waits resumes it (rules 2 and 3).

    Args:
        one: The open question.
        task: Its task.
        lost: (namespace, connection) of whoever is gone, and may be back.
    """
    if is_afar(one.waiter.connection):
        return NOBODY.until
    gone = (one.question.namespace, one.waiter.connection) in lost
    return NOBODY.until if gone and outlives(task) else one.waiter.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What open questions are judged by."""

    means: Means
    people: People
    tasks: Mapping[str, Task]
    circles: Mapping[tuple[str, str], Circle]
    """By task and tool."""
    verdicts: Mapping[tuple[str, str], Sequence[Holding]]
    """By task and action digest: what the calls of the group were evaluated to."""
    bundle: str
    lost: Collection[tuple[str, str]]
    """(namespace, connection) of whoever is gone, and may be back."""
    now: Instant
    lacks: dict[str, str] = field(default_factory=dict)
    """By question that was judged: what is missing until it is lifted."""

    def fate(self, one: StoredApproval) -> Befallen | None:
        """What has befallen a hold that a call of the group presents (rule 1)."""
        wishes = self.verdicts.get((one.question.task, one.question.act), ())
        return self.fate_of_step(one, first=False) or other_wish(one, wishes)

    def fate_of_step(self, one: StoredApproval, *, first: bool) -> Befallen | None:
        """What has befallen a step of a plan; of the first that is left as of any hold (rule 2)."""
        if first:
            return self.fate(one)
        question = one.question
        circle, task = self.circles[question.task, question.tool], self.tasks[question.task]
        lacking = self.people.lacking(question, one.answers, circle, self.means, self.now, plan=one.plan)
        self.lacks[question.id] = lacking
        fate = fate_of(one, task, self.bundle, lacking, self.now)
        if fate is None and self.people.signed_out(question, one.answers, self.now):
            return SIGNED_OUT  # 3
        return fate

    def open(self, one: StoredApproval) -> OpenHold:
        """The hold, of a question that was judged."""
        task = self.tasks.get(one.question.task)
        return open_hold(one, self.lacks[one.question.id], task, self.lost)


def make_bench(  # noqa: PLR0913 - what is judged, and by what, each by its name
    tx: Transaction,
    means: Means,
    people: People,
    held: Sequence[Proposal],
    steps: Sequence[StoredApproval],
    *,
    bundle: str,
    lost: Collection[tuple[str, str]],
    now: Instant,
) -> Bench:
    """What the questions of these proposals, and these steps of plans, are judged by."""
    wanted = {(one.action.task, one.action.tool) for one in held}
    wanted |= {(one.question.task, one.question.tool) for one in steps}
    tasks, circles = people.circles(tx, held[0].action.namespace, wanted)
    verdicts: dict[tuple[str, str], list[Holding]] = {}
    for one in held:
        resumes = one.narrows is None and one.planned is None and one.basis.bundle == bundle
        if resumes and isinstance(one.verdict, Holding):
            verdicts.setdefault((one.action.task, one.action.digest), []).append(one.verdict)
    return Bench(
        means=means,
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
    """The hold as core looks at it; `lacking` is what is missing until it is lifted."""
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
    """The proposals, each held where it names what is held or over, or narrows it."""
    return [_stand(tx, namespace, one) for one in proposals]


def _stand(tx: Transaction, namespace: str, proposal: Proposal) -> Proposal:
    if not isinstance(proposal.verdict, Evaluated):
        return proposal
    if proposal.narrows is not None:
        return _held(proposal, proposal.verdict, proposal.narrows.lifters)  # 2
    named = tx.approvals.approval_of(namespace, proposal.resume) if proposal.resume else None
    if named is None or (named.state in _NEW and not named.question.narrows):
        return proposal
    return _held(proposal, proposal.verdict, named.question.lifters)  # 1, 2


def _held(proposal: Proposal, verdict: Evaluated, lifters: tuple[str, ...]) -> Proposal:
    reason = Reason(code="held", text="a person has narrowed it", detail=f"lifted by {', '.join(lifters)}")
    hold = Hold(reasons=(reason,), policies=verdict.policies, lifters=lifters)
    looked = verdict.looked
    if looked is None:
        looked = Holding(covered=verdict.covered, hold=hold)
    return replace(proposal, verdict=replace(looked, hold=hold))


def last_narrowed(tx: Transaction, one: StoredApproval) -> StoredApproval:
    """What was asked instead of a narrowed question, locked (rule 3)."""
    while one.state is ApprovalState.NARROWED:
        found = tx.approvals.lock_narrowed(one.question.namespace, one.question.digest)
        if found is None:
            break
        one = found
    return one
