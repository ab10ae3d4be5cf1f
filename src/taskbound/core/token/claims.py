"""The claims of a token, made from its row: the same bytes whoever makes them.

Of `claims`:

1. A task token and a person's are access tokens (RFC 9068 §2.2): `client_id` is who acts, `sub` for whom.
   Those who act stand in `act`, the present one outermost, each with its name and nothing else (RFC 8693
   §4.1); `may_act` names the one agent that a task token is handed on to (§4.4).
   A service's names it in `service` too, which tells it from a person's, and the key that proved it.
2. `authorization_details` of a task token has one object of our own type (RFC 9396 §2): the task, the digest
   of its scope, its deadline, and where that is for.
3. A transaction token says what the draft says (§5): `txn` is the action, `sub` is unique in the trust
   domain, `scope` is the tool, and `tctx` is what was permitted. It has no `status`: it is over before a list
   would say so. What `tctx` names of what it rests on (the tasks above its own, a client's
   admission) is what the feed says of, so that whoever is shown it can look (`core.revocation.feed`, rule 3).
4. The claims are canonical JSON, and their SHA-256 stands in the row and in the record of the issue.

Of `issuing`:

1. A task token and a person's live 300 seconds at most, a transaction token 30; none lives longer than its
   task or what proved who asks for it, nor, when it is exchanged for another one of the same task, than that
   one. Times are whole seconds, cut off: a token never ends a moment late (I-44).
2. The chain of those who act grows at its front, has six at most, and names nobody twice. For whom they act
   is none of them (RFC 8693 §4.1): a chain in a circle says nothing of who did what.
3. A binding is never dropped, and what is made of a bound token is bound as firmly or more so (I-42): a
   bearer token before DPoP, DPoP before mutual TLS, which covers every byte of a request.
4. What a token is exchanged for goes to whom its holder meant, and to nobody who merely has its text: to its
   own agent, which is proven and could name the task instead; to the one that it names (`may_act`, RFC 8693
   §4.4); or to whoever shows the very key that it is bound to.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from taskbound.core.action import canonical
from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.identity.proof import BindingKind
from taskbound.core.token.errors import (
    ActorChainError,
    BadTokenLifeError,
    NotMeantError,
    TokenAlteredError,
    UnboundTokenError,
    WeakerBindingError,
)
from taskbound.core.token.values import NEVER, Token, TokenForm, agent_name, name_of, named_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.identity.proof import Binding


DETAILS: Final = "taskbound_task"
"""The type of what a task token says of its task."""
_SECOND: Final = seconds(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGround:
    """What a task token rests on, as the store has it."""

    scope: str
    """The digest of the task's scope."""
    deadline: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonGround:
    """What a person's token rests on: the person, who is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceGround:
    """What a service's token rests on: the service, which is there, its owner, and its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionGround:
    """What a transaction token rests on, as the store has it."""

    tool: str
    server: str
    """Digest of the server's identity."""
    digest: str
    """The action digest."""
    definition: str
    """The digest of the tool's pinned definition, which the action's digest is made of too."""
    approval: str = ""
    """The approval that lifted its hold; empty where none was needed."""
    approvers: tuple[str, ...] = ()
    """Who gave it, by name."""
    ancestors: tuple[str, ...] = ()
    """The tasks above its own, the nearest first."""
    admission: str = ""
    """What let in the client with whose token it was asked for; empty where none did."""


Ground: TypeAlias = TaskGround | PersonGround | ServiceGround | ActionGround
"""What a token speaks of."""


