"""What of a task's evidence stands now, by whose word counts now.

1. A signed piece goes through the strict gate again, with the token that was kept of it and the issuers of
   now; what the pure rule (`core/task/evidence`) and the gate say must agree, or the piece is disowned.
2. A piece that stands does so until an instant. What rests on it is asked again from then on.
3. Only signed pieces are proven or not: a ticket and words are a person's own, and stay what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.task import Disowned, Proven, Signed, evidence_names, evidence_stands
from taskbound.flows.approval.proof.kept import trust_of
from taskbound.wire.jose import EVIDENCE, parse_jws, verify_jws

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.task import Evidence, Task, Verdict
    from taskbound.ports.store import Snapshot
    from taskbound.wire.jose import Jws, SignatureCheck


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
