"""Answers a held action with a narrower one, which is decided like any other.

The person's one signature names both actions and approves the narrower one, with its operands as shown;
policy may ask for more. The held action's end, the narrower action, its question and approval are one
transaction. The permit is decided only when the caller presents the narrower action.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import parse_object
from taskbound.core.approval import (
    OPEN,
    AnswerKind,
    ApprovalEvent,
    ApprovalOverError,
    BadStatementError,
    Invalidation,
    NarrowedRefusedError,
    NotEntitledError,
    OtherQuestionError,
    UnknownApprovalError,
    advance_approval,
    befallen,
    differing,
    require_entitled,
    require_narrower,
    require_signed_in,
    yes_of,
)
from taskbound.core.audit import ApprovalNarrowed
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Hold, Narrows, Refuse, Settled
from taskbound.core.policy.operation import StepUpError
from taskbound.core.tool import parse_definition
from taskbound.flows.approval.circle import changed_event, end_approvals, ground_of, tell
from taskbound.flows.approval.look import NeedsProbe
from taskbound.flows.approval.proof.kept import count_on
from taskbound.flows.approval.proof.signed import answered_event, judge, verify_signed
from taskbound.flows.decision.evaluate import Call, Evaluator
from taskbound.flows.decision.settlement import Pending, lock_group, settle_group
from taskbound.flows.decision.usable import ContendedError
from taskbound.ports.approval import ApprovalChange

if TYPE_CHECKING:
    from taskbound.core.approval import AnswerSignIn, Change
    from taskbound.core.audit import Event
    from taskbound.flows.approval import QuestionUpdate
    from taskbound.flows.approval.look import OperandFindings
    from taskbound.flows.approval.proof.signed import Judged, Signed
    from taskbound.flows.decision.context import Views
    from taskbound.flows.means import Adapters
    from taskbound.ports.action import StoredAction
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Snapshot, Transaction


_ROUNDS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowedTo:
    """The new state of both questions."""

    held: QuestionUpdate
    instead: QuestionUpdate
    missing: str
    """What the narrower action lacks until it may run, in words; empty when nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    one: StoredApproval
    signed: Signed
    judged: Judged
    found: tuple[Change, ...]


