"""A person's signed statement: whose it is, and whether it counts for the question that it names.

1. The signature is verified over exactly the bytes that came, by the key that they name, before anything is
   locked; what counts is judged under lock, by what is true now.
2. A step of a plan is answered with the plan and not by itself. Who says yes to the plan must be one whose
   answer counts for each of its steps that are left, by the same judgement; who denies it, for one of them.
3. Where the question asks for a sign-in, a yes counts only when it comes with one that lasts and meets it.
   That is judged again whenever the answer is (`circle`).
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

    from taskbound.core.approval import AnswerSignIn, Circle, Statement
    from taskbound.core.clock import Instant
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.flows.approval.circle import People
    from taskbound.flows.means import Means
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


_UNTIMED: Final = Pace(taken=-1, length=0, hasty=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A statement whose signature is by this key."""

    statement: Statement
    key: PersonKey
    raw: bytes
    signature: bytes
    sign_in: AnswerSignIn | None = None
    """How that person had signed in who brings it (rule 3); None where that is not known."""

    @property
    def by(self) -> tuple[str, str]:
        """Who says it, and how that is proven."""
        return self.statement.person, f"{self.key.kind.value} {self.key.fingerprint}"

    def answer(self, kind: AnswerKind, now: Instant) -> Answer:
        """What it says to a question, received now."""
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
    """What a statement that counts was judged by."""

    people: People
    circle: Circle
    key: PersonKey


def verify_signed(
    means: Means, namespace: str, raw: bytes, signature: bytes, sign_in: AnswerSignIn | None = None
) -> Signed:
    """The statement that these bytes are, by whose key they are signed, and how its person had signed in.

    Raises:
        BadStatementError: The bytes are no answer.
        BadSignatureError: The signature is not by that key over exactly these bytes.
        DeniedError: It is of another namespace, or names no key of that person.
    """
    statement = parse_statement(raw)
    if statement.namespace != namespace:
        raise OtherQuestionError("what was signed is of another namespace")
    with means.store.read() as snapshot:
        key = snapshot.identities.person_key(namespace, statement.key)
    if key is None or key.person != statement.person:
        raise NotStandingError(f"`{statement.person}` has no key `{statement.key}`")
    means.signatures.verify(key, raw, signature)  # 1
    return Signed(statement=statement, key=key, raw=raw, signature=signature, sign_in=sign_in)


def require_alone(one: StoredApproval) -> None:
    """Go on only with a question that is no step of a plan (rule 2).

    Raises:
        SignedTogetherError: It is one.
    """
    question = one.question
    if question.plan:
        raise SignedTogetherError(
            f"`{question.id}` is step {question.step} of plan `{question.plan}`, which is answered as a whole"
        )


def judge(tx: Transaction, one: StoredApproval, signed: Signed, now: Instant) -> Judged:
    """Go on only when the statement counts for this question, which is locked (rule 1).

    Raises:
        SignedTogetherError: It is a step of a plan (rule 2).
        DeniedError: The statement does not.
    """
    require_alone(one)
    require_answers(signed.statement, one.question, now)
    people, key = lock_signer(tx, one.question.namespace, signed, now)
    return _judge_one(tx, one, signed, people, key, now)


def lock_signer(tx: Transaction, namespace: str, signed: Signed, now: Instant) -> tuple[People, PersonKey]:
    """The persons of the namespace, locked, and the key, which counts now (rule 1).

    Raises:
        NotStandingError: It does not.
    """
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
    """Those of these steps of a plan for which the statement counts: of a yes all of them (rule 2).

    Raises:
        DeniedError: A yes does not count for one of them, or a denial for none.
    """
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
    """Go on only when what this person says counts for this question (rules 1, 2 and 3).

    Raises:
        DeniedError: It does not.
    """
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
    require_signed_in(kind, one.question.steps, sign_in, now)  # 3
    return Judged(people=people, circle=circle, key=key)


def answered_event(
    one: StoredApproval, signed: Signed, kind: AnswerKind, pace: Pace = _UNTIMED
) -> ApprovalAnswered:
    """The record of an answer of this kind to this question; a narrowing is not timed."""
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
