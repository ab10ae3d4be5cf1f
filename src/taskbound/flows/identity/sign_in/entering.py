"""Writing a session down: against what stands then, with its record and with the groups that its issuer says.

1. The issuer's row is the one that was asked, the account is linked, and its person is there.
2. The secret is in the browser's cookie and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import escape_text
from taskbound.core.audit.events.account import PersonSignedIn
from taskbound.core.clock import Instant
from taskbound.core.identity.account import UnknownAccountError
from taskbound.core.identity.oidc import UnknownIdentityIssuerError
from taskbound.core.identity.proof import AccountProof
from taskbound.core.identity.sign_in import LASTS, WAITS, Session, place_of, secret_digest
from taskbound.flows.identity.claimed import claim_groups
from taskbound.flows.identity.leaving import require_present
from taskbound.flows.identity.sessions import end_sessions
from taskbound.flows.identity.sign_in.values import Entered
from taskbound.flows.means import Actor

if TYPE_CHECKING:
    from taskbound.core.audit import Event
    from taskbound.flows.identity.sign_in.values import Proven
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


_OF_PERSON: Final = 32
"""Sessions that one person has at once; the oldest gives way."""
_SWEPT: Final = 1_000


def enter(means: Means, tx: Transaction, proven: Proven, name: str, secret: str, address: str) -> Entered:
    """Sign whoever was proven in, within a transaction.

    Args:
        means: What every flow is given.
        tx: The transaction.
        proven: What the issuer said.
        name: The session's id.
        secret: What the browser is going to hold, without the namespace.
        address: Where it is.

    Raises:
        UnknownIdentityIssuerError: The issuer is another one by now (rule 1).
        UnknownAccountError: The account is nobody's.
        UnknownIdentityError: Its person is not there.
    """
    issuer, said, now = proven.issuer, proven.said, means.clock.now()
    namespace, until = issuer.namespace, Instant(now + LASTS)
    account = tx.accounts.account(namespace, issuer.name, said.subject)
    if issuer not in tx.workloads.identity_issuers(namespace):
        raise UnknownIdentityIssuerError("the issuer was removed or changed meanwhile")  # 1
    if account is None:
        named = escape_text(said.subject)
        raise UnknownAccountError(f"nobody here is linked with `{named}` of `{issuer.name}`")
    persons, _ = tx.identities.lock_grantors(namespace)
    require_present(persons.get(account.person), account.person)
    session = Session(
        namespace=namespace,
        id=name,
        secret=secret_digest(secret),
        person=account.person,
        issuer=issuer.name,
        subject=said.subject,
        authenticated=said.authenticated,
        acr=said.acr,
        began=now,
        until=until,
    )
    actor = Actor(name=account.person, proof=proof_of(session).words)
    events: list[Event] = [
        PersonSignedIn(
            person=account.person,
            session=name,
            issuer=issuer.name,
            subject=said.subject,
            authenticated=said.authenticated,
            acr=said.acr,
            until=until,
            address=place_of(address),
        )
    ]
    mine = [one for one in tx.accounts.sessions(namespace) if one.person == account.person]
    over = {one.id for one in mine[: max(0, len(mine) + 1 - _OF_PERSON)]}
    end_sessions(tx, namespace, lambda one: one.id in over, "a later one took its place", actor, events)
    tx.accounts.put_session(session)
    moved = claim_groups(tx, issuer, account.person, said.claims, until, actor, events)
    tx.audit.append(namespace, means.writer, events, now)
    return Entered(session=session, secret=f"{namespace}.{secret}", back=proven.waiting.back, moved=moved)


def proof_of(session: Session) -> AccountProof:
    """What shows who acts in a session."""
    return AccountProof(
        issuer=session.issuer,
        subject=session.subject,
        authenticated=session.authenticated,
        acr=session.acr,
    )


def sign_out(means: Means, namespace: str, digest: str, reason: str) -> None:
    """End the session whose secret has this digest; nothing happens when there is none."""

    def work(tx: Transaction) -> None:
        found = tx.accounts.session(namespace, digest)
        if found is None:
            return
        events: list[Event] = []
        actor = Actor(name=found.person, proof=proof_of(found).words)
        end_sessions(tx, namespace, lambda one: one.id == found.id, reason, actor, events)
        tx.audit.append(namespace, means.writer, events, means.clock.now())

    means.store.write(work)


def sweep_sign_ins(means: Means) -> None:
    """Forget sign-ins and sessions whose time is over, as far as the log's own time goes."""
    now = Instant(min(means.clock.now(), means.store.last_instant()))

    def work(tx: Transaction) -> None:
        tx.accounts.sweep_sign_ins(Instant(now - WAITS), limit=_SWEPT)
        tx.accounts.sweep_sessions(now, limit=_SWEPT)

    means.store.write(work)
