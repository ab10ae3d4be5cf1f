"""What is kept of an answer, whether it still counts, and how the person had signed in.

Of `kept`:

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

Of `signed_in`:

1. It is found by what proves who brings the answer: their token's row, or the session that their browser
   showed. Nothing that is sent with an answer says it; nor does a statement, or the key that signs it.
2. Whoever brings what another person has signed lends them no sign-in.
3. It lasts while nobody ended it: the token and its key are not revoked, its client's admission was not
   ended, and the session that it rests on goes on. That the token's five minutes are over ends nothing.
4. A token that says something else by now than was kept of it is another one's.

Of `vouched`:

1. A signed piece goes through the strict gate again, with the token that was kept of it and the issuers of
   now; what the pure rule (`core/task/evidence`) and the gate say must agree, or the piece is disowned.
2. A piece that stands does so until an instant. What rests on it is asked again from then on.
3. Only signed pieces are proven or not: a ticket and words are a person's own, and stay what they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import (
    AnswerKind,
    AnswerSignIn,
    OtherQuestionError,
    Question,
    Subject,
    parse_statement,
    yes_of,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.core.identity.issuer import UnknownIssuerError
from taskbound.core.identity.person_key import CountsBackError
from taskbound.core.identity.proof import PrincipalKind, TokenProof
from taskbound.core.task import Disowned, Proven, Signed, evidence_names, evidence_stands
from taskbound.core.token import NEVER, TokenForm, require_not_revoked
from taskbound.core.token.authorization.request import is_admission
from taskbound.wire.jose import EVIDENCE, Trust, parse_jwks, parse_jws, verify_jws

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.approval import Answer, Plan, Statement
    from taskbound.core.approval.amendment import AmendmentQuestion
    from taskbound.core.clock import Instant
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.core.identity.proof import Principal
    from taskbound.core.task import Evidence, Task, Verdict
    from taskbound.flows.means import Means
    from taskbound.ports.identity import Signatures
    from taskbound.ports.store import Snapshot, Transaction
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


def signed_in_by(means: Means, principal: Principal | None, person: str) -> AnswerSignIn | None:
    """How this person had signed in, by the token that was shown (rules 1 and 2); None without."""
    if principal is None or (principal.kind, principal.name) != (PrincipalKind.PERSON, person):
        return None
    if not isinstance(principal.proof, TokenProof):
        return None
    with means.store.read() as snapshot:
        row = snapshot.tokens.token(principal.namespace, principal.proof.token)
        if row is None or row.form is not TokenForm.PERSON or row.authenticated == NEVER:
            return None
        session = ""
        if is_admission(row.parent):
            found = snapshot.authorizations.admission(row.namespace, row.parent)
            session = "" if found is None else found.session
    return AnswerSignIn(acr=row.acr, at=row.authenticated, token=row.id, session=session)


def lasting(
    snapshot: Snapshot, namespace: str, answers: Iterable[Answer], now: Instant
) -> tuple[Answer, ...]:
    """These answers, those without a sign-in whose sign-in has ended (rule 3)."""
    return tuple(
        one
        if one.sign_in is None or lasts(snapshot, namespace, one.person, one.sign_in, now)
        else replace(one, sign_in=None)
        for one in answers
    )


def lasts(snapshot: Snapshot, namespace: str, person: str, signed: AnswerSignIn, now: Instant) -> bool:
    """Whether nobody has ended this sign-in (rules 3 and 4)."""
    if signed.session and now >= snapshot.accounts.session_until(namespace, signed.session, person):
        return False
    if not signed.token:
        return bool(signed.session)
    row = snapshot.tokens.token(namespace, signed.token)
    if row is None or row.revoked != NEVER or (row.acr, row.authenticated) != (signed.acr, signed.at):  # 4
        return False
    try:
        require_not_revoked(snapshot.tokens.key(row.key))
    except DeniedError:
        return False
    if not is_admission(row.parent):
        return True
    found = snapshot.authorizations.admission(namespace, row.parent)
    return found is not None and found.ended == NEVER


def count_on(tx: Transaction, signatures: Signatures, key: PersonKey, signature: bytes) -> PersonKey:
    """The key after a signature that verifies ; to be asked wherever a signature is used.

    Raises:
        CountsBackError: Its device counts back.
    """
    counter = signatures.counter(key, signature)
    if not counter and not key.counter:
        return key
    if counter <= key.counter:
        raise CountsBackError(f"the device of key `{key.id}` counts back: it may have been copied")
    after = replace(key, counter=counter, version=key.version + 1)
    tx.identities.put_person_key(after, expect=key.version)
    return after


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouching:
    """What of a task's evidence stands, and what that rests on."""

    proven: tuple[str, ...] = ()
    """What its signed pieces answer to, of those that stand, in order."""
    unproven: tuple[str, ...] = ()
    """The same of those that do not."""
    issuers: tuple[Issuer, ...] = ()
    """Whose word counted when it was looked at: all of the namespace."""
    until: Instant | None = None
    """When the first of those that stand does so no more; None where none does."""


NOT_VOUCHED: Final = Vouching()


def vouch(snapshot: Snapshot, task: Task, *, check: SignatureCheck, now: Instant) -> Vouching:
    """What of the task's evidence stands now."""
    names: dict[bool, set[str]] = {True: set(), False: set()}
    until: list[Instant] = []
    for piece, verdict in verdicts(snapshot, task, check=check, now=now):
        if isinstance(piece, Signed):  # 3
            stands = isinstance(verdict, Proven)
            names[stands].update(evidence_names(piece))
            until += [verdict.until] if isinstance(verdict, Proven) else []
    return Vouching(
        proven=tuple(sorted(names[True])),
        unproven=tuple(sorted(names[False])),
        issuers=snapshot.identities.issuers(task.namespace),
        until=min(until, default=None),  # 2
    )


def verdicts(
    snapshot: Snapshot, task: Task, *, check: SignatureCheck, now: Instant
) -> tuple[tuple[Evidence, Verdict], ...]:
    """Each piece that the task rests on, and whether it stands (rule 1)."""
    issuers = {one.name: one for one in snapshot.identities.issuers(task.namespace)}
    return tuple(
        (one, _verdict(snapshot, task.namespace, one, issuers, check=check, now=now)) for one in task.evidence
    )


def signed_piece(jws: Jws, issuer: Issuer) -> Signed:
    """What becomes of a token that was verified."""
    return Signed(
        issuer=issuer.name,
        subject=jws.claims.subject,
        token=jws.digest,
        claims=jws.payload_digest,
        key=jws.key.thumbprint,
        expires=jws.claims.expires,
    )


def _verdict(
    snapshot: Snapshot,
    namespace: str,
    evidence: Evidence,
    issuers: Mapping[str, Issuer],
    *,
    check: SignatureCheck,
    now: Instant,
) -> Verdict:
    verdict = evidence_stands(evidence, issuers, now)
    if not isinstance(evidence, Signed) or not isinstance(verdict, Proven):
        return verdict
    issuer = issuers[evidence.issuer]
    try:
        unverified = parse_jws(snapshot.tasks.evidence(namespace, evidence.token), kind=EVIDENCE)
        jws = verify_jws(unverified, trust=trust_of(issuer), check=check, now=now)
    except TaskboundError as error:
        return Disowned(reason=error.message)
    if signed_piece(jws, issuer) != evidence:
        return Disowned(reason="the token that was kept says something else")
    return verdict
