"""Looks up, asks, resumes and uses holds within the commit of a decision group.

- A resumed call is judged as of now. If anything bound differs, the hold ends and is asked anew. A failed
  probe ends it and refuses.
- One conditional statement uses an approval, in the transaction that writes the permit; the held action
  becomes the permit under its own id. The approval is never given back.
- An unlocked read comes before persons are locked, so that a PostgreSQL transaction is alone by then and
  cannot deadlock with a person's departure. Plan rows are locked before any question.
- An approval covers retries only in the number its statement says (law 7), until the signed question's
  deadline, and only after an attempt that failed or was not sent. The retry's question must have the signed
  digest, and the same policies must hold it. Narrowings, plans and issuers' tokens cover none.
- A denial and a narrowing are final: the same call is not asked again (design 4.7).
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.approval import (
    FIRST,
    OPEN,
    ApprovalEvent,
    ApprovalState,
    DeniedBeforeError,
    First,
    Invalidation,
    NarrowedBeforeError,
    Question,
    needs_of,
    require_askable,
    require_showable,
    steps_of,
)
from taskbound.core.approval.sheet import sheet_of
from taskbound.core.audit import ApprovalAsked
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Hold, Holding, OpenHold, OpenHolds
from taskbound.core.errors import TaskboundError
from taskbound.flows.approval.circle import DAEMON, changed_event, end_approvals, lock_people
from taskbound.flows.approval.fatigue import room_to_ask
from taskbound.flows.approval.hold.judging import ELSEWHERE, last_narrowed, make_bench, open_hold
from taskbound.flows.approval.plan import PlanBatch, lock_plans
from taskbound.ports.approval import ApprovalChange, StoredApproval, Waiter

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Mapping, Sequence

    from taskbound.core.approval import Answer, EligibleApprovers
    from taskbound.core.audit import Event
    from taskbound.core.decision import Proposal, Settled, Waiting
    from taskbound.core.task import Task
    from taskbound.flows.approval.hold.judging import JudgingState
    from taskbound.flows.means import Adapters
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Transaction


HOLD_LIFE: Final = 8 * 3_600_000_000
"""µs that a question stays open at most; never longer than its task, nor than the one that it narrows."""


def names_of(adapters: Adapters) -> tuple[str, str]:
    """Draws the id and the nonce of a new question."""
    return adapters.chance.name("apr"), adapters.chance.name("non")


def question_of(
    proposal: Proposal, task: Task, verdict: Holding, names: tuple[str, str], now: Instant
) -> Question:
    """Builds the question about this proposal; `names` are its id and nonce."""
    narrows = proposal.narrows
    latest = min(task.deadline, now + HOLD_LIFE, *([] if narrows is None else [narrows.deadline]))
    return Question(
        namespace=task.namespace,
        id=names[0],
        action=proposal.id,
        act=proposal.action.digest,
        task=task.id,
        agent=task.agent,
        requester=task.requester,
        purpose=task.purpose,
        tool=proposal.action.tool,
        bundle=proposal.basis.bundle,
        scope=proposal.scope,
        edition=task.scope_version,
        lifters=verdict.hold.lifters,
        operands=verdict.operands,
        nonce=names[1],
        asked=now,
        deadline=Instant(latest),
        narrows="" if narrows is None else narrows.digest,
        plan="" if proposal.planned is None else proposal.planned.plan,
        step=0 if proposal.planned is None else proposal.planned.step,
    )


def obstacle_to_asking(
    proposal: Proposal,
    task: Task | None,
    circle: EligibleApprovers | None,
    answered: Mapping[tuple[str, str], TaskboundError],
    now: Instant,
) -> TaskboundError | None:
    """Returns why people cannot be asked, or None; `answered` are calls answered for good."""
    verdict = proposal.verdict
    if not isinstance(verdict, Holding) or circle is None or task is None:
        return None
    try:
        final = answered.get((proposal.action.task, proposal.action.digest))
        if final is not None:
            return final
        if verdict.blocked is not None:
            raise verdict.blocked
        lifters = verdict.hold.lifters
        require_askable(needs_of(lifters), circle, steps_of(lifters))
        question = question_of(proposal, task, verdict, (proposal.id, proposal.id), now)
        require_showable(sheet_of(question, proposal.action, policies=verdict.hold.policies))
    except TaskboundError as error:
        return error
    return None


def superseded_before(
    tx: Transaction,
    held: Sequence[Proposal],
    ending: Sequence[tuple[StoredApproval, Invalidation]],
    known: Container[str],
) -> dict[str, str]:
    """Returns held actions to ask anew, with the reason; `known` are held actions read under lock."""
    found = {one.question.action: fate.reason for one, fate in ending if not one.question.narrows}
    for one in held:
        if one.resume and one.resume not in found and one.resume not in known:
            named = tx.approvals.approval_of(one.action.namespace, one.resume)
            if named is not None and named.state is ApprovalState.SUPERSEDED and not named.question.narrows:
                found[one.resume] = named.reason
    return found


def answered_before(
    tx: Transaction,
    found: Mapping[tuple[str, str], Sequence[StoredApproval]],
    bench: JudgingState,
) -> tuple[dict[tuple[str, str], TaskboundError], dict[tuple[str, str], tuple[tuple[str, OpenHold], ...]]]:
    answered: dict[tuple[str, str], TaskboundError] = {}
    narrowed: dict[tuple[str, str], tuple[tuple[str, OpenHold], ...]] = {}
    for key, some in found.items():
        for one in some:
            match one.state:
                case ApprovalState.DENIED:
                    why = "a person has denied exactly this, and a denial is final"
                    answered[key] = DeniedBeforeError(why)
                case ApprovalState.NARROWED:
                    instead = last_narrowed(tx, one)
                    answered[key] = NarrowedBeforeError(_narrowed_words(instead))
                    if instead.state in OPEN:
                        held = open_hold(instead, "-", bench.tasks.get(key[0]), bench.lost)
                        narrowed[key] = (*narrowed.get(key, ()), (one.question.action, held))
                case _:
                    continue
    return answered, narrowed


def _narrowed_words(instead: StoredApproval) -> str:
    action = instead.question.action
    return f"a person has narrowed exactly this to `{action}`, which is {instead.state.value}"


_OVER: Final = frozenset(
    {ActionState.FAILED, ActionState.NOT_SENT, ActionState.LAPSED, ActionState.RECONCILED_FAILED}
)
"""What is known to have had no effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A retry that is covered by an earlier answer."""

    question: Question
    answers: tuple[Answer, ...]
    """What was said to the first question."""


def retries_of(
    tx: Transaction,
    adapters: Adapters,
    held: Sequence[Proposal],
    holds: Container[tuple[str, str]],
    bench: JudgingState,
) -> dict[str, Retry]:
    """Returns covered retries by proposal id; `holds` are open (task, action digest) and resume instead."""
    found: dict[str, Retry] = {}
    seen: set[tuple[str, str]] = set()
    for one in held:
        key = (one.action.task, one.action.digest)
        if key in holds or key in seen or one.narrows is not None or one.planned is not None:
            continue
        seen.add(key)
        retry = _retry(tx, adapters, one, bench)
        if retry is not None:
            found[one.id] = retry
    return found


def _retry(tx: Transaction, adapters: Adapters, one: Proposal, bench: JudgingState) -> Retry | None:
    verdict, now = one.verdict, bench.now
    task, circle = bench.tasks.get(one.action.task), bench.circles.get((one.action.task, one.action.tool))
    if task is None or circle is None or not isinstance(verdict, Holding):
        return None
    used = tx.approvals.lock_last_used(task.namespace, task.id, one.action.digest)
    kept = None if used is None else tx.actions.action(task.namespace, used.question.action)
    if used is None or kept is None or kept.policies != verdict.hold.policies or _why_no_retry(tx, kept):
        return None
    asked = question_of(one, task, verdict, names_of(adapters), now)
    before, number = used.question, used.question.retry + 1
    first = before.first or First(**{name: getattr(before, name) for name in FIRST})
    deadline = Instant(min(asked.deadline, first.deadline))
    question = replace(asked, first=first, retry=number, deadline=deadline)
    if now >= deadline or bench.people.lacking(question, used.answers, circle, adapters, now):
        return None  # an answer counts for this question only if it says so of all that is bound
    return Retry(question=question, answers=used.answers)


def fate_of_retry(tx: Transaction, one: StoredApproval) -> Invalidation | None:
    question = one.question
    if question.first is None:
        return None
    used = tx.approvals.lock_last_used(question.namespace, question.task, question.act)
    kept = None if used is None else tx.actions.action(question.namespace, used.question.action)
    reason = "another attempt was made meanwhile"
    if used is not None and kept is not None and _follows(question, used.question):
        reason = _why_no_retry(tx, kept)
    return Invalidation(event=ApprovalEvent.SUPERSEDE, reason=reason) if reason else None


def answer_retry(tx: Transaction, one: StoredApproval) -> None:
    question = one.question
    for each in one.answers:
        tx.approvals.put_answer(question.namespace, question.id, each)
    step = ApprovalChange(
        id=question.id,
        before=one.state,
        after=ApprovalState.APPROVED,
        finished=Instant(0),
        reason=covered_words(question),
    )
    tx.approvals.move_approvals(question.namespace, [step])


def covered_words(question: Question) -> str:
    first = question.answered
    return f"the answer to `{first.id}` covers retry {question.retry} of it"


def _why_no_retry(tx: Transaction, kept: StoredAction) -> str:
    history = tx.actions.act(kept.namespace, kept.root, kept.act_key)
    if history.last_action != kept.id:
        return "another attempt was made meanwhile"
    key = (kept.root, kept.act_key)
    if any((one.root, one.act_key) == key for one in tx.actions.open_permits(kept.namespace)):
        return "an attempt of it is under way"
    if tx.actions.unknowns(kept.namespace, *key):
        return "what came of an attempt of it is unknown"
    return "" if kept.state in _OVER else f"the attempt before is {kept.state.value}"


def _follows(question: Question, before: Question) -> bool:
    return (question.answered.digest, question.retry) == (before.answered.digest, before.retry + 1)


MOST_WAIT: Final = 600
"""Seconds that a call may wait at most."""


@dataclass(slots=True, kw_only=True)
class HoldBatch:
    """The holds of a decision group, and the changes to write."""

    places: OpenHolds
    tasks: Mapping[str, Task]
    stored: dict[str, StoredApproval]
    """By held action."""
    events: list[Event]
    """What was ended already, and is to be recorded before the decisions."""
    now: Instant
    plans: PlanBatch
    retries: Mapping[str, Retry] = field(default_factory=dict)
    """By the proposal's id: those that an approval covers."""
    covered: list[StoredApproval] = field(default_factory=list)
    after: list[Event] = field(default_factory=list)
    asked: list[StoredApproval] = field(default_factory=list)
    steps: list[ApprovalChange] = field(default_factory=list)
    lifted: list[StoredAction] = field(default_factory=list)

    def take(
        self, tx: Transaction, adapters: Adapters, settled: Settled, row: StoredAction, wait: int
    ) -> StoredAction:
        """Returns the decision's row, after asking people or using an approval where needed."""
        if settled.lifted is not None:
            return self.lift(tx, settled, row)
        if isinstance(settled.decision, Hold) and isinstance(settled.proposal.verdict, Holding):
            self.ask(adapters, settled, settled.proposal.verdict, wait=wait, row=row)
        return row

    def ask(
        self, adapters: Adapters, settled: Settled, verdict: Holding, *, wait: int, row: StoredAction
    ) -> None:
        proposal = settled.proposal
        retry = self.retries.get(proposal.id)
        if retry is None:
            task = self.tasks[proposal.action.task]
            question = question_of(proposal, task, verdict, names_of(adapters), self.now)
        else:
            question = retry.question
        waiter = self.waiter(row.connection, row.request, wait)
        if proposal.narrows is not None:
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
        return any(one.question.action == action for one in self.covered)

    def wait(self, tx: Transaction, waiting: Waiting, wait: int) -> None:
        presented = waiting.proposal.presented
        waiter = self.waiter(presented.connection, presented.request, wait)
        tx.approvals.put_waiter(waiting.proposal.action.namespace, waiting.hold.approval, waiter)

    def lift(self, tx: Transaction, settled: Settled, row: StoredAction) -> StoredAction:
        """Uses the approval: the held action becomes this permit."""
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
        """Returns the events to record after the decisions; `differed` are plans deviated from, and how."""
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
        """Returns the waiter whose wait of `wait` seconds starts now."""
        seconds = max(0, min(wait, MOST_WAIT))
        until = Instant(self.now + seconds * 1_000_000) if seconds else Instant(0)
        return Waiter(connection=connection, request=request, until=until)


