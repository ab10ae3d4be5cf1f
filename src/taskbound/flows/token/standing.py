"""Validity of a token at signing and at each use, and writing its row.

- A person's token needs the person present; a service's needs service, owner and key. A stop ends neither:
  people lift stops and services must learn of them. A client's token needs its admission (and the sign-in, if
  it acts as a person), also for giving up a task.
- A gateway checks only that task and token are not over; the decision judges and records a pause, stop or
  missing owner. An agent may give up its own task also while that is paused, stopped or ended.
- An action that asks for a credential gets no transaction token, as no server sees the call. The token it is
  asked with is valid then too, and it ends no later. Keys are locked before tokens.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from taskbound.core.action import ActionState
from taskbound.core.approval import AnswerKind, ApprovalState
from taskbound.core.audit.events import TokenIssued
from taskbound.core.dataclass import dataclass
from taskbound.core.identity import PersonState, UnknownIdentityError, require_active
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import NoTaskError, require_going, require_live
from taskbound.core.token import (
    ActionTokenFacts,
    NoTokenKeyError,
    NotOpenError,
    OtherKindError,
    PersonTokenFacts,
    ServiceTokenFacts,
    TaskTokenFacts,
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
from taskbound.core.token.authorization.errors import AdmissionEndedError
from taskbound.core.token.authorization.request import is_admission, require_standing_admission
from taskbound.core.token.key import list_of, place_of
from taskbound.core.tool import credential_kind
from taskbound.flows.identity.services import require_service
from taskbound.ports.store import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.token import Ground, IssuingKey
    from taskbound.core.token.authorization.request import Admission
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot, Transaction


OPEN = frozenset({ActionState.PERMITTED, ActionState.SENT})
"""An action that a transaction token may name."""


def require_token_stands(snapshot: Snapshot, token: Token, now: Instant) -> None:
    """Raises DeniedError unless the token is valid now."""
    require_standing(token, now)
    require_not_revoked(snapshot.tokens.key(token.key))
    if token.form is TokenForm.PERSON:
        _require_present(snapshot, token)
        _require_let_in(snapshot, token, now)
        return
    if token.form is TokenForm.SERVICE:
        require_service(snapshot, token.namespace, named_in(token.subject), token.proven_by)
        return
    require_not_stopped(snapshot.revocation.kill_switch(token.namespace))
    agent = snapshot.identities.agent(token.namespace, token.agent)
    if agent is None:
        raise UnknownIdentityError(f"no agent is named `{token.agent}`")
    require_active(agent, snapshot.identities.persons(token.namespace))
    heads = snapshot.tasks.heads(token.namespace, {token.task})
    require_live(token.task, heads, now)
    if heads[token.task].agent != token.agent:
        raise NoTaskError(f"the task `{token.task}` does not belong to agent `{token.agent}`")
    _require_let_in(snapshot, token, now)
    if token.form is TokenForm.TRANSACTION:
        _require_open(snapshot, token)
        admission = _admission_above(snapshot, token.namespace, token.parent)
        if admission is not None:
            require_standing_admission(admission, now)


def require_token_goes_on(snapshot: Snapshot, token: Token, now: Instant) -> None:
    """Raises DeniedError unless the task token may be shown to a gateway."""
    require_standing(token, now)
    require_not_revoked(snapshot.tokens.key(token.key))
    if token.form is not TokenForm.TASK:
        raise OtherKindError("the token is not a task's")
    heads = snapshot.tasks.heads(token.namespace, {token.task})
    require_going(token.task, heads, now)
    if heads[token.task].agent != token.agent:
        raise NoTaskError(f"the task `{token.task}` does not belong to agent `{token.agent}`")
    _require_let_in(snapshot, token, now)


def require_token_gives_up(snapshot: Snapshot, token: Token, now: Instant) -> None:
    """Raises DeniedError unless the token may end its agent's task, or is valid otherwise."""
    if token.form is not TokenForm.TASK:
        require_token_stands(snapshot, token, now)
        return
    require_standing(token, now)
    require_not_revoked(snapshot.tokens.key(token.key))
    task = snapshot.tasks.task(token.namespace, token.task)
    if task is None or task.agent != token.agent:
        raise NoTaskError(f"the task `{token.task}` does not belong to agent `{token.agent}`")
    _require_let_in(snapshot, token, now)


def ground_of(snapshot: Snapshot, token: Token) -> Ground:
    match token.form:
        case TokenForm.TASK:
            task = snapshot.tasks.task(token.namespace, token.task)
            if task is None:
                raise NoTaskError(f"no task is named `{token.task}`")
            return TaskTokenFacts(scope=task.scope.digest, deadline=task.deadline)
        case TokenForm.PERSON:
            return PersonTokenFacts()
        case TokenForm.SERVICE:
            return ServiceTokenFacts()
        case TokenForm.TRANSACTION:
            return action_ground(snapshot, _require_open(snapshot, token), token.parent)
        case _ as never:
            assert_never(never)


