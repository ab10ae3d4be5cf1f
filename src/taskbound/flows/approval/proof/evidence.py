"""Evidence for a question: an issuer's token, verified now, kept whole and verified again at use.

Each issuer may give one token per question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval import (
    AlreadyAnsweredError,
    Answer,
    AnswerKind,
    ApprovalOverError,
    ApprovalState,
    UnknownApprovalError,
    require_wanted,
)
from taskbound.core.audit.events import ApprovalProven
from taskbound.flows.approval.answers import Questions
from taskbound.flows.approval.circle import lock_people, tell
from taskbound.flows.approval.proof.kept import require_proof
from taskbound.flows.approval.proof.signed import require_alone

if TYPE_CHECKING:
    from taskbound.flows.approval.answers import Answered
    from taskbound.flows.approval.proof.kept import Vouched
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


def give_evidence(adapters: Adapters, namespace: str, approval: str, token: str, actor: Actor) -> Answered:
    questions = Questions(adapters)

    def work(tx: Transaction) -> tuple[Answered, str]:
        one, fate = questions.lock_open(tx, namespace, approval)
        if fate is not None:
            return (questions.end(tx, [(one, fate)])[0], ""), fate.reason
        require_alone(one)
        now = adapters.clock.now()
        people = lock_people(tx, namespace, now)
        task = tx.tasks.task(namespace, one.question.task)
        if task is None:
            raise UnknownApprovalError("its task is not known")
        found = require_proof(token, one.question, people.issuers, check=adapters.tokens, now=now)
        require_wanted(found.issuer.name, one.question.needs)
        if any((past.kind, past.person) == (AnswerKind.EVIDENCE, found.issuer.name) for past in one.answers):
            raise AlreadyAnsweredError(f"the word of `{found.issuer.name}` was given already")
        answer = Answer(
            kind=AnswerKind.EVIDENCE,
            person=found.issuer.name,
            key=found.jws.digest,
            at=found.jws.claims.issued,
            received=now,
            statement=token.encode(),
            signature=b"",
        )
        tx.approvals.put_answer(namespace, one.question.id, answer)
        questions.record(tx, namespace, [_proven(one, found, actor)], now)
        answers = (*one.answers, answer)
        circle = people.circle(tx, task, one.question.tool)
        lacking = people.lacking(one.question, answers, circle, adapters, now)
        if lacking or one.state is not ApprovalState.PENDING:
            return (tell(one, one.state, ""), lacking), ""
        return (questions.approve(tx, one, (actor.name, actor.proof), now), ""), ""

    answered, over = adapters.store.write(work)
    if over:
        raise ApprovalOverError(f"the question is over: {over}")
    return answered


def _proven(one: StoredApproval, found: Vouched, actor: Actor) -> ApprovalProven:
    return ApprovalProven(
        approval=one.question.id,
        digest=one.question.digest,
        action=one.question.action,
        task=one.question.task,
        issuer=found.issuer.name,
        token=found.jws.digest,
        claims=found.jws.payload_digest,
        key=found.jws.key.thumbprint,
        expires=found.jws.claims.expires,
        by=actor.name,
        proof=actor.proof,
    )