def look_at_holds(
    tx: Transaction,
    adapters: Adapters,
    proposals: Sequence[Proposal],
    bundle: str,
    lost: Collection[tuple[str, str]],
    now: Instant,
) -> HoldBatch | None:
    """Returns None if policy holds none; `lost` are (namespace, connection) pairs that may return."""
    held = [one for one in proposals if isinstance(one.verdict, Holding)]
    if not held:
        return None
    namespace = held[0].action.namespace
    tx.tasks.task(namespace, held[0].action.task)
    plans = lock_plans(tx, namespace, {one.action.task for one in held})
    found = tx.approvals.lock_holds(namespace, {(one.action.task, one.action.digest) for one in held})
    people = lock_people(tx, namespace, now)
    bench = make_bench(tx, adapters, people, held, plans.steps, bundle=bundle, lost=lost, now=now)
    acts = {(one.action.task, one.action.digest): one.action.tool for one in held}
    answered, narrowed = answered_before(tx, found, bench)
    holds: dict[tuple[str, str], list[OpenHold]] = {}
    ending: list[tuple[StoredApproval, Invalidation]] = []
    for key, some in found.items():
        for one in some:
            if one.state not in OPEN or one.question.plan:
                continue
            fate = bench.fate(one) if acts.get(key) == one.question.tool else ELSEWHERE
            fate = fate or fate_of_retry(tx, one)
            if fate is not None:
                ending.append((one, fate))
            else:
                holds.setdefault(key, []).append(bench.open(one))
    events, _ = end_approvals(tx, ending, by=DAEMON, now=now)
    retries = retries_of(tx, adapters, held, holds, bench)
    of_plans, over = plans.judge(tx, bench.fate_of_step, now=now)
    ending += over
    stored = {one.question.action: one for some in (*found.values(), plans.steps) for one in some}
    whys = {one.id: _why_not(one, bench, answered, now) for one in held}
    room, hourly = room_to_ask(tx, namespace, bench.tasks, held, now)
    return HoldBatch(
        places=OpenHolds(
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
    one: Proposal, bench: JudgingState, answered: Mapping[tuple[str, str], TaskboundError], now: Instant
) -> TaskboundError | None:
    circle = bench.circles.get((one.action.task, one.action.tool))
    return obstacle_to_asking(one, bench.tasks.get(one.action.task), circle, answered, now)
