"""Holds inside the commit of a group of decisions: what is open is looked at, asked, resumed or used.

1. What a call resumes is judged by what is true now: policy, scope, deadline and what its probes find; and
   of an approved one, whether those who approved may still do so. Where that is not so the hold is ended,
   and asked for anew. What can't be looked at any more ends it too, and is refused.
2. An approval is used in the transaction that writes the permit, by one conditional statement; the held
   action becomes that permit, under its own id. It is never given back, whatever becomes of the permit.
3. Nothing is read here for calls that policy does not hold.
4. Something is read without a lock before people are locked: so PostgreSQL's transaction is alone before it
   locks them, and never waits for one that leaves while that one waits for it (`link`, rule 4).
5. Who waits for a held action that was narrowed waits for what runs instead, and is told of it when it asks
   again. The held one's answer is final: as after a denial nobody is asked about the same call again.
6. The steps of a plan are resumed through it (`planned`), and its rows are locked before any question's.
7. A retry that an approval covers is asked about by its own question, which is answered in the same moment
   (`retried`); its call is then decided again, and uses it as any call would.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import (
    OPEN,
    ApprovalState,
    Befallen,
)
from taskbound.core.audit import ApprovalAsked
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Hold, Holding, HoldPlaces, OpenHold
from taskbound.flows.approval.circle import lock_people
from taskbound.flows.approval.ending import DAEMON, changed_event, end_approvals
from taskbound.flows.approval.fatigue.room import room_to_ask
from taskbound.flows.approval.hold.asking import names_of, question_of, why_not_asked
from taskbound.flows.approval.hold.fates import ELSEWHERE
from taskbound.flows.approval.hold.judging import make_bench
from taskbound.flows.approval.hold.past import answered_before, superseded_before
from taskbound.flows.approval.hold.retried import answer_retry, covered_words, fate_of_retry, retries_of
from taskbound.flows.approval.plan.planned import PlanSheet, lock_plans
from taskbound.ports.approval import ApprovalChange, StoredApproval, Waiter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.audit import Event
    from taskbound.core.decision import Proposal, Settled, Waiting
    from taskbound.core.errors import TaskboundError
    from taskbound.core.task import Task
    from taskbound.flows.approval.hold.judging import Bench
    from taskbound.flows.approval.hold.retried import Retry
    from taskbound.flows.means import Means
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Transaction


MOST_WAIT: Final = 600
"""Seconds that a call may wait at most."""


@dataclass(slots=True, kw_only=True)
class HoldSheet:
    """What is known of the group's holds, and what is written of them."""

    places: HoldPlaces
    tasks: Mapping[str, Task]
    stored: dict[str, StoredApproval]
    """By held action."""
    events: list[Event]
    """What was ended already, and is to be recorded before the decisions."""
    now: Instant
    plans: PlanSheet
    retries: Mapping[str, Retry] = field(default_factory=dict)
    """By the proposal's id: those that an approval covers (rule 7)."""
    covered: list[StoredApproval] = field(default_factory=list)
    after: list[Event] = field(default_factory=list)
    asked: list[StoredApproval] = field(default_factory=list)
    steps: list[ApprovalChange] = field(default_factory=list)
    lifted: list[StoredAction] = field(default_factory=list)

    def take(
        self, tx: Transaction, means: Means, settled: Settled, row: StoredAction, wait: int
    ) -> StoredAction:
        """The row of a decision, when people are asked about it, or an approval is used for it."""
        if settled.lifted is not None:
            return self.lift(tx, settled, row)
        if isinstance(settled.decision, Hold) and isinstance(settled.proposal.verdict, Holding):
            self.ask(means, settled, settled.proposal.verdict, wait=wait, row=row)
        return row

    def ask(self, means: Means, settled: Settled, verdict: Holding, *, wait: int, row: StoredAction) -> None:
        """Ask people about this new held action."""
        proposal = settled.proposal
        retry = self.retries.get(proposal.id)
        if retry is None:
            task = self.tasks[proposal.action.task]
            question = question_of(proposal, task, verdict, names_of(means), self.now)
        else:
            question = retry.question
        waiter = self.waiter(row.connection, row.request, wait)
        if proposal.narrows is not None:  # 5
            narrows = proposal.narrows
            waiter = Waiter(connection=narrows.connection, request=narrows.request, until=narrows.waits)
        stored = StoredApproval(question=question, state=ApprovalState.PENDING, waiter=waiter)
        self.asked.append(stored)
        if retry is not None:
            self.covered.append(replace(stored, answers=retry.answers))
        self.after.append(
            ApprovalAsked(
                approval=question.id,
                digest=question.digest,
                action=question.action,
                act=question.act,
                task=question.task,
                agent=question.agent,
                tool=question.tool,
                requester=question.requester,
                bundle=question.bundle,
                scope=question.scope,
                lifters=question.lifters,
                deadline=question.deadline,
                connection=row.connection,
                operands=tuple(one.place for one in question.operands),
                narrows=question.narrows,
                retries="" if question.first is None else question.answered.digest,
                edition=question.edition,
            )
        )
        if retry is not None:
            self.after.append(changed_event(stored, ApprovalState.APPROVED, covered_words(question), DAEMON))

    def covers(self, action: str) -> bool:
        """Whether this held action is a retry that was answered before (rule 7)."""
        return any(one.question.action == action for one in self.covered)

    def wait(self, tx: Transaction, waiting: Waiting, wait: int) -> None:
        """This presentation waits for the answer now."""
        presented = waiting.proposal.presented
        waiter = self.waiter(presented.connection, presented.request, wait)
        tx.approvals.put_waiter(waiting.proposal.action.namespace, waiting.hold.approval, waiter)

    def lift(self, tx: Transaction, settled: Settled, row: StoredAction) -> StoredAction:
        """Use the approval: the held action becomes this permit (rule 2)."""
        stored = self.stored[row.id]
        kept = tx.actions.action(row.namespace, row.id)
        whole = row if kept is None else replace(row, at=kept.at)
        reason = f"permitted on the presentation {settled.proposal.presented.request}"
        self.steps.append(
            ApprovalChange(
                id=stored.question.id,
                before=stored.state,
                after=ApprovalState.CONSUMED,
                finished=self.now,
                reason=reason,
            )
        )
        self.lifted.append(whole)
        if stored.question.plan:
            self.plans.used[stored.question.plan] += 1
        self.after.append(changed_event(stored, ApprovalState.CONSUMED, reason, DAEMON))
        return whole

    def write(self, tx: Transaction, namespace: str, differed: Mapping[str, str]) -> list[Event]:
        """Write what was remembered; what is to be recorded behind the decisions.

        Args:
            tx: The transaction.
            namespace: Of all of it.
            differed: Plans from which a call of the group differed, and how.
        """
        if self.steps:
            tx.approvals.move_approvals(namespace, self.steps)
        if self.lifted:
            tx.actions.lift_actions(self.lifted)
        if self.asked:
            tx.approvals.insert_approvals(self.asked)
        for one in self.covered:
            answer_retry(tx, one)
        self.after += self.plans.write(tx, differed, self.now)
        return self.after

    def waiter(self, connection: str, request: str, wait: int) -> Waiter:
        """Who waits so long from now."""
        seconds = max(0, min(wait, MOST_WAIT))
        until = Instant(self.now + seconds * 1_000_000) if seconds else Instant(0)
        return Waiter(connection=connection, request=request, until=until)


