"""The evidence of a task: issuers, declaration, and verification.

Signed evidence is verified at declaration against current issuers, which are compared again under lock. Only
the account that owns the data directory adds issuers, as they can lift holds.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical
from taskbound.core.audit import IssuerAdded, IssuerRemoved
from taskbound.core.dataclass import dataclass
from taskbound.core.identity import NotOwnerError, parse_name
from taskbound.core.identity.issuer import (
    BadIssuerError,
    Issuer,
    IssuerExistsError,
    UnknownIssuerError,
    parse_issuer_text,
)
from taskbound.core.task import (
    NoTaskError,
    TaskSyntaxError,
    parse_evidence,
)
from taskbound.flows.approval.proof.kept import signed_piece, trust_of, verdicts
from taskbound.wire.jose import EVIDENCE, parse_jwks, parse_jws, verify_jws

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.task import Evidence, Verdict
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.store import Transaction
    from taskbound.wire.jose import SignatureCheck


_MOST: Final = 20
_LONGEST_NAME: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Declared evidence with its tokens and issuers."""

    evidence: tuple[Evidence, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict)
    """By digest: each signed token."""
    issuers: tuple[Issuer, ...] = ()
    """Those whose tokens these are, as they were read."""


def declare_evidence(
    texts: Sequence[str],
    tokens: Sequence[str],
    issuers: Iterable[Issuer],
    *,
    check: SignatureCheck,
    now: Instant,
) -> Declared:
    if len(texts) + len(tokens) > _MOST:
        raise TaskSyntaxError(f"at most {_MOST} pieces of evidence", where="evidence")
    pieces: list[Evidence] = [parse_evidence(text) for text in texts]
    known = {one.issuer: one for one in issuers}
    kept: dict[str, str] = {}
    used: dict[str, Issuer] = {}
    for token in tokens:
        unverified = parse_jws(token, kind=EVIDENCE)
        issuer = known.get(unverified.claimed.issuer)
        if issuer is None:
            raise UnknownIssuerError("the token is by an issuer whose word doesn't count here", where="iss")
        jws = verify_jws(unverified, trust=trust_of(issuer), check=check, now=now)
        pieces.append(signed_piece(jws, issuer))
        kept[jws.digest] = token
        used[issuer.name] = issuer
    if len(set(pieces)) != len(pieces):
        raise TaskSyntaxError("a piece of evidence stands twice", where="evidence")
    return Declared(evidence=tuple(pieces), tokens=kept, issuers=tuple(used.values()))


def settle_evidence(tx: Transaction, namespace: str, declared: Declared) -> None:
    if not declared.issuers:
        return
    locked = set(tx.identities.lock_issuers(namespace))
    for one in declared.issuers:
        if one not in locked:
            raise UnknownIssuerError(f"issuer `{one.name}` changed meanwhile", remedy="try again")
    for digest, token in declared.tokens.items():
        tx.tasks.keep_evidence(namespace, digest, token)


def look_again(adapters: Adapters, namespace: str, task: str) -> tuple[tuple[Evidence, Verdict], ...]:
    now = adapters.clock.now()
    with adapters.store.read() as snapshot:
        found = snapshot.tasks.task(namespace, task)
        if found is None:
            raise NoTaskError(f"no task is named `{task}`", remedy="list them with `taskbound task list`")
        return verdicts(snapshot, found, check=adapters.tokens, now=now)


def add_issuer(  # noqa: PLR0913 - what an issuer is made of, each by its name
    adapters: Adapters,
    namespace: str,
    name: str,
    *,
    issuer: str,
    audience: str,
    keys: bytes,
    actor: Actor,
    owns: bool,
) -> Issuer:
    _require_owner(owns=owns)
    parse_name(name, what="an issuer")
    if len(name) > _LONGEST_NAME:
        raise BadIssuerError(f"an issuer's name has at most {_LONGEST_NAME} characters", where="name")
    parsed = parse_jwks(keys)
    added = Issuer(
        namespace=namespace,
        name=name,
        issuer=parse_issuer_text(issuer, where="issuer"),
        audience=parse_issuer_text(audience or f"urn:taskbound:{namespace}", where="audience"),
        keys=canonical({"keys": [{**one.members} for one in parsed]}),
        thumbprints=tuple(one.thumbprint for one in parsed),
    )

    def work(tx: Transaction) -> None:
        for one in tx.identities.lock_issuers(namespace):
            if one.name == name or one.issuer == issuer:
                raise IssuerExistsError(
                    f"`{one.name}` is an issuer already, and writes itself `{one.issuer}`"
                )
        tx.identities.put_issuer(added, expect=0)
        event = IssuerAdded(
            name=name,
            issuer=issuer,
            audience=added.audience,
            thumbprints=added.thumbprints,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)
    return added


def drop_issuer(adapters: Adapters, namespace: str, name: str, *, actor: Actor, owns: bool) -> None:
    """Removes an issuer; its earlier tokens no longer count."""
    _require_owner(owns=owns)

    def work(tx: Transaction) -> None:
        found = next((one for one in tx.identities.lock_issuers(namespace) if one.name == name), None)
        if found is None:
            raise UnknownIssuerError(f"no issuer is named `{name}`")
        tx.identities.drop_issuer(namespace, name)
        event = IssuerRemoved(name=name, issuer=found.issuer, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)


def _require_owner(*, owns: bool) -> None:
    if not owns:
        raise NotOwnerError(
            "only the account that owns the data directory says whose word counts as evidence",
            remedy="ask the operator of the daemon",
        )
