"""What people say to questions: a signed answer, or a withdrawal; and what time and change do to them.

1. The signature is verified over exactly the bytes that came, by the key that they name; then the row is
   locked, and everything is judged by what is true now: the state, the digest, the key, and whether this
   person may answer.
2. A denial is final, and ends the held action. Enough approving answers make the approval usable; nothing
   runs by that alone.
3. A question whose ground is gone is ended by whoever meets it first: who answers it, who would use it,
   or the sweep. Whoever answers is told so.
4. A withdrawal is the requester's, the agent's owner's, or of the gateway's connection that asked.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.approval import (
    OPEN,
    AlreadyAnsweredError,
    Answer,
    AnswerKind,
    ApprovalEvent,
    ApprovalOverError,
    ApprovalState,
    Befallen,
    NotEntitledError,
    OtherQuestionError,
    UnknownApprovalError,
    befallen,
    parse_statement,
    require_answers,
    require_entitled,
)
from taskbound.core.audit import ApprovalAnswered
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.person_key import NotStandingError, require_standing
from taskbound.flows.approval.circle import ground_of, lock_people
from taskbound.flows.approval.counting import count_on
from taskbound.flows.approval.ending import DAEMON, Told, tell
from taskbound.flows.approval.questions import Questions

if TYPE_CHECKING:
    from taskbound.core.approval import Statement
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction

__all__ = ["Answered", "Approvals"]

_log = logging.getLogger(__name__)

Answered: TypeAlias = "tuple[Told, str]"
"""What became of the question, and what is missing still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """A statement whose signature is by this key."""

    statement: Statement
    key: PersonKey
    raw: bytes
    signature: bytes


