"""Revokes tokens, forgets old rows, and claims that are used once.

Of `revoking`:

1. A client revokes what was issued to it (RFC 7009 §2.1); a text that is no token of ours is nothing to
   revoke, and says so to nobody. It needs no key: giving authority back is always permitted to whoever has
   the token. A client that people use gives back what its admission brought.
2. A person revokes what is theirs: their own tokens, those of tasks they asked for, those of agents and
   services they own. The account that owns the data directory revokes every one.
3. The first revocation stands, with its words. It may use the store's reserve.

Of `sweeping`:

1. A token's row is kept for a day after its end: its status list is gone by then, so that its place there is
   nobody's again while anybody could read it, and no clock of ours stands before its end (`claims`, rule 2).
2. So many go in one turn, those that ended first.
3. An expired token is refused by its text alone, and one without a row is nobody's: nothing that ended begins
   again by being forgotten.

Of `claims`:

1. It is durable before whoever showed it is answered.
2. One is forgotten only when the log has a record from after its window's end, and two minutes more (I-41,
   I-54). After a restart the clock begins at that record, however the machine's was set back meanwhile.
3. The store keeps how far it forgot, and refuses whatever was in a window up to there: no replay is accepted,
   however far the clocks of daemons are apart. The two minutes are for what is new: while no daemon's clock
   is further ahead of another's than that, nothing new is refused by this.
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
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


def revoke_token(means: Means, namespace: str, token: str, actor: Actor, *, owns: bool, why: str) -> Token:
    """The token, revoked by a person (rule 2); the same again changes nothing.

    Args:
        means: What flows are given.
        namespace: Whose it is.
        token: Its id.
        actor: Who asks.
        owns: Whether they have the account that owns the data directory.
        why: In words.

    Raises:
        UnknownTokenError: There is none.
        ForeignTokenError: It is another person's own.
        NotInChargeError: Its task is another person's, and its agent too.
    """

    def work(tx: Transaction) -> Token:
        found = tx.tokens.token(namespace, token)
        if found is None:
            raise UnknownTokenError(f"no token is named `{token}`")
        if not owns:
            _require_theirs(tx, found, actor)
        revoke_rows(tx, means, [found], why=why, actor=actor)
        return tx.tokens.token(namespace, token) or found

    return means.store.write(work, reserve=True)  # 3


def revoke_own(means: Means, token: Token, client: str, actor: Actor) -> None:
    """Revoke a token that was shown by the client it was issued to (rule 1).

    Args:
        means: What flows are given.
        token: Its row.
        client: Who asks, as tokens call it.
        actor: The same as records call it.

    Raises:
        ForeignTokenError: It is another client's.
    """

    def work(tx: Transaction) -> None:
        if client not in _clients(tx, token):
            raise ForeignTokenError("the token was issued to another client")
        revoke_rows(tx, means, [token], why="its client gave it back", actor=actor)

    means.store.write(work, reserve=True)


def revoke_rows(
    tx: Transaction,
    means: Means,
    tokens: Sequence[Token],
    *,
    why: str,
    actor: Actor,
    unsigned: bool = False,
) -> tuple[str, ...]:
    """Revoke these rows of one namespace, each with its record (rule 3); those that were not yet.

    `unsigned` is said by who wanted to have them signed, and by nobody else: then nobody has their texts.
    """
    if not tokens:
        return ()
    namespace = tokens[0].namespace
    now = means.clock.now()
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
    tx.audit.append(namespace, means.writer, events, now)
    return gone


def _clients(tx: Transaction, token: Token) -> tuple[str, ...]:
    """Whom a token was issued to, as tokens and records call them (rule 1)."""
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
            raise ForeignTokenError("the token is a service's, and its owner is somebody else")
        return
    task = tx.tasks.task(token.namespace, token.task)
    agent = tx.identities.agent(token.namespace, token.agent)
    if task is not None:
        require_in_charge(task, agent.owner if agent is not None else "", actor.name)


_KEPT: Final = days(1)
_TURN: Final = 1000


def sweep_tokens(means: Means) -> int:
    """Forget what ended a day ago (rule 1), a thousand at most; how many were."""
    before = Instant(min(means.clock.now(), means.store.last_instant()) - _KEPT)
    return means.store.write(lambda tx: tx.tokens.sweep(before, limit=_TURN))


_APART: Final = minutes(2)


def use_claim(means: Means, claim: Claim) -> None:
    """Use it, and go on only when nobody has before.

    Raises:
        ReplayedError: Somebody has.
    """
    (use,) = use_claims(means, [claim])
    require_first(use, claim.kind)


def use_claims(means: Means, claims: Sequence[Claim]) -> tuple[Use, ...]:
    """Which use of each this is; all of them in one transaction (rule 1)."""
    return means.store.write(lambda tx: tx.claims.use(claims))


def sweep_claims(means: Means) -> int:
    """Forget what nobody can show any more (rule 2), a thousand at most; how many were."""
    before = Instant(min(means.clock.now(), means.store.last_instant()) - _APART)
    return means.store.write(lambda tx: tx.claims.sweep(before, limit=_TURN))
