"""Whether open questions of the group's tasks are still what was asked, by what is true now.

1. What a call resumes is judged by what is true now: policy, scope, deadline and what its probes find; and
   of an approved one, whether those who approved may still do so. Where that is not so the hold is ended.
2. Of the steps of a plan that are left each is judged, and the next one also by what the call that presents
   it found.
3. Whoever answered and is signed in no more, where that was asked for, can't answer this question again: it
   is asked anew, of everybody.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from taskbound.core.approval import ApprovalState
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Holding, OpenHold
from taskbound.flows.approval.hold.fates import SIGNED_OUT, fate_of, other_wish
from taskbound.flows.approval.hold.outliving import waits_until

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.approval import Befallen, Circle
    from taskbound.core.clock import Instant
    from taskbound.core.decision import Proposal
    from taskbound.core.task import Task
    from taskbound.flows.approval.circle import People
    from taskbound.flows.means import Means
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


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
