"""Ending what people are signed in by: sessions of browsers, and the accounts that they rest on.

Each ending is one record. An account never goes without its sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit.events.account import AccountUnlinked, SessionEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.audit import Event
    from taskbound.core.identity.account import Account
    from taskbound.core.identity.sign_in import Session
    from taskbound.flows.means import Actor
    from taskbound.ports.store import Transaction


def end_sessions(
    tx: Transaction,
    namespace: str,
    which: Callable[[Session], bool],
    reason: str,
    actor: Actor,
    events: list[Event],
) -> tuple[Session, ...]:
    """End the sessions that this is said of; what is to be recorded goes to the events."""
    ended = tuple(one for one in tx.accounts.sessions(namespace) if which(one))
    for one in ended:
        tx.accounts.drop_session(namespace, one.id)
        events.append(
            SessionEnded(person=one.person, session=one.id, reason=reason, by=actor.name, proof=actor.proof)
        )
    return ended


def drop_accounts(
    tx: Transaction,
    namespace: str,
    which: Callable[[Account], bool],
    reason: str,
    actor: Actor,
    events: list[Event],
) -> tuple[Account, ...]:
    """Unlink the accounts that this is said of, and end their sessions."""
    gone = tuple(one for one in tx.accounts.accounts(namespace) if which(one))
    for one in gone:
        tx.accounts.drop_account(namespace, one.issuer, one.subject)
        events.append(
            AccountUnlinked(
                person=one.person,
                issuer=one.issuer,
                subject=one.subject,
                reason=reason,
                by=actor.name,
                proof=actor.proof,
            )
        )
    named = {(one.issuer, one.subject) for one in gone}
    end_sessions(tx, namespace, lambda one: (one.issuer, one.subject) in named, reason, actor, events)
    return gone