def claims_of(token: Token, ground: Ground) -> dict[str, JsonValue]:
    """The claims of the token.

    Raises:
        TokenAlteredError: The row can't speak of this.
    """
    claims: dict[str, JsonValue] = {
        "iss": token.issuer,
        "sub": token.subject,
        "aud": token.audience,
        "iat": token.issued // _SECOND,
        "exp": token.expires // _SECOND,
        "jti": token.id,
    }
    if token.actors:
        claims["act"] = _act(token.actors)
    match ground:
        case TaskGround() if token.form is TokenForm.TASK:
            claims.update(_access(token, agent_name(token.namespace, token.agent), scope="task"))
            claims["task"] = token.task
            if token.may_act:
                claims["may_act"] = {"sub": token.may_act}
            claims["authorization_details"] = [details_of(token, ground)]
        case PersonGround() if token.form is TokenForm.PERSON:
            claims.update(_access(token, token.subject, scope="operations"))
            if token.acr:
                claims["acr"] = token.acr
            if token.authenticated != NEVER:
                claims["auth_time"] = token.authenticated // _SECOND
        case ServiceGround() if token.form is TokenForm.SERVICE:
            claims.update(_access(token, token.subject, scope="service"))
            claims["service"] = named_in(token.subject)
            claims["proven_by"] = token.proven_by
        case ActionGround() if token.form is TokenForm.TRANSACTION:
            claims.update(
                {
                    "txn": token.action,
                    "scope": ground.tool,
                    "req_wl": agent_name(token.namespace, token.agent),
                    "tctx": _context(token, ground),
                    **_confirmed(token),
                }
            )
        case TaskGround() | PersonGround() | ServiceGround() | ActionGround():
            raise TokenAlteredError(f"a token of form `{token.form.value}` speaks of something else")
        case _ as never:
            assert_never(never)
    return claims


def claims_digest(claims: Mapping[str, JsonValue]) -> str:
    """What row and record hold of the claims (rule 4): the digest of the payload of their token."""
    return sha256(canonical({**claims})).hexdigest()


def status_uri(issuer: str, number: int) -> str:
    """Where a status list is published: the `sub` of the list, and the `uri` of every token in it."""
    return f"{issuer}/oauth/status/{number}"


def _access(token: Token, client: str, *, scope: str) -> dict[str, JsonValue]:
    """The claims of an access token (rule 1)."""
    claims: dict[str, JsonValue] = {
        "client_id": client,
        "namespace": token.namespace,
        "scope": scope,
        "status": {"status_list": {"idx": token.index, "uri": status_uri(token.issuer, token.list)}},
    }
    return claims | _confirmed(token)


def _confirmed(token: Token) -> dict[str, JsonValue]:
    """`cnf` (RFC 7800, RFC 9449 §6.1, RFC 8705 §3.1): the key of whoever asked for it; of a bound token."""
    if token.binding is None:
        return {}
    return {"cnf": {token.binding.kind.value: token.binding.thumbprint}}


def _act(actors: tuple[str, ...]) -> JsonValue:
    inner: dict[str, JsonValue] | None = None
    for one in reversed(actors):
        inner = {"sub": one} if inner is None else {"sub": one, "act": inner}
    return inner


def details_of(token: Token, ground: TaskGround) -> dict[str, JsonValue]:
    """What a task token says of its task, one object of `authorization_details` (RFC 9396 §2)."""
    return {
        "type": DETAILS,
        "identifier": token.task,
        "locations": [token.audience],
        "scope": ground.scope,
        "deadline": ground.deadline // _SECOND,
    }


def _context(token: Token, ground: ActionGround) -> dict[str, JsonValue]:
    """`tctx` (rule 3)."""
    context: dict[str, JsonValue] = {
        "namespace": token.namespace,
        "task": token.task,
        "action": token.action,
        "action_digest": ground.digest,
        "tool": ground.tool,
        "target": ground.server,
        "definition": ground.definition,
        "ancestors": list(ground.ancestors),
    }
    if ground.admission:
        context["admission"] = ground.admission
    if token.content:
        context["content_digest"] = token.content
    if ground.approval:
        context["approval"] = ground.approval
        context["approver"] = [name_of("person", token.namespace, one) for one in ground.approvers]
    return context


