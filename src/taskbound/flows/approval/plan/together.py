"""A person's answer to a plan, which is that answer to each of its steps.

1. The signature is verified over exactly the bytes that came; then the plan and its steps are locked, and
   all is judged by what is true now.
2. All or nothing: a yes must count for every step that is left, by the one judgement there is; and the plan
   is usable when nothing is missing from any.
3. A denial denies every step that is left and for which it counts, for good: the same calls are refused for
   the rest of the task. The plan is over by it, also one that runs; what is left of it otherwise is
   superseded, and can be asked about anew.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from taskbound.core.approval import (
    OPEN,
    AnswerKind,
    ApprovalEvent,
    ApprovalOverError,
    ApprovalState,
    BadStatementError,
    Befallen,
    Subject,
    UnknownApprovalError,
    advance_approval,
    fates_of_denial,
    require_answers,
)
from taskbound.core.audit.events import PlanAnswered
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.flows.approval.ending import changed_event, tell
from taskbound.flows.approval.fatigue.display import pace_in
from taskbound.flows.approval.plan.whole import fate_of_plan, move_plan
from taskbound.flows.approval.proof.counting import count_on
from taskbound.flows.approval.proof.signed import judge_steps, lock_signer, verify_signed
from taskbound.flows.approval.questions import Questions
from taskbound.ports.approval import ApprovalChange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval import Answer, AnswerSignIn
    from taskbound.core.approval.fatigue import Pace
    from taskbound.core.audit import Event
    from taskbound.flows.approval.ending import Told
    from taskbound.flows.approval.plan.whole import Whole
    from taskbound.flows.approval.proof.signed import Signed
    from taskbound.flows.means import Means
    from taskbound.ports.approval import StoredApproval, StoredPlan
    from taskbound.ports.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSaid:
    """What became of a plan, and of its steps."""

    plan: str
    state: ApprovalState
    missing: str
    """What is missing until it may be used, in words; empty when nothing."""
    told: tuple[Told, ...]
    """Of each step that stands elsewhere now."""
    over: str = ""
    """Why it was over when the answer came."""
    denied: tuple[int, ...] = ()
    """The steps that a denial has denied."""


class Plans:
    """Takes answers to plans; used from one thread at a time."""

    def __init__(self, means: Means) -> None:
        """Keep what to work with."""
        self._means = means
        self._questions = Questions(means)

    def answer(
        self, namespace: str, raw: bytes, signature: bytes, sign_in: AnswerSignIn | None = None
    ) -> PlanSaid:
        """Take a signed answer to a plan, whose person had signed in so.

        Raises:
            BadStatementError: The bytes are no answer to a plan.
            BadSignatureError: The signature is not by that key over exactly these bytes.
            UnknownApprovalError: There is no such plan.
            ApprovalOverError: It is not open any more.
            DeniedError: A yes does not count for every step that is left, or a denial for none of them.
        """
        signed = verify_signed(self._means, namespace, raw, signature, sign_in)
        if signed.statement.subject is not Subject.PLAN:
            raise BadStatementError("what was signed is no answer to a plan")
        hasty: list[tuple[StoredPlan, Answer, Pace]] = []
        said = self._means.store.write(partial(self._answer, namespace, signed, hasty))
        if said.over:
            raise ApprovalOverError(f"the plan is over: {said.over}")
        for one in hasty[-1:]:
            from taskbound.flows.approval.fatigue.limits import tell_hasty  # noqa: PLC0415  # persons import approvals

            tell_hasty(self._means, *one)
        return said

    def _answer(
        self,
        namespace: str,
        signed: Signed,
        hasty: list[tuple[StoredPlan, Answer, Pace]],
        tx: Transaction,
    ) -> PlanSaid:
        statement = signed.statement
        whole = self._questions.lock_plan(tx, namespace, statement.question)
        if whole is None:
            raise UnknownApprovalError(f"no plan is named `{statement.question}`")
        stored = whole.stored
        if stored.state not in OPEN:
            raise ApprovalOverError(f"the plan is over: it is {stored.state.value}")
        now = self._means.clock.now()
        fate = fate_of_plan(tx, whole, self._means.policy, now)
        if fate is not None:
            return self._end(tx, whole, fate)
        require_answers(statement, stored.plan, now)  # 1
        people, key = lock_signer(tx, namespace, signed, now)
        judged = judge_steps(tx, whole.left, signed, people, key, now)  # 2
        count_on(tx, self._means.signatures, key, signed.signature)
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
            people.lacking(one.question, (*one.answers, answer), by.circle, self._means, now, plan=one.plan)
            for one, by in judged
        ]
        lacking = next((words for words in missing if words), "")
        if lacking or stored.state is not ApprovalState.PENDING:
            return PlanSaid(plan=stored.plan.id, state=stored.state, missing=lacking, told=())
        return self._approve(tx, whole, signed, now)

    def _approve(self, tx: Transaction, whole: Whole, signed: Signed, now: Instant) -> PlanSaid:
        """Enough was said to every step: they are usable from now on, in order."""
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
        return PlanSaid(plan=whole.stored.plan.id, state=after, missing="", told=told)

    def _deny(self, tx: Transaction, whole: Whole, signed: Signed, steps: Sequence[int]) -> PlanSaid:
        """Deny these steps, and with them the plan (rule 3)."""
        left = [one.question.step for one in whole.left]
        fate, each = fates_of_denial(left, steps, signed.statement.person)
        after = advance_approval(whole.stored.state, fate.event)
        told = tuple(self._questions.end_whole(tx, whole, fate, signed.by, each))
        return PlanSaid(plan=whole.stored.plan.id, state=after, missing="", told=told, denied=tuple(steps))

    def _end(self, tx: Transaction, whole: Whole, fate: Befallen) -> PlanSaid:
        """End what was over when the answer came."""
        after = advance_approval(whole.stored.state, fate.event)
        told = tuple(self._questions.end_whole(tx, whole, fate))
        return PlanSaid(plan=whole.stored.plan.id, state=after, missing="", told=told, over=fate.reason)


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
