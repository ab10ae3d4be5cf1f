"""Revokes tokens, deletes old rows, and stores single-use claims.

- A client revokes its own tokens (RFC 7009 §2.1), without key. A person revokes their own tokens, those of
  tasks they requested, and those of agents and services they own; the account that owns the data directory
  any.
- A row is kept for a day after its end, so its place in a status list is free only after the list and beyond
  clock differences.
- A claim is durable before the caller is answered. It is deleted only when the log has a record two minutes
  past its window's end (I-41, I-54). The store keeps how far it deleted and refuses windows up to there, so
  no replay is accepted however far daemons' clocks differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events import TokenRevoked
from taskbound.core.clock import Instant, days, minutes
from taskbound.core.task import require_in_charge
from taskbound.core.token import (
    ForeignTokenError,
    TokenForm,
    UnknownTokenError,
    name_of,
    named_in,
    require_first,
)
from taskbound.core.token.authorization.request import is_admission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.token import Claim, Token, Use
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.store import Transaction


def revoke_token(
    adapters: Adapters, namespace: str, token: str, actor: Actor, *, owns: bool, why: str
) -> Token:
    """Revokes a token for a person; the same again changes nothing."""

    def work(tx: Transaction) -> Token:
        found = tx.tokens.token(namespace, token)
        if found is None:
            raise UnknownTokenError(f"no token is named `{token}`")
        if not owns:
            _require_theirs(tx, found, actor)
        revoke_rows(tx, adapters, [found], why=why, actor=actor)
        return tx.tokens.token(namespace, token) or found

    return adapters.store.write(work, reserve=True)


def revoke_own(adapters: Adapters, token: Token, client: str, actor: Actor) -> None:
    """Raises ForeignTokenError; `client` is the caller as tokens name it, `actor` as records do."""

    def work(tx: Transaction) -> None:
        if client not in _clients(tx, token):
            raise ForeignTokenError("the token was issued to another client")
        revoke_rows(tx, adapters, [token], why="its client gave it back", actor=actor)

    adapters.store.write(work, reserve=True)


def revoke_rows(
    tx: Transaction,
    adapters: Adapters,
    tokens: Sequence[Token],
    *,
    why: str,
    actor: Actor,
    unsigned: bool = False,
) -> tuple[str, ...]:
    """Returns the newly revoked; the caller sets `unsigned` only if signing failed."""
    if not tokens:
        return ()
    namespace = tokens[0].namespace
    now = adapters.clock.now()
    gone = tx.tokens.revoke(namespace, [one.id for one in tokens], now, why, unsigned=unsigned)
    events = [
        TokenRevoked(
            token=one.id,
            task=one.task,
            agent=one.agent,
            why=why,
            by=actor.name,
            proof=actor.proof,
            unsigned=unsigned,
        )
        for one in tokens
        if one.id in gone
    ]
    tx.audit.append(namespace, adapters.writer, events, now)
    return gone


def _clients(tx: Transaction, token: Token) -> tuple[str, ...]:
    own = token.actors[0] if token.actors else token.subject
    if not is_admission(token.parent):
        return (own,)
    admission = tx.authorizations.admission(token.namespace, token.parent)
    return (own,) if admission is None else (own, f"client:{admission.client}")


def _require_theirs(tx: Transaction, token: Token, actor: Actor) -> None:
    if token.form is TokenForm.PERSON:
        if token.subject != name_of("person", token.namespace, actor.name):
            raise ForeignTokenError("the token is another person's")
        return
    if token.form is TokenForm.SERVICE:
        service = tx.services.service(token.namespace, named_in(token.subject))
        if service is not None and service.owner != actor.name:
            raise ForeignTokenError("the token is a service's with another owner")
        return
    task = tx.tasks.task(token.namespace, token.task)
    agent = tx.identities.agent(token.namespace, token.agent)
    if task is not None:
        require_in_charge(task, agent.owner if agent is not None else "", actor.name)


_KEPT: Final = days(1)
_TURN: Final = 1000


def sweep_tokens(adapters: Adapters) -> int:
    """Deletes up to a thousand tokens that ended a day ago; returns their number."""
    before = Instant(min(adapters.clock.now(), adapters.store.last_instant()) - _KEPT)
    return adapters.store.write(lambda tx: tx.tokens.sweep(before, limit=_TURN))


_APART: Final = minutes(2)


def use_claim(adapters: Adapters, claim: Claim) -> None:
    """Uses a claim; raises ReplayedError if it was used before."""
    (use,) = use_claims(adapters, [claim])
    require_first(use, claim.kind)


def use_claims(adapters: Adapters, claims: Sequence[Claim]) -> tuple[Use, ...]:
    return adapters.store.write(lambda tx: tx.claims.use(claims))


def sweep_claims(adapters: Adapters) -> int:
    """Deletes up to a thousand claims past their window; returns their number."""
    before = Instant(min(adapters.clock.now(), adapters.store.last_instant()) - _APART)
    return adapters.store.write(lambda tx: tx.claims.sweep(before, limit=_TURN))
