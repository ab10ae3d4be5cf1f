"""Answers to approval requests and plans: signed statements, withdrawals and expiry.

- The signature is verified over the received bytes. The row is then locked; state, digest, key and
  entitlement are judged as they are now. An answer, use or sweep ends a question whose basis has changed.
- The requester, the agent's owner or the asking connection may withdraw. Where holds outlive calls, a closed
  connection withdraws nothing. A step is withdrawn only with its plan.
- Lock order (design 4.8): what the question rests on, the plan, then the question.
- An approval of a plan must count for every remaining step. A denial denies each remaining step it counts
  for, for the rest of the task, and ends the plan even if it runs; other remaining steps may be asked again.
"""

from __future__ import annotations

import logging
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.approval import (
    OPEN,
    AnswerKind,
    ApprovalEvent,
    ApprovalOverError,
    ApprovalState,
    BadStatementError,
    Invalidation,
    NotEntitledError,
    Subject,
    UnknownApprovalError,
    advance_approval,
    befallen,
    fates_of_denial,
    require_answers,
)
from taskbound.core.approval.amendment import AmendmentEvent, AmendmentFate
from taskbound.core.audit.events import PlanAnswered
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.flows.approval.amendment import end_amendments
from taskbound.flows.approval.circle import (
    DAEMON,
    QuestionUpdate,
    changed_event,
    end_approvals,
    ground_of,
    tell,
)
from taskbound.flows.approval.fatigue import pace_in
from taskbound.flows.approval.hold.judging import NOBODY, outlives
from taskbound.flows.approval.plan import (
    end_plan,
    fate_of_plan,
    lock_open_plan,
    lock_whole,
    lock_wholes,
    move_plan,
    see_whole,
)
from taskbound.flows.approval.proof.kept import count_on
from taskbound.flows.approval.proof.signed import (
    answered_event,
    judge,
    judge_steps,
    lock_signer,
    verify_signed,
)
from taskbound.ports.approval import ApprovalChange

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from taskbound.core.approval import Answer, AnswerSignIn, Question
    from taskbound.core.approval.fatigue import Pace
    from taskbound.core.audit import Event
    from taskbound.flows.approval.plan import PlanWithApprovals
    from taskbound.flows.approval.proof.signed import Signed
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.approval import StoredApproval, StoredPlan
    from taskbound.ports.store import Snapshot, Transaction