class Narrowings:
    """Takes narrower actions as answers; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
        self._views = views
        self._evaluator = Evaluator(views, adapters.policy, adapters.operands, adapters.tokens)

    def narrow(
        self,
        namespace: str,
        raw: bytes,
        signature: bytes,
        arguments: bytes,
        sight: OperandFindings | None = None,
        sign_in: AnswerSignIn | None = None,
    ) -> NarrowedTo | NeedsProbe:
        signed = verify_signed(self._adapters, namespace, raw, signature, sign_in)
        if signed.statement.kind is not AnswerKind.NARROW:
            raise BadStatementError("what was signed is no narrowing")
        for _ in range(_ROUNDS):
            done = self._try(namespace, signed, arguments, sight)
            if done is not None:
                return done
        raise ContendedError("what this depends on kept changing")

    def _try(
        self, namespace: str, signed: Signed, arguments: bytes, sight: OperandFindings | None
    ) -> NarrowedTo | NeedsProbe | None:
        pending = self._evaluate(namespace, signed, arguments, sight)
        if isinstance(pending, NeedsProbe):
            return pending
        done = self._adapters.store.write(lambda tx: self._commit(tx, signed, pending))
        if done is None:
            self._views.read_again(pending.proposal)
        return done

    def _evaluate(
        self, namespace: str, signed: Signed, arguments: bytes, sight: OperandFindings | None
    ) -> Pending | NeedsProbe:
        with self._adapters.store.read() as snapshot:
            one, held = _require_open(snapshot, namespace, signed.statement.question)
        question, waiter = one.question, one.waiter
        call = Call(
            namespace=namespace,
            agent=held.agent,
            task=held.task,
            unbound=None,
            connection=held.connection,
            request=f"narrowed {question.id}",
            key="",
            tool=held.tool,
            arguments=arguments,
            resume=held.id,
            sight=sight,
            read=(),
            recipient=None,
            unwatched=None,
            proof=dict(held.facts).get("proof", "") or f"narrowed by {signed.by[0]}",
        )
        proposal = self._evaluator.evaluate(
            call, self._adapters.chance.name("act"), self._adapters.clock.now()
        )
        if isinstance(proposal, NeedsProbe):
            return proposal
        if proposal.action.digest != signed.statement.narrowed:
            raise OtherQuestionError("what was signed names another action than the one that is brought")
        narrows = Narrows(
            digest=question.digest,
            lifters=question.lifters,
            deadline=question.deadline,
            connection=waiter.connection,
            request=waiter.request,
            waits=waiter.until,
        )
        return Pending(call=call, place=0, proposal=replace(proposal, narrows=narrows))

    def _commit(self, tx: Transaction, signed: Signed, pending: Pending) -> NarrowedTo | None:
        proposal, namespace = pending.proposal, pending.call.namespace
        question = signed.statement.question
        seen, _ = _require_open(tx, namespace, question)  # first: PostgreSQL's transaction is alone by that
        lock_group(tx, namespace, [proposal], self._adapters.policy, self._views.doubts)
        tx.approvals.lock_plans(namespace, {seen.question.task})  # before any question, as a commit does
        keys = {(seen.question.task, act) for act in (seen.question.act, proposal.action.digest)}
        tx.approvals.lock_holds(namespace, keys)  # both, in the order in which a commit takes them
        one, held = _require_open(tx, namespace, question)
        now = self._adapters.clock.now()
        fate = befallen(one.question, ground_of(tx, one.question, self._adapters.policy), now)
        if fate is not None:
            raise ApprovalOverError(f"the question is over: {fate.reason}")
        judged = judge(tx, one, signed, now)
        found = _narrower(tx, held, pending.call.arguments)
        count_on(tx, self._adapters.signatures, judged.key, signed.signature)
        match settle_group(tx, self._adapters, self._views, namespace, [pending]).answers[0]:
            case Settled(decision=Hold()):
                answer = _Answer(one=one, signed=signed, judged=judged, found=found)
                return self._write(tx, answer, proposal.id, now)
            case Settled(decision=Refuse() as refused):
                reasons = "; ".join(reason.text for reason in refused.reasons)
                raise NarrowedRefusedError(f"it is refused ({refused.code}): {reasons}")
            case _:
                return None

    def _write(self, tx: Transaction, answer: _Answer, action: str, now: Instant) -> NarrowedTo:
        one, signed = answer.one, answer.signed
        space = one.question.namespace
        asked = tx.approvals.approval_of(space, action)
        if asked is None:
            raise UnknownApprovalError("the narrower action was not asked about")
        found = differing(one.question.operands, asked.question.operands)
        if found:
            raise NarrowedRefusedError(f"what it names is another thing than was shown: {found}")
        tx.approvals.put_answer(space, one.question.id, signed.answer(AnswerKind.NARROW, now))
        fate = Invalidation(event=ApprovalEvent.NARROW, reason=f"narrowed by {signed.by[0]} to {action}")
        ended, told = end_approvals(tx, [(one, fate)], by=signed.by, now=now)
        events: list[Event] = [_narrowed_event(answer, asked), *ended]
        instead, lacking = self._say_yes(tx, answer, asked, events, now)
        tx.audit.append(space, self._adapters.writer, events, now)
        return NarrowedTo(held=told[0], instead=instead, missing=lacking)

    def _say_yes(
        self, tx: Transaction, answer: _Answer, asked: StoredApproval, events: list[Event], now: Instant
    ) -> tuple[QuestionUpdate, str]:
        signed, judged, question = answer.signed, answer.judged, asked.question
        yes = yes_of(question, signed.by[0])
        answers = asked.answers
        try:
            require_entitled(yes, signed.by[0], question.needs, judged.circle)
            require_signed_in(yes, question.steps, signed.sign_in, now)
        except (NotEntitledError, StepUpError):
            pass  # policy asks others about the narrower one, or for another sign-in
        else:
            answers = (*answers, signed.answer(yes, now))
            tx.approvals.put_answer(question.namespace, question.id, answers[-1])
            events.append(answered_event(asked, signed, yes))
        lacking = judged.people.lacking(question, answers, judged.circle, self._adapters, now)
        if lacking:
            return tell(asked, asked.state, ""), lacking
        after, reason = advance_approval(asked.state, ApprovalEvent.APPROVE), "enough have answered"
        step = ApprovalChange(
            id=question.id, before=asked.state, after=after, finished=Instant(0), reason=reason
        )
        tx.approvals.move_approvals(question.namespace, [step])
        events.append(changed_event(asked, after, reason, signed.by))
        return tell(asked, after, reason), ""


def _require_open(snapshot: Snapshot, namespace: str, approval: str) -> tuple[StoredApproval, StoredAction]:
    one = snapshot.approvals.approval(namespace, approval)
    held = snapshot.actions.action(namespace, one.question.action) if one is not None else None
    if one is None or held is None:
        raise UnknownApprovalError(f"no approval is named `{approval}`")
    if one.state not in OPEN:
        raise ApprovalOverError(f"the question is over: it is {one.state.value}")
    return one, held


def _narrower(tx: Transaction, held: StoredAction, arguments: bytes) -> tuple[Change, ...]:
    task = tx.tasks.task(held.namespace, held.task)
    tool = tx.tools.tool(held.namespace, held.tool)
    if task is None or tool is None:
        raise UnknownApprovalError("its task or its tool is not known any more")
    return require_narrower(
        task.scope,
        task.step,
        held.tool,
        parse_definition(tool.definition).input_schema,
        before=parse_object(held.arguments),
        after=parse_object(arguments),
    )


def _narrowed_event(answer: _Answer, asked: StoredApproval) -> ApprovalNarrowed:
    question, signed = answer.one.question, answer.signed
    return ApprovalNarrowed(
        approval=question.id,
        digest=question.digest,
        action=question.action,
        task=question.task,
        narrowed=asked.question.action,
        narrowed_act=asked.question.act,
        asked=asked.question.id,
        changed=tuple(change.place for change in answer.found),
        person=signed.statement.person,
        key=signed.statement.key,
        statement=sha256(signed.raw).hexdigest(),
        signature=sha256(signed.signature).hexdigest(),
        proof=signed.by[1],
    )
