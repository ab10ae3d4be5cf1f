"""Writing a token down: what it rests on is locked, and compared with what it was drawn from.

1. A stop, a suspension, the end of a task or a change of the key that commits first wins.
2. Record and row are in one transaction; the row has the number of its record, and both have the digest of
   the claims.
3. The token that it is asked with holds then too, and it ends no later than that one. Keys are locked before
   tokens, as whoever revokes a key does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.audit.events import TokenIssued
from taskbound.core.dataclass import dataclass
from taskbound.core.identity import PersonState, UnknownIdentityError
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import require_live
from taskbound.core.token import (
    NoTokenKeyError,
    NotOpenError,
    Token,
    TokenForm,
    TokenKeyState,
    UnknownTokenError,
    claims_digest,
    claims_of,
    life_of,
    named_in,
    require_not_revoked,
    require_standing,
)
from taskbound.core.token.authorization.admission import is_admission
from taskbound.core.token.status import list_of, place_of
from taskbound.flows.identity.services import require_service
from taskbound.flows.token.standing import OPEN, person_of
from taskbound.ports.store import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.token import Ground, IssuingKey
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was read, and is compared under lock (rule 1)."""

    token: Token
    """Without times, key and place."""
    ground: Ground
    life: int
    ends: tuple[Instant, ...]
    agent: int = 0
    """The agent's version."""
    task: int = 0
    """The task's version."""
    claims: bool = False
    """Whether who gets it is let in to its task by it (`flows.task.unclaimed`)."""


def write_token(means: Means, drawn: Draft, actor: Actor, tx: Transaction) -> Token:
    """The token that was drawn, written with its record (rules 1 and 2).

    Raises:
        DeniedError: What it rests on doesn't hold any more.
        ConflictError: It changed, or the place in the status list is another's: draw it again.
        NoTokenKeyError: No key signs tokens now.
    """
    space = drawn.token.namespace
    if drawn.token.form is TokenForm.PERSON:
        persons, _ = tx.identities.lock_grantors(space)
        person = persons.get(person_of(drawn.token))
        if person is None or person.state is not PersonState.PRESENT:
            raise UnknownIdentityError(f"`{drawn.token.subject}` is no person of this namespace")
    elif drawn.token.form is TokenForm.SERVICE:
        require_service(tx, space, named_in(drawn.token.subject), drawn.token.proven_by)
    else:
        require_not_stopped(tx.revocation.lock_kill_switch(space))
        if tx.identities.lock_agents(space, {drawn.token.agent}).get(drawn.token.agent) != drawn.agent:
            raise ConflictError(f"agent `{drawn.token.agent}` changed meanwhile")
    if drawn.token.form is TokenForm.TRANSACTION:
        permit = tx.actions.lock_permits(space, {drawn.token.action}).get(drawn.token.action)
        if permit is None or permit.state not in OPEN:
            raise NotOpenError(f"`{drawn.token.action}` is no open action of that task")
    if drawn.token.task:
        heads = tx.tasks.lock_heads(space, {drawn.token.task})
        require_live(drawn.token.task, heads, means.clock.now())
        if heads[drawn.token.task].version != drawn.task:
            raise ConflictError(f"task `{drawn.token.task}` changed meanwhile")
    if drawn.claims:
        tx.unclaimed.drop(space, drawn.token.task)
    keys = {one.kid: one for one in tx.tokens.lock_keys()}
    key = next((one for one in keys.values() if one.state is TokenKeyState.CURRENT), None)
    if key is None:
        raise NoTokenKeyError("no key signs tokens now")
    now = means.clock.now()
    issued, expires = life_of(drawn.life, now, *drawn.ends, *_ends(tx, drawn.token, keys, now))
    listed = bool(drawn.token.list)
    token = replace(
        drawn.token,
        issued=issued,
        expires=expires,
        key=key.kid,
        list=list_of(expires) if listed else 0,
        index=place_of(means.chance.secret()) if listed else 0,
    )
    token = replace(token, digest=claims_digest(claims_of(token, drawn.ground)))
    tx.audit.append(space, means.writer, [_event(token, actor)], now)
    token = replace(token, record=tx.audit.last_number())
    tx.tokens.insert(token)
    return token


def _ends(tx: Transaction, token: Token, keys: Mapping[str, IssuingKey], now: Instant) -> tuple[Instant, ...]:
    """When the token ends that this one is asked with, locked (rule 3); nothing where it is asked with none.

    What an admission is worth is looked at whenever the token is shown, or signed (`standing`).

    Raises:
        DeniedError: It does not hold any more.
    """
    if not token.parent or is_admission(token.parent):
        return ()
    parent = tx.tokens.lock_tokens(token.namespace, {token.parent}).get(token.parent)
    if parent is None:
        raise UnknownTokenError("nobody here issued the token that this one is asked with")
    require_standing(parent, now)
    require_not_revoked(keys.get(parent.key))
    return (parent.expires,)


def _event(token: Token, actor: Actor) -> TokenIssued:
    binding = token.binding
    return TokenIssued(
        token=token.id,
        form=token.form.value,
        task=token.task,
        agent=token.agent,
        subject=token.subject,
        audience=token.audience,
        binding=f"{binding.kind.value}:{binding.thumbprint}" if binding is not None else "",
        expires=token.expires,
        key=token.key,
        digest=token.digest,
        by=actor.name,
        proof=actor.proof,
        parent=token.parent,
        action=token.action,
        may_act=token.may_act,
        proven_by=token.proven_by,
        listed=f"{token.list}/{token.index}",
    )
