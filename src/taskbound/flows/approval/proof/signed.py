"""Verifies a person's signed statement and judges whether it counts.

The signature is verified over the received bytes before anything is locked; the rest is judged under lock. A
plan's step is answered only with its plan: an approval must count for every remaining step, a denial for one.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import (
    AlreadyAnsweredError,
    Answer,
    AnswerKind,
    NotEntitledError,
    OtherQuestionError,
    SignedTogetherError,
    UnknownApprovalError,
    parse_statement,
    require_answers,
    require_entitled,
    require_signed_in,
    yes_of,
)
from taskbound.core.approval.fatigue import Pace
from taskbound.core.audit import ApprovalAnswered
from taskbound.core.dataclass import dataclass
from taskbound.core.identity.person_key import NotStandingError, require_standing
from taskbound.flows.approval.circle import lock_people
from taskbound.flows.approval.proof.kept import lasts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval import AnswerSignIn, EligibleApprovers, Statement
    from taskbound.core.clock import Instant
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.flows.approval.circle import People
    from taskbound.flows.means import Adapters
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


_UNTIMED: Final = Pace(taken=-1, length=0, hasty=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A statement with a verified signature and its key."""

    statement: Statement
    key: PersonKey
    raw: bytes
    signature: bytes
    sign_in: AnswerSignIn | None = None
    """How that person had signed in who brings it; None where that is not known."""

    @property
    def by(self) -> tuple[str, str]:
        return self.statement.person, f"{self.key.kind.value} {self.key.fingerprint}"

    def answer(self, kind: AnswerKind, now: Instant) -> Answer:
        return Answer(
            kind=kind,
            person=self.statement.person,
            key=self.statement.key,
            at=self.statement.at,
            received=now,
            statement=self.raw,
            signature=self.signature,
            sign_in=self.sign_in,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The persons and key that a counting statement was judged by."""

    people: People
    circle: EligibleApprovers
    key: PersonKey


def verify_signed(
    adapters: Adapters, namespace: str, raw: bytes, signature: bytes, sign_in: AnswerSignIn | None = None
) -> Signed:
    statement = parse_statement(raw)
    if statement.namespace != namespace:
        raise OtherQuestionError("what was signed is of another namespace")
    with adapters.store.read() as snapshot:
        key = snapshot.identities.person_key(namespace, statement.key)
    if key is None or key.person != statement.person:
        raise NotStandingError(f"`{statement.person}` has no key `{statement.key}`")
    adapters.signatures.verify(key, raw, signature)
    return Signed(statement=statement, key=key, raw=raw, signature=signature, sign_in=sign_in)


def require_alone(one: StoredApproval) -> None:
    question = one.question
    if question.plan:
        raise SignedTogetherError(
            f"`{question.id}` is step {question.step} of plan `{question.plan}`, which is answered as a whole"
        )


def judge(tx: Transaction, one: StoredApproval, signed: Signed, now: Instant) -> Judged:
    """Raises DeniedError if the statement does not count for this locked question."""
    require_alone(one)
    require_answers(signed.statement, one.question, now)
    people, key = lock_signer(tx, one.question.namespace, signed, now)
    return _judge_one(tx, one, signed, people, key, now)


def lock_signer(tx: Transaction, namespace: str, signed: Signed, now: Instant) -> tuple[People, PersonKey]:
    statement = signed.statement
    people = lock_people(tx, namespace, now)
    key = people.keys.get(statement.key)
    if key is None or (key.person, key.public) != (signed.key.person, signed.key.public):
        raise NotStandingError(f"key `{statement.key}` is another one now")
    require_standing(key, people.persons, now)
    return people, key


def judge_steps(
    tx: Transaction,
    left: Sequence[StoredApproval],
    signed: Signed,
    people: People,
    key: PersonKey,
    now: Instant,
) -> list[tuple[StoredApproval, Judged]]:
    """Returns the steps for which the statement counts; for an approval, all."""
    found: list[tuple[StoredApproval, Judged]] = []
    without: list[NotEntitledError] = []
    for one in left:
        try:
            found.append((one, _judge_one(tx, one, signed, people, key, now)))
        except NotEntitledError as error:
            if signed.statement.kind is not AnswerKind.DENY:
                raise
            without.append(error)
    if not found:
        raise without[0]
    return found


def _judge_one(
    tx: Transaction, one: StoredApproval, signed: Signed, people: People, key: PersonKey, now: Instant
) -> Judged:
    statement, namespace = signed.statement, one.question.namespace
    task = tx.tasks.task(namespace, one.question.task)
    if task is None:
        raise UnknownApprovalError("its task is not known")
    circle = people.circle(tx, task, one.question.tool)
    narrows = statement.kind is AnswerKind.NARROW
    kind = yes_of(one.question, statement.person) if narrows else statement.kind
    require_entitled(kind, statement.person, one.question.needs, circle)
    human = circle.human(statement.person)
    if any(circle.human(past.person) == human and past.kind is statement.kind for past in one.answers):
        raise AlreadyAnsweredError(f"`{statement.person}` has answered already")
    sign_in = signed.sign_in
    if sign_in is not None and not lasts(tx, namespace, statement.person, sign_in, now):
        sign_in = None
    require_signed_in(kind, one.question.steps, sign_in, now)
    return Judged(people=people, circle=circle, key=key)


def answered_event(
    one: StoredApproval, signed: Signed, kind: AnswerKind, pace: Pace = _UNTIMED
) -> ApprovalAnswered:
    return ApprovalAnswered(
        approval=one.question.id,
        digest=one.question.digest,
        action=one.question.action,
        task=one.question.task,
        answer=kind.value,
        person=signed.statement.person,
        key=signed.statement.key,
        statement=sha256(signed.raw).hexdigest(),
        signature=sha256(signed.signature).hexdigest(),
        proof=signed.by[1],
        taken=pace.taken,
        length=pace.length,
        hasty=pace.hasty,
        acr="" if signed.sign_in is None else signed.sign_in.acr,
        authenticated=0 if signed.sign_in is None else signed.sign_in.at,
    )