def action_ground(snapshot: Snapshot, action: StoredAction, parent: str) -> ActionTokenFacts:
    """Returns an action token's basis; `parent` is the token it is asked for with, '' for none."""
    if credential_kind(action.tool) is not None:
        raise NotOpenError(f"`{action.id}` asks for a credential, and nothing downstream sees that")
    asked = snapshot.approvals.approval_of(action.namespace, action.id)
    used = asked if asked is not None and asked.state is ApprovalState.CONSUMED else None
    line = snapshot.tasks.lineage(action.namespace, action.task)
    admission = _admission_above(snapshot, action.namespace, parent)
    approvers = [one.person for one in used.answers if one.kind is AnswerKind.APPROVE] if used else []
    return ActionTokenFacts(
        tool=action.tool,
        server=action.server,
        digest=action.digest,
        definition=action.definition,
        approval=used.question.id if used is not None else "",
        approvers=tuple(sorted(approvers)),
        ancestors=tuple(one.id for one in line[1:]),
        admission=admission.id if admission is not None else "",
    )


def person_of(token: Token) -> str:
    return named_in(token.subject)


def _require_present(snapshot: Snapshot, token: Token) -> None:
    person = snapshot.identities.person(token.namespace, person_of(token))
    if person is None or person.state is not PersonState.PRESENT:
        raise UnknownIdentityError(f"`{token.subject}` is no person of this namespace")


def _require_let_in(snapshot: Snapshot, token: Token, now: Instant) -> None:
    if not is_admission(token.parent):
        return
    found = snapshot.authorizations.admission(token.namespace, token.parent)
    require_standing_admission(found, now)
    if found is None or (found.agent, found.task) != (token.agent, token.task):
        raise AdmissionEndedError("the client was let in to something else than this token says")
    if found.is_persons:
        jkt = token.binding.thumbprint if token.binding is not None else ""
        if (found.person, found.jkt) != (person_of(token), jkt):
            raise AdmissionEndedError("the client was let in by another person, or with another key")
        require_sign_in(snapshot, found, now)


def _admission_above(snapshot: Snapshot, namespace: str, parent: str) -> Admission | None:
    asked = snapshot.tokens.token(namespace, parent) if parent else None
    if asked is None or not is_admission(asked.parent):
        return None
    return snapshot.authorizations.admission(namespace, asked.parent)


def require_sign_in(snapshot: Snapshot, admission: Admission, now: Instant) -> None:
    """Raises AdmissionEndedError unless the admission's sign-in lasts."""
    if not admission.session:
        return
    space, person = admission.namespace, admission.person
    if now >= snapshot.accounts.session_until(space, admission.session, person):
        raise AdmissionEndedError("the sign-in on which the client was let in has ended")


def _require_open(snapshot: Snapshot, token: Token) -> StoredAction:
    action = snapshot.actions.action(token.namespace, token.action)
    if action is None or action.state not in OPEN or (action.task, action.agent) != (token.task, token.agent):
        raise NotOpenError(f"`{token.action}` is no open action of that task")
    return action


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReadings:
    """What was read for a token, to be compared under lock."""

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


def write_token(adapters: Adapters, drawn: TokenReadings, actor: Actor, tx: Transaction) -> Token:
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
        require_live(drawn.token.task, heads, adapters.clock.now())
        if heads[drawn.token.task].version != drawn.task:
            raise ConflictError(f"task `{drawn.token.task}` changed meanwhile")
    if drawn.claims:
        tx.unclaimed.drop(space, drawn.token.task)
    keys = {one.kid: one for one in tx.tokens.lock_keys()}
    key = next((one for one in keys.values() if one.state is TokenKeyState.CURRENT), None)
    if key is None:
        raise NoTokenKeyError("no key signs tokens now")
    now = adapters.clock.now()
    issued, expires = life_of(drawn.life, now, *drawn.ends, *_ends(tx, drawn.token, keys, now))
    listed = bool(drawn.token.list)
    token = replace(
        drawn.token,
        issued=issued,
        expires=expires,
        key=key.kid,
        list=list_of(expires) if listed else 0,
        index=place_of(adapters.chance.secret()) if listed else 0,
    )
    token = replace(token, digest=claims_digest(claims_of(token, drawn.ground)))
    tx.audit.append(space, adapters.writer, [_event(token, actor)], now)
    token = replace(token, record=tx.audit.last_number())
    tx.tokens.insert(token)
    return token


def _ends(tx: Transaction, token: Token, keys: Mapping[str, IssuingKey], now: Instant) -> tuple[Instant, ...]:
    """Returns the locked end of the token this one is asked with; its admission is checked at each use."""
    if not token.parent or is_admission(token.parent):
        return ()
    parent = tx.tokens.lock_tokens(token.namespace, {token.parent}).get(token.parent)
    if parent is None:
        raise UnknownTokenError("the token that this one is asked with was not issued here")
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
