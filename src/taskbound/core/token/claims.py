"""What a token says, made from its row and from what it speaks of: the same bytes whoever makes them.

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
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from taskbound.core.action import canonical
from taskbound.core.clock import seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.token.errors import TokenAlteredError
from taskbound.core.token.values import NEVER, Token, TokenForm, agent_name, name_of, named_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant


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