LONGEST: Final = 300
"""Seconds of a task token and of a person's (rule 1)."""
SHORT: Final = 30
"""Seconds of a transaction token (rule 1)."""
DEPTH: Final = 6
"""Those who act, with those they act for (rule 2)."""
_FIRM: Final = {None: 0, BindingKind.DPOP: 1, BindingKind.MTLS: 2}


def parse_life(asked: object, form: TokenForm) -> int:
    """The seconds that somebody asked for; 0 asks for as many as may be.

    Raises:
        BadTokenLifeError: That is no whole number of seconds that such a token can live (rule 1).
    """
    most = SHORT if form is TokenForm.TRANSACTION else LONGEST
    if not isinstance(asked, int) or isinstance(asked, bool) or not 0 <= asked <= most:
        raise BadTokenLifeError(f"such a token lives 1 to {most} seconds")
    return asked or most


def life_of(life: int, now: Instant, *ends: Instant) -> tuple[Instant, Instant]:
    """When a token is issued and when it ends, both in whole seconds (rule 1).

    Args:
        life: Seconds, as `parse_life` gave them.
        now: When.
        ends: What it can't outlive: the task's deadline, the end of a credential, of the token before.

    Raises:
        BadTokenLifeError: Less than a second is left.
    """
    issued = Instant(now - now % _SECOND)
    end = min([Instant(issued + seconds(life)), *ends])
    expires = Instant(end - end % _SECOND)
    if expires <= now:
        raise BadTokenLifeError("less than a second is left of what the token would rest on")
    return issued, expires


def extend_chain(actor: str, before: Sequence[str], subject: str) -> tuple[str, ...]:
    """Those who act when this one acts for them (rule 2), by name, the present one first.

    Raises:
        ActorChainError: There are too many, one is in it twice, or it is the one for whom they act.
    """
    chain = (actor, *before)
    if len(chain) > DEPTH:
        raise ActorChainError(f"a task is handed on at most {DEPTH - 1} times by its tokens")
    if len(set(chain)) != len(chain):
        raise ActorChainError(f"`{actor}` has acted in this chain before")
    if subject in chain:
        raise ActorChainError(f"`{subject}` can't act for itself")
    return chain


def chain_of(agents: Sequence[str], subject: str) -> tuple[str, ...]:
    """Those who act in a task, by the agents of it and of its ancestors, nearest first (rule 2).

    An agent that was handed a part of its own task acts once.

    Raises:
        ActorChainError: They can't be told in one line.
    """
    chain: tuple[str, ...] = ()
    for one in reversed(agents):
        if chain[:1] != (one,):
            chain = extend_chain(one, chain, subject)
    return chain


def require_bound(binding: Binding | None) -> Binding:
    """The key that a token is to be bound to (rule 3).

    Raises:
        UnboundTokenError: There is none.
    """
    if binding is None:
        raise UnboundTokenError("nothing was shown that the token could be bound to")
    return binding


def require_as_firm(binding: Binding | None, before: Binding | None) -> None:
    """Go on only when a token is bound as firmly as the one that it is made of (rule 3).

    Raises:
        WeakerBindingError: It is not.
    """
    if _FIRM[None if binding is None else binding.kind] < _FIRM[None if before is None else before.kind]:
        raise WeakerBindingError("the token would be bound less firmly than the one that it is made of")


def require_meant(subject: Token, agent: str, shown: Binding | None) -> None:
    """Go on only when the holder of a token meant this agent to exchange it (rule 4).

    Args:
        subject: The token that is exchanged.
        agent: The agent that exchanges it, proven, of the token's namespace.
        shown: The key that the request was made with.

    Raises:
        NotMeantError: The holder did not.
    """
    if subject.form is TokenForm.TASK and subject.agent == agent:
        return
    if subject.may_act == agent_name(subject.namespace, agent):
        return
    if subject.binding is not None and subject.binding == shown:
        return
    raise NotMeantError(f"the token's holder did not name agent `{agent}`, and its own key is not shown")
