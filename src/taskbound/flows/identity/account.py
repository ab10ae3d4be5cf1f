"""Linking people with their accounts at issuers, and ending what rests on a link.

1. Only the account that owns the data directory says whose an account is: whoever says it says who that
   person is from then on. Nothing that an issuer says of somebody links them (`core.identity.account`, rule
   1).
2. A person may give up an account of their own, and end a session of theirs: that only takes away.
3. With an account its sessions end, and the memberships of groups that its issuer's word gave the person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit.events.account import AccountLinked
from taskbound.core.identity.account import (
    Account,
    AccountTakenError,
    UnknownAccountError,
    parse_subject,
)
from taskbound.core.identity.oidc import IssuerUse, UnknownIdentityIssuerError
from taskbound.core.identity.sign_in import NotSignedInError
from taskbound.flows.identity.claimed import drop_claims
from taskbound.flows.identity.leaving import require_present, require_self
from taskbound.flows.identity.sessions import drop_accounts, end_sessions

if TYPE_CHECKING:
    from taskbound.core.audit import Event
    from taskbound.flows.means import Actor, Means, Moved
    from taskbound.ports.store import Transaction


def link_account(  # noqa: PLR0913 - whose, which, and by whose word
    means: Means, namespace: str, person: str, *, issuer: str, subject: str, actor: Actor, owns: bool
) -> Account:
    """Have an account be a person's from now on (rule 1).

    Raises:
        NotSelfError: Somebody else than who owns the data directory says so.
        BadSubjectError: It can't be a subject.
        UnknownIdentityIssuerError: There is no such issuer of people.
        UnknownIdentityError: There is no such person.
        AccountTakenError: It is somebody's already.
    """
    require_self(actor, (), owns=owns)
    parse_subject(subject)

    def work(tx: Transaction) -> Account:
        known = tx.accounts.account(namespace, issuer, subject)
        issuers = {one.name: one.use for one in tx.workloads.identity_issuers(namespace)}
        if issuers.get(issuer) is not IssuerUse.PEOPLE:
            raise UnknownIdentityIssuerError(f"no issuer of people is named `{issuer}`")
        persons, _ = tx.identities.lock_grantors(namespace)
        require_present(persons.get(person), person)
        if known is not None:
            raise AccountTakenError(f"the account is `{known.person}`'s already")
        now = means.clock.now()
        account = Account(
            namespace=namespace,
            issuer=issuer,
            subject=subject,
            person=person,
            linked=now,
            by=actor.name,
        )
        tx.accounts.put_account(account)
        event = AccountLinked(person=person, issuer=issuer, subject=subject, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, means.writer, [event], now)
        return account

    return means.store.write(work)


def unlink_account(  # noqa: PLR0913 - whose, which, and by whose word
    means: Means, namespace: str, person: str, *, issuer: str, subject: str, actor: Actor, owns: bool
) -> list[Moved]:
    """Have it be theirs no more (rules 2 and 3); what was paused.

    Raises:
        NotSelfError: Somebody else than they or who owns the data directory says so.
        UnknownAccountError: It is not theirs.
    """
    require_self(actor, (person,), owns=owns)

    def work(tx: Transaction) -> list[Moved]:
        events: list[Event] = []
        gone = drop_accounts(
            tx,
            namespace,
            lambda one: (one.person, one.issuer, one.subject) == (person, issuer, subject),
            f"unlinked by {actor.name}",
            actor,
            events,
        )
        if not gone:
            raise UnknownAccountError(
                f"`{person}` has no such account at `{issuer}`",
                remedy="see theirs with `taskbound person account list`",
            )
        moved = drop_claims(
            tx,
            namespace,
            lambda _, one: (one.person, one.issuer) == (person, issuer),
            f"an account at {issuer} was unlinked",
            actor,
            events,
        )
        tx.audit.append(namespace, means.writer, events, means.clock.now())
        return moved

    return means.store.write(work)


def end_session(means: Means, namespace: str, session: str, *, actor: Actor, owns: bool) -> None:
    """End a browser's session (rule 2).

    Raises:
        NotSelfError: Somebody else than its person or who owns the data directory says so.
        NotSignedInError: There is no such session.
    """

    def work(tx: Transaction) -> None:
        found = next((one for one in tx.accounts.sessions(namespace) if one.id == session), None)
        if found is None:
            require_self(actor, (), owns=owns)
            raise NotSignedInError(
                "there is no such session", remedy="see them with `taskbound person session list`"
            )
        require_self(actor, (found.person,), owns=owns)
        events: list[Event] = []
        end_sessions(tx, namespace, lambda one: one.id == session, f"ended by {actor.name}", actor, events)
        tx.audit.append(namespace, means.writer, events, means.clock.now())

    means.store.write(work)