class Approvals:
    """Takes answers to questions, and ends questions; used from one thread at a time."""

    def __init__(self, means: Means) -> None:
        """Keep what to work with."""
        self._means = means
        self._questions = Questions(means)

    def answer(self, namespace: str, raw: bytes, signature: bytes) -> Answered:
        """Take a signed answer; what becomes of the question.

        Raises:
            BadStatementError: The bytes are no answer.
            BadSignatureError: The signature is not by that key over exactly these bytes.
            UnknownApprovalError: There is no such question.
            ApprovalOverError: It is not open any more.
            DeniedError: The answer does not count.
        """
        signed = self._verified(namespace, raw, signature)
        answered, over = self._means.store.write(lambda tx: self._answer(tx, namespace, signed))
        if over:
            raise ApprovalOverError(f"the question is over: {over}")
        return answered

    def withdraw(self, namespace: str, approval: str, actor: Actor, *, reason: str) -> Told:
        """Take a question back (rule 4).

        Raises:
            UnknownApprovalError: There is no such question.
            ApprovalOverError: It is not open any more.
            NotEntitledError: It is somebody else's.
        """

        def work(tx: Transaction) -> Told:
            one = _require_open(tx, namespace, approval)
            agent = tx.identities.agent(namespace, one.question.agent)
            if actor.name not in {one.question.requester, agent.owner if agent is not None else ""}:
                raise NotEntitledError(
                    f"`{actor.name}` neither asked for the task nor owns the agent",
                    remedy="deny it instead, if you may answer it",
                )
            fate = Befallen(event=ApprovalEvent.WITHDRAW, reason=reason or f"withdrawn by {actor.name}")
            return self._questions.end(tx, [(one, fate)], (actor.name, actor.proof))[0]

        return self._means.store.write(work)

    def leave(self, namespace: str, connection: str, *, action: str = "", reason: str) -> list[Told]:
        """Withdraw what a gateway's connection asked for and is still open: all, or one held action."""
        with self._means.store.read() as snapshot:
            known = [
                one.question.id
                for one in snapshot.approvals.open_approvals()
                if one.question.namespace == namespace
                and one.waiter.connection == connection
                and action in {"", one.question.action}
            ]
        if not known:
            return []

        def work(tx: Transaction) -> list[Told]:
            fate = Befallen(event=ApprovalEvent.WITHDRAW, reason=reason)
            found = [tx.approvals.lock_approval(namespace, name) for name in sorted(known)]
            still = [
                (one, fate)
                for one in found
                if one is not None and one.state in OPEN and one.waiter.connection == connection
            ]
            return self._questions.end(tx, still, DAEMON)

        return self._means.store.write(work)

    def sweep(self) -> list[Told]:
        """End every question whose deadline has come, or whose ground is gone; what was ended (rule 3)."""
        now = self._means.clock.now()
        with self._means.store.read() as snapshot:
            policies = self._means.policy
            due = [
                one
                for one in snapshot.approvals.open_approvals()
                if befallen(one.question, ground_of(snapshot, one.question, policies), now) is not None
            ]
        ended: list[Told] = []
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

    def _verified(self, namespace: str, raw: bytes, signature: bytes) -> _Signed:
        statement = parse_statement(raw)
        if statement.namespace != namespace:
            raise OtherQuestionError("what was signed is of another namespace")
        with self._means.store.read() as snapshot:
            key = snapshot.identities.person_key(namespace, statement.key)
        if key is None or key.person != statement.person:
            raise NotStandingError(f"`{statement.person}` has no key `{statement.key}`")
        self._means.signatures.verify(key, raw, signature)  # 1
        return _Signed(statement=statement, key=key, raw=raw, signature=signature)

    def _answer(self, tx: Transaction, namespace: str, signed: _Signed) -> tuple[Answered, str]:
        statement = signed.statement
        one, fate = self._questions.lock_open(tx, namespace, statement.question)
        if fate is not None:  # 3
            told = self._questions.end(tx, [(one, fate)], DAEMON)[0]
            return (told, ""), fate.reason
        now = self._means.clock.now()
        require_answers(statement, one.question, now)
        people = lock_people(tx, namespace)
        key = people.keys.get(statement.key)
        if key is None or (key.person, key.public) != (signed.key.person, signed.key.public):
            raise NotStandingError(f"key `{statement.key}` is another one now")
        require_standing(key, people.persons, now)
        task = tx.tasks.task(namespace, one.question.task)
        if task is None:
            raise UnknownApprovalError("its task is not known")
        circle = people.circle(tx, task, one.question.tool)
        require_entitled(statement.kind, statement.person, one.question.needs, circle)
        human = circle.human(statement.person)
        if any(circle.human(past.person) == human and past.kind is statement.kind for past in one.answers):
            raise AlreadyAnsweredError(f"`{statement.person}` has answered already")
        count_on(tx, self._means.signatures, key, signed.signature)
        answer = Answer(
            kind=statement.kind,
            person=statement.person,
            key=statement.key,
            at=statement.at,
            received=now,
            statement=signed.raw,
            signature=signed.signature,
        )
        tx.approvals.put_answer(namespace, one.question.id, answer)
        self._questions.record(tx, namespace, [_answered(one, signed)], now)
        if statement.kind is AnswerKind.DENY:  # 2
            fate = Befallen(event=ApprovalEvent.DENY, reason=f"denied by {statement.person}")
            return (self._questions.end(tx, [(one, fate)], _proof(signed))[0], ""), ""
        answers = (*one.answers, answer)
        lacking = people.lacking(one.question, answers, circle, self._means, now)
        if lacking or one.state is not ApprovalState.PENDING:
            return (tell(one, one.state, ""), lacking), ""
        return (self._questions.approve(tx, one, _proof(signed), now), ""), ""


def _require_open(tx: Transaction, namespace: str, approval: str) -> StoredApproval:
    one = tx.approvals.lock_approval(namespace, approval)
    if one is None:
        raise UnknownApprovalError(f"no approval is named `{approval}`")
    if one.state not in OPEN:
        raise ApprovalOverError(f"the question is over: it is {one.state.value}")
    return one


def _proof(signed: _Signed) -> tuple[str, str]:
    return signed.statement.person, f"{signed.key.kind.value} {signed.key.fingerprint}"


def _answered(one: StoredApproval, signed: _Signed) -> ApprovalAnswered:
    return ApprovalAnswered(
        approval=one.question.id,
        digest=one.question.digest,
        action=one.question.action,
        task=one.question.task,
        answer=signed.statement.kind.value,
        person=signed.statement.person,
        key=signed.statement.key,
        statement=sha256(signed.raw).hexdigest(),
        signature=sha256(signed.signature).hexdigest(),
        proof=_proof(signed)[1],
    )
