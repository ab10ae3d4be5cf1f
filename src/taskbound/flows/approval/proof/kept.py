"""Whether recorded answers still count, and how their persons had signed in.

- Tokens and signatures are verified on receipt and again in the transaction that uses the approval, against
  current issuers and keys. A question changed in the store therefore has no answers. Core's rule
  (`core/task/evidence`) and the gate must agree on signed evidence.
- A token's `sub` names the approval digest, so it counts for one question only, never for a tool, task or
  period.
- An answer to a plan answers each question whose digest stands at its place in the signed plan. An answer
  that covers retries answers each retry's question up to its number.
- The sign-in is found by what authenticates the bringer (token row or browser session), never by the request,
  the statement or the signing key. A person who brings another person's statement lends it no sign-in.
- The sign-in lasts until token, key, client admission or session ends; the token's own expiry (five minutes)
  does not end it.
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
    from taskbound.flows.means import Adapters
    from taskbound.ports.identity import Signatures
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.wire.jose import Jws, SignatureCheck


_SUBJECT: Final = "taskbound-approval:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """A verified token and its issuer."""

    issuer: Issuer
    jws: Jws


def subject_of(question: Question) -> str:
    """Returns the required `sub` of a token about this question."""
    return f"{_SUBJECT}{question.digest}"


def trust_of(issuer: Issuer) -> Trust:
    """Returns the trust configuration of an issuer."""
    return Trust(issuer=issuer.issuer, audience=issuer.audience, keys=parse_jwks(issuer.keys))


def require_proof(
    token: str, question: Question, issuers: Iterable[Issuer], *, check: SignatureCheck, now: Instant
) -> Vouched:
    """Verifies a token by a known issuer about exactly this question."""
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
    """Returns the answers signed by one of these keys about this question, a step of `plan` if given."""
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
    if isinstance(question, Question) and question.plan:
        if plan is None or said.subject is not Subject.PLAN or not plan.has(question):
            return False
        named = (said.namespace, said.question, said.digest)
        return named == (plan.namespace, plan.id, plan.digest) and said.kind is kind
    if said.subject is not (Subject.ACTION if isinstance(question, Question) else Subject.AMENDMENT):
        return False
    if said.kind is AnswerKind.NARROW and isinstance(question, Question):
        about = (said.namespace, said.digest, said.narrowed)
        narrows = (question.namespace, question.narrows, question.act)
        return about == narrows and kind is yes_of(question, said.person)
    answered = (said.namespace, said.question, said.digest)
    if isinstance(question, Question) and 1 <= question.retry <= said.retries:
        first = question.answered
        if answered == (first.namespace, first.id, first.digest):
            return said.kind is kind
    return answered == (question.namespace, question.id, question.digest) and said.kind is kind


def signed_in_by(adapters: Adapters, principal: Principal | None, person: str) -> AnswerSignIn | None:
    if principal is None or (principal.kind, principal.name) != (PrincipalKind.PERSON, person):
        return None
    if not isinstance(principal.proof, TokenProof):
        return None
    with adapters.store.read() as snapshot:
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
    return tuple(
        one
        if one.sign_in is None or lasts(snapshot, namespace, one.person, one.sign_in, now)
        else replace(one, sign_in=None)
        for one in answers
    )


def lasts(snapshot: Snapshot, namespace: str, person: str, signed: AnswerSignIn, now: Instant) -> bool:
    if signed.session and now >= snapshot.accounts.session_until(namespace, signed.session, person):
        return False
    if not signed.token:
        return bool(signed.session)
    row = snapshot.tokens.token(namespace, signed.token)
    if row is None or row.revoked != NEVER or (row.acr, row.authenticated) != (signed.acr, signed.at):
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
    """Returns the key after a verified signature; must be called at every use of a signature."""
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
    """The valid evidence of a task and what it rests on."""

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
    names: dict[bool, set[str]] = {True: set(), False: set()}
    until: list[Instant] = []
    for piece, verdict in verdicts(snapshot, task, check=check, now=now):
        if isinstance(piece, Signed):
            stands = isinstance(verdict, Proven)
            names[stands].update(evidence_names(piece))
            until += [verdict.until] if isinstance(verdict, Proven) else []
    return Vouching(
        proven=tuple(sorted(names[True])),
        unproven=tuple(sorted(names[False])),
        issuers=snapshot.identities.issuers(task.namespace),
        until=min(until, default=None),
    )


def verdicts(
    snapshot: Snapshot, task: Task, *, check: SignatureCheck, now: Instant
) -> tuple[tuple[Evidence, Verdict], ...]:
    issuers = {one.name: one for one in snapshot.identities.issuers(task.namespace)}
    return tuple(
        (one, _verdict(snapshot, task.namespace, one, issuers, check=check, now=now)) for one in task.evidence
    )


def signed_piece(jws: Jws, issuer: Issuer) -> Signed:
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