def look_at_holds(
    tx: Transaction,
    means: Means,
    proposals: Sequence[Proposal],
    bundle: str,
    lost: Collection[tuple[str, str]],
    now: Instant,
) -> HoldSheet | None:
    """What is known of holds for the proposals that policy holds; None when it holds none (rule 3).

    `lost` is (namespace, connection) of whoever is gone, and may be back.
    """
    held = [one for one in proposals if isinstance(one.verdict, Holding)]
    if not held:
        return None
    namespace = held[0].action.namespace
    tx.tasks.task(namespace, held[0].action.task)  # 4
    plans = lock_plans(tx, namespace, {one.action.task for one in held})  # 6
    found = tx.approvals.lock_holds(namespace, {(one.action.task, one.action.digest) for one in held})
    people = lock_people(tx, namespace, now)
    bench = make_bench(tx, means, people, held, plans.steps, bundle=bundle, lost=lost, now=now)
    acts = {(one.action.task, one.action.digest): one.action.tool for one in held}
    answered, narrowed = answered_before(tx, found, bench)
    holds: dict[tuple[str, str], list[OpenHold]] = {}
    ending: list[tuple[StoredApproval, Befallen]] = []
    for key, some in found.items():
        for one in some:
            if one.state not in OPEN or one.question.plan:
                continue  # 6
            fate = bench.fate(one) if acts.get(key) == one.question.tool else ELSEWHERE
            fate = fate or fate_of_retry(tx, one)
            if fate is not None:
                ending.append((one, fate))  # 1
            else:
                holds.setdefault(key, []).append(bench.open(one))
    events, _ = end_approvals(tx, ending, by=DAEMON, now=now)
    retries = retries_of(tx, means, held, holds, bench)
    of_plans, over = plans.judge(tx, bench.fate_of_step, now=now)
    ending += over
    stored = {one.question.action: one for some in (*found.values(), plans.steps) for one in some}
    whys = {one.id: _why_not(one, bench, answered, now) for one in held}
    room, hourly = room_to_ask(tx, namespace, bench.tasks, held, now)
    return HoldSheet(
        places=HoldPlaces(
            holds={key: tuple(some) for key, some in holds.items()},
            unaskable={name: error for name, error in whys.items() if error is not None},
            room=room,
            hourly=hourly,
            superseded=superseded_before(tx, held, ending, stored),
            anew={(one.question.task, one.question.act): fate.reason for one, fate in ending},
            narrowed=narrowed,
            plans=plans.places(tx, bench.open),
        ),
        tasks=bench.tasks,
        stored=stored,
        events=[*events, *of_plans],
        now=now,
        plans=plans,
        retries=retries,
    )


def _why_not(
    one: Proposal, bench: Bench, answered: Mapping[tuple[str, str], TaskboundError], now: Instant
) -> TaskboundError | None:
    """Why nobody can be asked for this; None when people can."""
    circle = bench.circles.get((one.action.task, one.action.tool))
    return why_not_asked(one, bench.tasks.get(one.action.task), circle, answered, now)
