"""What people say to questions: a signed answer, or a withdrawal; and what time and change do to them.

1. The signature is verified over exactly the bytes that came, by the key that they name; then the row is
   locked, and everything is judged by what is true now: the state, the digest, the key, and whether this
   person may answer.
2. A denial is final, and ends the held action. Enough approving answers make the approval usable; nothing
   runs by that alone.
3. A question whose ground is gone is ended by whoever meets it first: who answers it, who would use it,
   or the sweep. Whoever answers is told so.
4. A withdrawal is the requester's, the agent's owner's, or of the gateway's connection that asked, which
   cancels or is gone. That withdraws nothing where a task's holds outlive their calls: nobody waits then. A
   step is withdrawn with its plan; a call that waited for it did not ask about it, and leaves it.
5. How long it took from the display to the answer is recorded, and a yes in haste is told (`fatigue`).
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.approval import (
    OPEN,
    AnswerKind,
    ApprovalEvent,
    ApprovalOverError,
    ApprovalState,
    BadStatementError,
    Befallen,
    NotEntitledError,
    UnknownApprovalError,
    befallen,
)
from taskbound.core.errors import TaskboundError
from taskbound.flows.approval.circle import ground_of
from taskbound.flows.approval.ending import DAEMON, Told, tell
from taskbound.flows.approval.fatigue.display import pace_in
from taskbound.flows.approval.hold.outliving import NOBODY, outlives
from taskbound.flows.approval.plan.whole import fate_of_plan, lock_open_plan, see_whole
from taskbound.flows.approval.proof.counting import count_on
from taskbound.flows.approval.proof.signed import answered_event, judge, verify_signed
from taskbound.flows.approval.questions import Questions

if TYPE_CHECKING:
    from taskbound.core.approval import Answer, AnswerSignIn, Question
    from taskbound.core.approval.fatigue import Pace
    from taskbound.flows.approval.proof.signed import Signed
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.approval import StoredApproval, StoredPlan
    from taskbound.ports.store import Snapshot, Transaction


_log = logging.getLogger(__name__)

Answered: TypeAlias = "tuple[Told, str]"
"""What became of the question, and what is missing still."""


class Approvals:
    """Takes answers to questions, and ends questions; used from one thread at a time."""

    def __init__(self, means: Means) -> None:
        """Keep what to work with."""
        self._means = means
        self._questions = Questions(means)

    def answer(
        self, namespace: str, raw: bytes, signature: bytes, sign_in: AnswerSignIn | None = None
    ) -> Answered:
        """Take a signed answer, whose person had signed in so; what becomes of the question.

        Raises:
            BadStatementError: The bytes are no answer.
            BadSignatureError: The signature is not by that key over exactly these bytes.
            UnknownApprovalError: There is no such question.
            ApprovalOverError: It is not open any more.
            DeniedError: The answer does not count.
        """
        signed = verify_signed(self._means, namespace, raw, signature, sign_in)
        if signed.statement.kind is AnswerKind.NARROW:
            raise BadStatementError("a narrowing is brought with the action that it names")
        hasty: list[tuple[Question, Answer, Pace]] = []
        answered, over = self._means.store.write(lambda tx: self._answer(tx, namespace, signed, hasty))
        if over:
            raise ApprovalOverError(f"the question is over: {over}")
        for one in hasty[-1:]:
            from taskbound.flows.approval.fatigue.limits import tell_hasty  # noqa: PLC0415  # persons import approvals

            tell_hasty(self._means, *one)  # 5
        return answered

    def withdraw(self, namespace: str, approval: str, actor: Actor, *, reason: str) -> tuple[Told, ...]:
        """Take a question back, or a plan (rule 4); what became of each question.

        Raises:
            UnknownApprovalError: There is no such question.
            ApprovalOverError: It is not open any more.
            NotEntitledError: It is somebody else's.
        """

        def work(tx: Transaction) -> tuple[Told, ...]:
            whole = lock_open_plan(tx, namespace, approval)
            one = _require_open(tx, namespace, approval) if whole is None else whole.left[0]
            agent = tx.identities.agent(namespace, one.question.agent)
            if actor.name not in {one.question.requester, agent.owner if agent is not None else ""}:
                raise NotEntitledError(
                    f"`{actor.name}` neither asked for the task nor owns the agent",
                    remedy="deny it instead, if you may answer it",
                )
            fate = Befallen(event=ApprovalEvent.WITHDRAW, reason=reason or f"withdrawn by {actor.name}")
            by = (actor.name, actor.proof)
            if whole is not None:
                return tuple(self._questions.end_whole(tx, whole, fate, by))
            return tuple(self._questions.end(tx, [(one, fate)], by))

        return self._means.store.write(work)

    def leave(self, namespace: str, connection: str, *, action: str = "", reason: str) -> list[Told]:
        """A gateway's connection waits no more, for one held action or for all; what ended by it (rule 4)."""
        with self._means.store.read() as snapshot:
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

        def work(tx: Transaction) -> list[Told]:
            fate = Befallen(event=ApprovalEvent.WITHDRAW, reason=reason)
            found = [tx.approvals.lock_approval(namespace, name) for name in sorted(known)]
            ending: list[tuple[StoredApproval, Befallen]] = []
            for one in found:
                if one is None or one.state not in OPEN or one.waiter.connection != connection:
                    continue
                if one.question.plan or outlives(tx.tasks.task(namespace, one.question.task)):
                    tx.approvals.put_waiter(namespace, one.question.id, NOBODY)
                else:
                    ending.append((one, fate))
            return self._questions.end(tx, ending, DAEMON)

        return self._means.store.write(work)

    def sweep(self) -> list[Told]:
        """End every question whose deadline has come, or whose ground is gone; what was ended (rule 3)."""
        now = self._means.clock.now()
        with self._means.store.read() as snapshot:
            policies = self._means.policy
            due = [
                one
                for one in snapshot.approvals.open_approvals()
                if not one.question.plan
                and befallen(one.question, ground_of(snapshot, one.question, policies), now) is not None
            ]
            now = self._means.clock.now()
            plans = [
                one
                for one in snapshot.approvals.open_plans()
                if fate_of_plan(snapshot, see_whole(snapshot, one), policies, now) is not None
            ]
        ended: list[Told] = []
        for stored in plans:
            try:
                ended += self._means.store.write(partial(self._look_at_plan, stored))
            except TaskboundError:  # as below
                _log.exception("plan %s could not be ended", stored.plan.id)
        for one in due:
            try:
                ended += self._means.store.write(partial(self._look, one))
            except TaskboundError:  # it is met again by whoever would use it; the others are not kept waiting
                _log.exception("question %s could not be ended", one.question.id)
        return ended

    def _look(self, one: StoredApproval, tx: Transaction) -> list[Told]:
        found = self._questions.lock(tx, one.question.namespace, one.question.id)
        if found is None or found.state not in OPEN:
            return []
        fate = self._questions.fate(tx, found)
        return [] if fate is None else self._questions.end(tx, [(found, fate)], DAEMON)

    def _look_at_plan(self, stored: StoredPlan, tx: Transaction) -> list[Told]:
        whole = self._questions.lock_plan(tx, stored.plan.namespace, stored.plan.id)
        if whole is None or whole.stored.state not in OPEN:
            return []
        fate = fate_of_plan(tx, whole, self._means.policy, self._means.clock.now())
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
        if fate is not None:  # 3
            told = self._questions.end(tx, [(one, fate)], DAEMON)[0]
            return (told, ""), fate.reason
        now = self._means.clock.now()
        judged = judge(tx, one, signed, now)
        count_on(tx, self._means.signatures, judged.key, signed.signature)
        answer = signed.answer(statement.kind, now)
        tx.approvals.put_answer(namespace, one.question.id, answer)
        pace = pace_in(tx, namespace, one.question.id, answer)
        if pace.hasty:
            hasty.append((one.question, answer, pace))
        self._questions.record(tx, namespace, [answered_event(one, signed, statement.kind, pace)], now)
        if statement.kind is AnswerKind.DENY:  # 2
            fate = Befallen(event=ApprovalEvent.DENY, reason=f"denied by {statement.person}")
            return (self._questions.end(tx, [(one, fate)], signed.by)[0], ""), ""
        answers = (*one.answers, answer)
        lacking = judged.people.lacking(one.question, answers, judged.circle, self._means, now)
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
    """The action that a person has narrowed this one to, which its call would be told of; itself if none."""
    one = snapshot.approvals.approval_of(namespace, action) if action else None
    while one is not None and one.state is ApprovalState.NARROWED:
        action = one.question.action
        one = snapshot.approvals.narrowed_to(namespace, one.question.digest)
    return action if one is None else one.question.action
