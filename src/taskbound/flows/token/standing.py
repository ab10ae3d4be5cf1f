"""What must hold for a token to be signed and whenever it is shown, and writing its row.

Of `standing`:

1. It is neither revoked nor over, and its key is not revoked.
2. Of a task token: nothing is stopped, its agent is active and somebody answers for it, its task and every
   ancestor runs before its deadline, and the task is still that agent's.
3. Of a transaction token: that too, and its action is permitted and has no outcome. Where it was asked for
   with a client's token, that client is let in still.
4. Of a person's: the person is there. A stop ends no person's token: people lift it.
   Of a service's: the service is there, its owner is, and the key that proved it counts. A stop ends none:
   what was stopped services have to hear.
5. Of one that a client got that people use: the client is let in to that task still (`admitting`), or to act
   as that person, with that key, and while the sign-in lasts that it rests on.
6. A gateway asks less: whose task it is, and that neither it nor the token is over. What else is in the way
   of a call (a pause, a stop, nobody who answers for the agent) the call's decision says, and records.
7. Who gives their own task up asks less still: that the token is neither revoked nor over, its client is let
   in still (rule 5), and its task is one of that agent's. What is paused, stopped or has ended can be given
   up, and nothing else comes of that.
8. Of an action that asks for a credential there is no transaction token: what it is good for is minted, and
   no server that could take the token ever sees the call.

Of `writing`:

1. A stop, a suspension, the end of a task or a change of the key that commits first wins.
2. Record and row are in one transaction; the row has the number of its record, and both have the digest of
   the claims.
3. The token that it is asked with holds then too, and it ends no later than that one. Keys are locked before
   tokens, as whoever revokes a key does.
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
    ActionGround,
    NoTokenKeyError,
    NotOpenError,
    OtherKindError,
    PersonGround,
    ServiceGround,
    TaskGround,
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
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot, Transaction


OPEN = frozenset({ActionState.PERMITTED, ActionState.SENT})
"""An action of which a transaction token may speak."""


def require_token_stands(snapshot: Snapshot, token: Token, now: Instant) -> None:
    """Go on only with a token that holds now (rules 1 to 4).

    Raises:
        DeniedError: It doesn't, and why.
    """
    require_standing(token, now)
    require_not_revoked(snapshot.tokens.key(token.key))  # 1
    if token.form is TokenForm.PERSON:
        _require_present(snapshot, token)  # 4
        _require_let_in(snapshot, token, now)  # 5
        return
    if token.form is TokenForm.SERVICE:
        require_service(snapshot, token.namespace, named_in(token.subject), token.proven_by)  # 4
        return
    require_not_stopped(snapshot.revocation.kill_switch(token.namespace))
    agent = snapshot.identities.agent(token.namespace, token.agent)
    if agent is None:
        raise UnknownIdentityError(f"no agent is named `{token.agent}`")
    require_active(agent, snapshot.identities.persons(token.namespace))
    heads = snapshot.tasks.heads(token.namespace, {token.task})
    require_live(token.task, heads, now)  # 2
    if heads[token.task].agent != token.agent:
        raise NoTaskError(f"the task `{token.task}` is none of agent `{token.agent}`")
    _require_let_in(snapshot, token, now)  # 5
    if token.form is TokenForm.TRANSACTION:
        _require_open(snapshot, token)
        admission = _admission_above(snapshot, token.namespace, token.parent)
        if admission is not None:
            require_standing_admission(admission, now)  # 3


def require_token_goes_on(snapshot: Snapshot, token: Token, now: Instant) -> None:
    """Go on only with a task's token that a gateway may be shown (rule 6).

    Raises:
        DeniedError: It, its key, its admission or its task is over, or it is no task's.
    """
    require_standing(token, now)
    require_not_revoked(snapshot.tokens.key(token.key))
    if token.form is not TokenForm.TASK:
        raise OtherKindError("the token is not a task's")
    heads = snapshot.tasks.heads(token.namespace, {token.task})
    require_going(token.task, heads, now)
    if heads[token.task].agent != token.agent:
        raise NoTaskError(f"the task `{token.task}` is none of agent `{token.agent}`")
    _require_let_in(snapshot, token, now)


def require_token_gives_up(snapshot: Snapshot, token: Token, now: Instant) -> None:
    """Go on only with a task's token by which its agent may end the task (rule 7), or another one that holds.

    Raises:
        DeniedError: It, its key or its admission is over.
    """
    if token.form is not TokenForm.TASK:
        require_token_stands(snapshot, token, now)
        return
    require_standing(token, now)
    require_not_revoked(snapshot.tokens.key(token.key))
    task = snapshot.tasks.task(token.namespace, token.task)
    if task is None or task.agent != token.agent:
        raise NoTaskError(f"the task `{token.task}` is none of agent `{token.agent}`")
    _require_let_in(snapshot, token, now)  # 5


def ground_of(snapshot: Snapshot, token: Token) -> Ground:
    """What the token speaks of, as the store has it now.

    Raises:
        DeniedError: It is not there.
    """
    match token.form:
        case TokenForm.TASK:
            task = snapshot.tasks.task(token.namespace, token.task)
            if task is None:
                raise NoTaskError(f"no task is named `{token.task}`")
            return TaskGround(scope=task.scope.digest, deadline=task.deadline)
        case TokenForm.PERSON:
            return PersonGround()
        case TokenForm.SERVICE:
            return ServiceGround()
        case TokenForm.TRANSACTION:
            return action_ground(snapshot, _require_open(snapshot, token), token.parent)
        case _ as never:
            assert_never(never)


def action_ground(snapshot: Snapshot, action: StoredAction, parent: str) -> ActionGround:
    """What a transaction token says of an action, its approval, and what it rests on.

    Args:
        snapshot: Is read.
        action: The action.
        parent: The token that it is asked for with; empty for none.

    Raises:
        NotOpenError: It asks for a credential (rule 8).
    """
    if credential_kind(action.tool) is not None:
        raise NotOpenError(f"`{action.id}` asks for a credential, and nothing downstream sees that")  # 8
    asked = snapshot.approvals.approval_of(action.namespace, action.id)
    used = asked if asked is not None and asked.state is ApprovalState.CONSUMED else None
    line = snapshot.tasks.lineage(action.namespace, action.task)
    admission = _admission_above(snapshot, action.namespace, parent)
    approvers = [one.person for one in used.answers if one.kind is AnswerKind.APPROVE] if used else []
    return ActionGround(
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
    """The name of the person whose token it is."""
    return named_in(token.subject)


def _require_present(snapshot: Snapshot, token: Token) -> None:
    person = snapshot.identities.person(token.namespace, person_of(token))
    if person is None or person.state is not PersonState.PRESENT:
        raise UnknownIdentityError(f"`{token.subject}` is no person of this namespace")


def _require_let_in(snapshot: Snapshot, token: Token, now: Instant) -> None:
    """Go on only while the client is let in to what this very token is for (rule 5)."""
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
    """What let in the client with whose token another one was asked for; None where none did."""
    asked = snapshot.tokens.token(namespace, parent) if parent else None
    if asked is None or not is_admission(asked.parent):
        return None
    return snapshot.authorizations.admission(namespace, asked.parent)


def require_sign_in(snapshot: Snapshot, admission: Admission, now: Instant) -> None:
    """Go on only while the sign-in lasts on which an admission rests (rule 5).

    Raises:
        AdmissionEndedError: It has ended.
    """
    if not admission.session:
        return
    space, person = admission.namespace, admission.person
    if now >= snapshot.accounts.session_until(space, admission.session, person):
        raise AdmissionEndedError("the sign-in on which the client was let in has ended")


def _require_open(snapshot: Snapshot, token: Token) -> StoredAction:
    action = snapshot.actions.action(token.namespace, token.action)
    if action is None or action.state not in OPEN or (action.task, action.agent) != (token.task, token.agent):
        raise NotOpenError(f"`{token.action}` is no open action of that task")  # 3
    return action


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