class Questions:
    """Works on one question at a time within a transaction."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def lock(self, tx: Transaction, namespace: str, approval: str) -> StoredApproval | None:
        """Locks the approval after what it rests on."""
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
    ) -> tuple[StoredApproval, Invalidation | None]:
        """Locks the open approval and returns it with what ends it, if anything."""
        one = self.lock(tx, namespace, approval)
        if one is None:
            raise UnknownApprovalError(f"no approval is named `{approval}`")
        if one.state not in OPEN:
            raise ApprovalOverError(f"the question is over: it is {one.state.value}")
        return one, self.fate(tx, one)

    def fate(self, tx: Transaction, one: StoredApproval) -> Invalidation | None:
        ground = ground_of(tx, one.question, self._adapters.policy)
        return befallen(one.question, ground, self._adapters.clock.now())

    def end(
        self, tx: Transaction, ending: list[tuple[StoredApproval, Invalidation]], by: tuple[str, str] = DAEMON
    ) -> list[QuestionUpdate]:
        now = self._adapters.clock.now()
        events, told = end_approvals(tx, ending, by=by, now=now)
        if events:
            self.record(tx, ending[0][0].question.namespace, events, now)
        return told

    def lock_plan(self, tx: Transaction, namespace: str, plan: str) -> PlanWithApprovals | None:
        """Locks the plan and its steps after what they rest on."""
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
        whole: PlanWithApprovals,
        fate: Invalidation,
        by: tuple[str, str] = DAEMON,
        each: Sequence[Invalidation] = (),
    ) -> list[QuestionUpdate]:
        now = self._adapters.clock.now()
        events, told = end_plan(tx, whole, fate, by=by, now=now, each=each)
        self.record(tx, whole.stored.plan.namespace, events, now)
        return told

    def approve(
        self, tx: Transaction, one: StoredApproval, by: tuple[str, str], now: Instant
    ) -> QuestionUpdate:
        """Marks the approval usable after enough answers."""
        after = advance_approval(one.state, ApprovalEvent.APPROVE)
        reason = "enough have answered"
        step = ApprovalChange(
            id=one.question.id, before=one.state, after=after, finished=Instant(0), reason=reason
        )
        tx.approvals.move_approvals(one.question.namespace, [step])
        self.record(tx, one.question.namespace, [changed_event(one, after, reason, by)], now)
        return tell(one, after, reason)

    def record(self, tx: Transaction, namespace: str, events: list[Event], now: Instant) -> None:
        tx.audit.append(namespace, self._adapters.writer, events, now)


_log = logging.getLogger(__name__)

Answered: TypeAlias = "tuple[QuestionUpdate, str]"
"""What became of the question, and what is missing still."""


class Approvals:
    """Takes answers and ends questions; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters
        self._questions = Questions(adapters)

    def answer(
        self, namespace: str, raw: bytes, signature: bytes, sign_in: AnswerSignIn | None = None
    ) -> Answered:
        signed = verify_signed(self._adapters, namespace, raw, signature, sign_in)
        if signed.statement.kind is AnswerKind.NARROW:
            raise BadStatementError("a narrowing is brought with the action that it names")
        hasty: list[tuple[Question, Answer, Pace]] = []
        answered, over = self._adapters.store.write(lambda tx: self._answer(tx, namespace, signed, hasty))
        if over:
            raise ApprovalOverError(f"the question is over: {over}")
        for one in hasty[-1:]:
            from taskbound.flows.approval.limits import alert_hasty  # noqa: PLC0415  # persons import approvals

            alert_hasty(self._adapters, *one)
        return answered

    def withdraw(
        self, namespace: str, approval: str, actor: Actor, *, reason: str
    ) -> tuple[QuestionUpdate, ...]:
        def work(tx: Transaction) -> tuple[QuestionUpdate, ...]:
            whole = lock_open_plan(tx, namespace, approval)
            one = _require_open(tx, namespace, approval) if whole is None else whole.left[0]
            agent = tx.identities.agent(namespace, one.question.agent)
            if actor.name not in {one.question.requester, agent.owner if agent is not None else ""}:
                raise NotEntitledError(
                    f"`{actor.name}` neither asked for the task nor owns the agent",
                    remedy="deny it instead, if you may answer it",
                )
            fate = Invalidation(event=ApprovalEvent.WITHDRAW, reason=reason or f"withdrawn by {actor.name}")
            by = (actor.name, actor.proof)
            if whole is not None:
                return tuple(self._questions.end_whole(tx, whole, fate, by))
            return tuple(self._questions.end(tx, [(one, fate)], by))

        return self._adapters.store.write(work)

    def leave(
        self, namespace: str, connection: str, *, action: str = "", reason: str
    ) -> list[QuestionUpdate]:
        with self._adapters.store.read() as snapshot:
            left = {action, _runs_instead(snapshot, namespace, action)}
            known = [
                one.question.id
                for one in snapshot.approvals.open_approvals()
                if one.question.namespace == namespace
                and one.waiter.connection == connection
                and (not action or one.question.action in left)
            ]
        if not known:
            return []

        def work(tx: Transaction) -> list[QuestionUpdate]:
            fate = Invalidation(event=ApprovalEvent.WITHDRAW, reason=reason)
            found = [tx.approvals.lock_approval(namespace, name) for name in sorted(known)]
            ending: list[tuple[StoredApproval, Invalidation]] = []
            for one in found:
                if one is None or one.state not in OPEN or one.waiter.connection != connection:
                    continue
                if one.question.plan or outlives(tx.tasks.task(namespace, one.question.task)):
                    tx.approvals.put_waiter(namespace, one.question.id, NOBODY)
                else:
                    ending.append((one, fate))
            return self._questions.end(tx, ending, DAEMON)

        return self._adapters.store.write(work)

    def sweep(self) -> list[QuestionUpdate]:
        now = self._adapters.clock.now()
        with self._adapters.store.read() as snapshot:
            policies = self._adapters.policy
            due = [
                one
                for one in snapshot.approvals.open_approvals()
                if not one.question.plan
                and befallen(one.question, ground_of(snapshot, one.question, policies), now) is not None
            ]
            now = self._adapters.clock.now()
            plans = [
                one
                for one in snapshot.approvals.open_plans()
                if fate_of_plan(snapshot, see_whole(snapshot, one), policies, now) is not None
            ]
        ended: list[QuestionUpdate] = []
        for stored in plans:
            try:
                ended += self._adapters.store.write(partial(self._look_at_plan, stored))
            except TaskboundError:  # as below
                _log.exception("plan %s could not be ended", stored.plan.id)
        for one in due:
            try:
                ended += self._adapters.store.write(partial(self._look, one))
            except TaskboundError:  # the next use meets it again; the others are not kept waiting
                _log.exception("question %s could not be ended", one.question.id)
        return ended

    def _look(self, one: StoredApproval, tx: Transaction) -> list[QuestionUpdate]:
        found = self._questions.lock(tx, one.question.namespace, one.question.id)
        if found is None or found.state not in OPEN:
            return []
        fate = self._questions.fate(tx, found)
        return [] if fate is None else self._questions.end(tx, [(found, fate)], DAEMON)

    def _look_at_plan(self, stored: StoredPlan, tx: Transaction) -> list[QuestionUpdate]:
        whole = self._questions.lock_plan(tx, stored.plan.namespace, stored.plan.id)
        if whole is None or whole.stored.state not in OPEN:
            return []
        fate = fate_of_plan(tx, whole, self._adapters.policy, self._adapters.clock.now())
        return [] if fate is None else self._questions.end_whole(tx, whole, fate, DAEMON)

    def _answer(
        self,
        tx: Transaction,
        namespace: str,
        signed: Signed,
        hasty: list[tuple[Question, Answer, Pace]],
    ) -> tuple[Answered, str]:
        statement = signed.statement
        one, fate = self._questions.lock_open(tx, namespace, statement.question)
        if fate is not None:
            told = self._questions.end(tx, [(one, fate)], DAEMON)[0]
            return (told, ""), fate.reason
        now = self._adapters.clock.now()
        judged = judge(tx, one, signed, now)
        count_on(tx, self._adapters.signatures, judged.key, signed.signature)
        answer = signed.answer(statement.kind, now)
        tx.approvals.put_answer(namespace, one.question.id, answer)
        pace = pace_in(tx, namespace, one.question.id, answer)
        if pace.hasty:
            hasty.append((one.question, answer, pace))
        self._questions.record(tx, namespace, [answered_event(one, signed, statement.kind, pace)], now)
        if statement.kind is AnswerKind.DENY:
            fate = Invalidation(event=ApprovalEvent.DENY, reason=f"denied by {statement.person}")
            return (self._questions.end(tx, [(one, fate)], signed.by)[0], ""), ""
        answers = (*one.answers, answer)
        lacking = judged.people.lacking(one.question, answers, judged.circle, self._adapters, now)
        if lacking or one.state is not ApprovalState.PENDING:
            return (tell(one, one.state, ""), lacking), ""
        return (self._questions.approve(tx, one, signed.by, now), ""), ""


