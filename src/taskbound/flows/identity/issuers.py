"""Issuers of identities: added and removed by the account that owns the data directory.

Whoever names an issuer says who may be every agent that has a selector of it, or every person with an
account there. With an issuer of people go the sign-ins that wait for it: what one issuer gave for them is
not brought to another one of its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit.events.workload import IdentityIssuerAdded, IdentityIssuerRemoved
from taskbound.core.identity import NotOwnerError
from taskbound.core.identity.oidc import (
    IssuerInUseError,
    IssuerUse,
    UnknownIdentityIssuerError,
    require_alone,
)
from taskbound.core.identity.proof import WorkloadKind
from taskbound.wire.jose import parse_foreign_jwks

if TYPE_CHECKING:
    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


def add_identity_issuer(means: Means, issuer: IdentityIssuer, *, actor: Actor, owns: bool) -> None:
    """Have this issuer's word count from now on.

    Raises:
        NotOwnerError: Somebody else than who owns the data directory says so.
        IssuerExistsError: Its name, or what it writes as `iss`, is another's.
        MalformedError: Its keys can't be read (`wire/jose`).
    """
    require_directory_owner(owns=owns)
    keys = parse_foreign_jwks(issuer.keys) if issuer.keys else ()

    def work(tx: Transaction) -> None:
        require_alone(issuer, tx.workloads.identity_issuers(issuer.namespace))
        tx.workloads.put_identity_issuer(issuer)
        event = IdentityIssuerAdded(
            name=issuer.name,
            issuer=issuer.issuer,
            audience=issuer.audience,
            use=issuer.use.value,
            keys=tuple(sorted({one.thumbprint for one in keys})),
            keys_at=issuer.keys_at,
            private=issuer.private,
            token_at=issuer.token_at,
            secret_file=issuer.secret_file,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(issuer.namespace, means.writer, [event], means.clock.now())

    means.store.write(work)


def drop_identity_issuer(means: Means, namespace: str, name: str, *, actor: Actor, owns: bool) -> None:
    """Have this issuer's word count no more.

    Raises:
        NotOwnerError: Somebody else than who owns the data directory says so.
        UnknownIdentityIssuerError: There is none of this name.
        IssuerInUseError: Selectors or accounts name it.
    """
    require_directory_owner(owns=owns)

    def work(tx: Transaction) -> None:
        found = next((one for one in tx.workloads.identity_issuers(namespace) if one.name == name), None)
        if found is None:
            raise UnknownIdentityIssuerError(f"no issuer of identities is named `{name}`")
        named = tx.workloads.selectors_of(namespace, WorkloadKind.OIDC, name)
        if found.use is IssuerUse.WORKLOADS and named:
            raise IssuerInUseError(f"{len(named)} selectors name the issuer `{name}`")
        linked = [one for one in tx.accounts.accounts(namespace) if one.issuer == name]
        if linked:
            raise IssuerInUseError(f"{len(linked)} accounts of people are of the issuer `{name}`")
        tx.accounts.drop_sign_ins(namespace, name)
        tx.workloads.drop_identity_issuer(namespace, name)
        event = IdentityIssuerRemoved(name=name, issuer=found.issuer, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, means.writer, [event], means.clock.now())

    means.store.write(work)


def require_directory_owner(*, owns: bool) -> None:
    """Go on only for the account that owns the data directory.

    Raises:
        NotOwnerError: It is another's word.
    """
    if not owns:
        raise NotOwnerError(
            "only the account that owns the data directory says whose word proves identities",
            remedy="ask whoever runs the daemon",
        )
