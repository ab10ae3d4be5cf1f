"""Whether what is kept of an answer is what somebody signed about one question, and counts now.

1. The token goes through the strict gate (`wire/jose`), against the issuers of now, whenever it matters:
   when it is brought, and again in the transaction in which the approval is used.
2. Its `sub` names the approval digest. So it is made for this question, after it was asked, and is worth
   nothing for another: a word about a tool, a task or an hour would open a window.
3. A person's statement and signature are read and verified again whenever it matters. So a question that was
   changed in the store after somebody signed it has no answers, and an answer that nobody signed is none.
4. Whoever narrowed another question to this one has signed that: the other's digest, and this one's action.
5. An answer to a plan is one to each of its steps: to every question whose digest stands in its place in the
   plan that was signed. A step has no answers of its own.
6. An answer that covers retries is one to the question of each, up to the number that it says: of that
   question the first is computed, and it must be the one that was signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.approval import (
    AnswerKind,
    OtherQuestionError,
    Question,
    Subject,
    parse_statement,
    yes_of,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.issuer import UnknownIssuerError
from taskbound.wire.jose import EVIDENCE, Trust, parse_jwks, parse_jws, verify_jws

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.approval import Answer, Plan, Statement
    from taskbound.core.approval.amendment import AmendmentQuestion
    from taskbound.core.clock import Instant
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.ports.identity import Signatures
    from taskbound.wire.jose import Jws, SignatureCheck


_SUBJECT: Final = "taskbound-approval:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """A token that was verified, and whose word it is."""

    issuer: Issuer
    jws: Jws


def subject_of(question: Question) -> str:
    """What a token about this question has as its `sub` (rule 2)."""
    return f"{_SUBJECT}{question.digest}"


def trust_of(issuer: Issuer) -> Trust:
    """What the gate is told of an issuer."""
    return Trust(issuer=issuer.issuer, audience=issuer.audience, keys=parse_jwks(issuer.keys))


def require_proof(
    token: str, question: Question, issuers: Iterable[Issuer], *, check: SignatureCheck, now: Instant
) -> Vouched:
    """Go on only when a known issuer says this of exactly this question, now (rule 1).

    Raises:
        MalformedError: It is no token (`wire/jose`).
        UnknownIssuerError: It is by nobody whose word counts here.
        DeniedError: It is not believed (`wire/jose`).
        OtherQuestionError: It is about something else (rule 2).
    """
    unverified = parse_jws(token, kind=EVIDENCE)
    issuer = next((one for one in issuers if one.issuer == unverified.claimed.issuer), None)
    if issuer is None:
        raise UnknownIssuerError("the token is by an issuer whose word doesn't count here", where="iss")
    jws = verify_jws(unverified, trust=trust_of(issuer), check=check, now=now)
    if jws.claims.subject != subject_of(question):
        raise OtherQuestionError(
            "the token is about something else than this question",
            remedy="have its issuer sign the `sub` that `taskbound approval show` says",
            where="sub",
        )
    return Vouched(issuer=issuer, jws=jws)


def proven(
    question: Question,
    answers: Iterable[Answer],
    issuers: Iterable[Issuer],
    *,
    check: SignatureCheck,
    now: Instant,
) -> tuple[Answer, ...]:
    """Those of the answers that are an issuer's word, and count now (rule 1)."""
    counts: list[Answer] = []
    known = tuple(issuers)
    for one in answers:
        if one.kind is not AnswerKind.EVIDENCE:
            continue
        try:
            found = require_proof(one.statement.decode(), question, known, check=check, now=now)
        except (TaskboundError, UnicodeDecodeError):
            continue
        if (found.issuer.name, found.jws.digest) == (one.person, one.key):
            counts.append(one)
    return tuple(counts)


def signed(
    question: Question | AmendmentQuestion,
    answers: Iterable[Answer],
    keys: Mapping[str, PersonKey],
    signatures: Signatures,
    *,
    plan: Plan | None = None,
) -> tuple[Answer, ...]:
    """Those of the answers that a person has signed with one of these keys, about this question (rule 3).

    Args:
        question: What is asked.
        answers: All that were given.
        keys: Those whose word counts.
        signatures: Verifies.
        plan: The one whose step the question is (rule 5).
    """
    counts: list[Answer] = []
    for one in answers:
        key = keys.get(one.key)
        if one.kind is AnswerKind.EVIDENCE or key is None or key.person != one.person:
            continue
        try:
            said = parse_statement(one.statement)
            signatures.verify(key, one.statement, one.signature)
        except TaskboundError:
            continue
        if (said.person, said.key) == (one.person, one.key) and _says(said, one.kind, question, plan):
            counts.append(one)
    return tuple(counts)


def _says(
    said: Statement, kind: AnswerKind, question: Question | AmendmentQuestion, plan: Plan | None
) -> bool:
    """Whether this statement says this to this question, and to nothing else."""
    if isinstance(question, Question) and question.plan:  # 5
        if plan is None or said.subject is not Subject.PLAN or not plan.has(question):
            return False
        named = (said.namespace, said.question, said.digest)
        return named == (plan.namespace, plan.id, plan.digest) and said.kind is kind
    if said.subject is not (Subject.ACTION if isinstance(question, Question) else Subject.AMENDMENT):
        return False
    if said.kind is AnswerKind.NARROW and isinstance(question, Question):  # 4
        about = (said.namespace, said.digest, said.narrowed)
        narrows = (question.namespace, question.narrows, question.act)
        return about == narrows and kind is yes_of(question, said.person)
    answered = (said.namespace, said.question, said.digest)
    if isinstance(question, Question) and 1 <= question.retry <= said.retries:  # 6
        first = question.answered
        if answered == (first.namespace, first.id, first.digest):
            return said.kind is kind
    return answered == (question.namespace, question.id, question.digest) and said.kind is kind