def _require_open(tx: Transaction, namespace: str, approval: str) -> StoredApproval:
    one = tx.approvals.lock_approval(namespace, approval)
    if one is None:
        raise UnknownApprovalError(f"no approval is named `{approval}`")
    if one.state not in OPEN:
        raise ApprovalOverError(f"the question is over: it is {one.state.value}")
    return one


def _runs_instead(snapshot: Snapshot, namespace: str, action: str) -> str:
    one = snapshot.approvals.approval_of(namespace, action) if action else None
    while one is not None and one.state is ApprovalState.NARROWED:
        action = one.question.action
        one = snapshot.approvals.narrowed_to(namespace, one.question.digest)
    return action if one is None else one.question.action


def end_of_tasks(
    tx: Transaction, namespace: str, tasks: Collection[str], *, reason: str, by: Actor, now: Instant
) -> list[Event]:
    fate = Invalidation(event=ApprovalEvent.WITHDRAW, reason=reason)
    events: list[Event] = []
    for whole in lock_wholes(tx, namespace, tasks):
        events += end_plan(tx, whole, fate, by=(by.name, by.proof), now=now)[0]
    ending = [(one, fate) for one in tx.approvals.lock_open(namespace, tasks)]
    events += end_approvals(tx, ending, by=(by.name, by.proof), now=now)[0]
    over = AmendmentFate(event=AmendmentEvent.WITHDRAW, reason=reason)
    open_ones = [(one, over) for one in tx.amendments.lock_open(namespace, tasks)]
    return events + end_amendments(tx, open_ones, by=(by.name, by.proof), now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanUpdate:
    """The new state of a plan and its steps."""

    plan: str
    state: ApprovalState
    missing: str
    """What is missing until it may be used, in words; empty when nothing."""
    told: tuple[QuestionUpdate, ...]
    """Of each step that stands elsewhere now."""
    over: str = ""
    """Why it was over when the answer came."""
    denied: tuple[int, ...] = ()
    """The steps that a denial has denied."""


class Plans:
    """Takes answers to plans; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters
        self._questions = Questions(adapters)

    def answer(
        self, namespace: str, raw: bytes, signature: bytes, sign_in: AnswerSignIn | None = None
    ) -> PlanUpdate:
        signed = verify_signed(self._adapters, namespace, raw, signature, sign_in)
        if signed.statement.subject is not Subject.PLAN:
            raise BadStatementError("what was signed is no answer to a plan")
        hasty: list[tuple[StoredPlan, Answer, Pace]] = []
        said = self._adapters.store.write(partial(self._answer, namespace, signed, hasty))
        if said.over:
            raise ApprovalOverError(f"the plan is over: {said.over}")
        for one in hasty[-1:]:
            from taskbound.flows.approval.limits import alert_hasty  # noqa: PLC0415  # persons import approvals

            alert_hasty(self._adapters, *one)
        return said

    def _answer(
        self,
        namespace: str,
        signed: Signed,
        hasty: list[tuple[StoredPlan, Answer, Pace]],
        tx: Transaction,
    ) -> PlanUpdate:
        statement = signed.statement
        whole = self._questions.lock_plan(tx, namespace, statement.question)
        if whole is None:
            raise UnknownApprovalError(f"no plan is named `{statement.question}`")
        stored = whole.stored
        if stored.state not in OPEN:
            raise ApprovalOverError(f"the plan is over: it is {stored.state.value}")
        now = self._adapters.clock.now()
        fate = fate_of_plan(tx, whole, self._adapters.policy, now)
        if fate is not None:
            return self._end(tx, whole, fate)
        require_answers(statement, stored.plan, now)
        people, key = lock_signer(tx, namespace, signed, now)
        judged = judge_steps(tx, whole.left, signed, people, key, now)
        count_on(tx, self._adapters.signatures, key, signed.signature)
        answer = signed.answer(statement.kind, now)
        for one, _ in judged:
            tx.approvals.put_answer(namespace, one.question.id, answer)
        pace = pace_in(tx, namespace, stored.plan.id, answer)
        if pace.hasty:
            hasty.append((stored, answer, pace))
        answered = [one for one, _ in judged]
        self._questions.record(tx, namespace, [_event(stored, signed, pace, answered)], now)
        if statement.kind is AnswerKind.DENY:
            return self._deny(tx, whole, signed, [one.question.step for one in answered])
        missing = [
            people.lacking(
                one.question, (*one.answers, answer), by.circle, self._adapters, now, plan=one.plan
            )
            for one, by in judged
        ]
        lacking = next((words for words in missing if words), "")
        if lacking or stored.state is not ApprovalState.PENDING:
            return PlanUpdate(plan=stored.plan.id, state=stored.state, missing=lacking, told=())
        return self._approve(tx, whole, signed, now)

    def _approve(self, tx: Transaction, whole: PlanWithApprovals, signed: Signed, now: Instant) -> PlanUpdate:
        after, reason = advance_approval(whole.stored.state, ApprovalEvent.APPROVE), "enough have answered"
        space = whole.stored.plan.namespace
        steps = [
            ApprovalChange(
                id=one.question.id, before=one.state, after=after, finished=Instant(0), reason=reason
            )
            for one in whole.left
        ]
        tx.approvals.move_approvals(space, steps)
        events: list[Event] = [changed_event(one, after, reason, signed.by) for one in whole.left]
        events.append(move_plan(tx, whole, (after, whole.stored.used), reason, by=signed.by, now=now))
        self._questions.record(tx, space, events, now)
        told = tuple(tell(one, after, reason) for one in whole.left)
        return PlanUpdate(plan=whole.stored.plan.id, state=after, missing="", told=told)

    def _deny(
        self, tx: Transaction, whole: PlanWithApprovals, signed: Signed, steps: Sequence[int]
    ) -> PlanUpdate:
        left = [one.question.step for one in whole.left]
        fate, each = fates_of_denial(left, steps, signed.statement.person)
        after = advance_approval(whole.stored.state, fate.event)
        told = tuple(self._questions.end_whole(tx, whole, fate, signed.by, each))
        return PlanUpdate(plan=whole.stored.plan.id, state=after, missing="", told=told, denied=tuple(steps))

    def _end(self, tx: Transaction, whole: PlanWithApprovals, fate: Invalidation) -> PlanUpdate:
        after = advance_approval(whole.stored.state, fate.event)
        told = tuple(self._questions.end_whole(tx, whole, fate))
        return PlanUpdate(plan=whole.stored.plan.id, state=after, missing="", told=told, over=fate.reason)


def _event(stored: StoredPlan, signed: Signed, pace: Pace, steps: Sequence[StoredApproval]) -> PlanAnswered:
    return PlanAnswered(
        plan=stored.plan.id,
        digest=stored.plan.digest,
        task=stored.plan.task,
        answer=signed.statement.kind.value,
        person=signed.statement.person,
        key=signed.statement.key,
        statement=sha256(signed.raw).hexdigest(),
        signature=sha256(signed.signature).hexdigest(),
        proof=signed.by[1],
        taken=pace.taken,
        length=pace.length,
        hasty=pace.hasty,
        approvals=tuple(one.question.id for one in steps),
    )
