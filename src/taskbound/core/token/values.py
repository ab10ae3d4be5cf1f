"""A token: its row, which exists before the signed text, and the claims derived from it.

`values`: A token's content never changes; of the row only the revocation does. It ends at its revocation
or expiry and never becomes valid again. Names are unique for our issuer (RFC 7519 §4.1.2): they contain
the namespace unless it is `default`.

`claims`: Task and person tokens are access tokens (RFC 9068 §2.2): `client_id` acts for `sub`. `act` nests
the actors, current one outermost, by name only (RFC 8693 §4.1); `may_act` names the one agent a task token
may be delegated to (§4.4). A service's token names it in `service` too, with its key. A task token's
`authorization_details` has one object (RFC 9396 §2): task, scope digest, deadline, location. A transaction
token follows the draft (§5): `txn` is the action, `scope` the tool, `tctx` the permit, including the facts
it rests on, which the revocation feed reports. It has no `status` because
it expires sooner than a list. Claims are canonical JSON; row and issue record hold their SHA-256.

`issuing`: Task and person tokens live at most 300 s, transaction tokens 30 s, and never longer than the
task, the caller's proof or the exchanged token. Times are truncated to seconds (I-44). The actor chain
grows at its front, has at most six distinct actors and excludes the subject (RFC 8693 §4.1). An exchange
keeps or strengthens the binding (I-42): bearer, DPoP, mutual TLS, in this order. A token may be exchanged
by its own agent, the agent in `may_act` (RFC 8693 §4.4), or the holder of its bound key; possession of the
text is not sufficient.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from taskbound.core.action import canonical
from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.identity.proof import BindingKind, agent_name, name_of
from taskbound.core.token.errors import (
    ActorChainError,
    BadTokenLifeError,
    NotMeantError,
    TokenAlteredError,
    TokenEndedError,
    TokenRevokedError,
    UnboundTokenError,
    WeakerBindingError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.identity.proof import Binding


NEVER: Final = Instant(0)
"""The instant of what has not happened."""


class TokenForm(Enum):
    """Kinds of tokens; rows and records hold these values."""

    TASK = "task"
    """An access token whose authority is a task's (RFC 9068)."""
    PERSON = "person"
    """An access token of a person, for operations (RFC 9068)."""
    SERVICE = "service"
    """An access token of a service, for what services ask (RFC 9068)."""
    TRANSACTION = "transaction"
    """One permitted action, for systems downstream (draft-ietf-oauth-transaction-tokens)."""

    @property
    def typ(self) -> str:
        """The `typ` header (RFC 9068 §2.1; the draft's §5.1)."""
        return "txntoken+jwt" if self is TokenForm.TRANSACTION else "at+jwt"


class TokenState(Enum):
    """State of a token."""

    ISSUED = "issued"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One issued token and its revocation."""

    namespace: str
    id: str
    """Its `jti`: 130 bits of chance."""
    form: TokenForm
    issuer: str
    """`iss`."""
    subject: str
    """`sub`: for whom (`name_of`)."""
    actors: tuple[str, ...]
    """Who acts, the present one first, then those it acts for (RFC 8693 §4.1); none of a person's."""
    audience: str
    """`aud`: one resource, or the trust domain."""
    binding: Binding | None
    issued: Instant
    """In whole seconds, as `expires` (RFC 7519 §2)."""
    expires: Instant
    key: str
    """The `kid` of the key that signs it."""
    task: str = ""
    """Empty of a person's."""
    agent: str = ""
    """Whose it is; empty of a person's."""
    parent: str = ""
    """The token that it was exchanged for; empty where there was none."""
    action: str = ""
    """Of a transaction token: the action."""
    content: str = ""
    """Of a transaction token: the `Content-Digest` of the request, where there is one (RFC 9530)."""
    acr: str = ""
    """For a person's token: the strength of the authentication; empty if unknown."""
    authenticated: Instant = NEVER
    """Of a person's token: when."""
    list: int = 0
    """The status list, and its place there; a transaction token has none (`status`)."""
    index: int = 0
    digest: str = ""
    """SHA-256 of its claims, in hexadecimal."""
    may_act: str = ""
    """For a task token: the agent it is delegated to, as named in tokens; empty without delegation."""
    record: int = 0
    """The number of the record of its issue (`AuditReads.numbered`)."""
    revoked: Instant = NEVER
    why: str = ""
    """Why it was revoked."""
    unsigned: bool = False
    """True if it was revoked because signing failed, so its text never existed."""
    proven_by: str = ""
    """Of a service's token: the key that proved the service."""


def state_of(token: Token, now: Instant) -> TokenState:
    if token.revoked != NEVER:
        return TokenState.REVOKED
    return TokenState.EXPIRED if now >= token.expires else TokenState.ISSUED


def require_standing(token: Token, now: Instant) -> None:
    """Raises TokenRevokedError or TokenEndedError unless the token is valid."""
    match state_of(token, now):
        case TokenState.REVOKED:
            raise TokenRevokedError(f"the token was revoked: {token.why}")
        case TokenState.EXPIRED:
            raise TokenEndedError("the token's time is over")
        case TokenState.ISSUED:
            return


def named_in(subject: str) -> str:
    return subject.partition(":")[2].rpartition("/")[2]


def service_name(namespace: str, service: str) -> str:
    return name_of("service", namespace, service)


DETAILS: Final = "taskbound_task"
"""The type of what a task token says of its task."""
_SECOND: Final = seconds(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTokenFacts:
    """The stored facts behind a task token."""

    scope: str
    """The digest of the task's scope."""
    deadline: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonTokenFacts:
    """The facts behind a person's token: the current person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTokenFacts:
    """The facts behind a service's token: the service, its owner and its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTokenFacts:
    """The stored facts behind a transaction token."""

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


Ground: TypeAlias = TaskTokenFacts | PersonTokenFacts | ServiceTokenFacts | ActionTokenFacts
"""What a token speaks of."""


def claims_of(token: Token, ground: Ground) -> dict[str, JsonValue]:
    """The claims of the token; raises TokenAlteredError if the row does not match the facts."""
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
        case TaskTokenFacts() if token.form is TokenForm.TASK:
            claims.update(_access(token, agent_name(token.namespace, token.agent), scope="task"))
            claims["task"] = token.task
            if token.may_act:
                claims["may_act"] = {"sub": token.may_act}
            claims["authorization_details"] = [details_of(token, ground)]
        case PersonTokenFacts() if token.form is TokenForm.PERSON:
            claims.update(_access(token, token.subject, scope="operations"))
            if token.acr:
                claims["acr"] = token.acr
            if token.authenticated != NEVER:
                claims["auth_time"] = token.authenticated // _SECOND
        case ServiceTokenFacts() if token.form is TokenForm.SERVICE:
            claims.update(_access(token, token.subject, scope="service"))
            claims["service"] = named_in(token.subject)
            claims["proven_by"] = token.proven_by
        case ActionTokenFacts() if token.form is TokenForm.TRANSACTION:
            claims.update(
                {
                    "txn": token.action,
                    "scope": ground.tool,
                    "req_wl": agent_name(token.namespace, token.agent),
                    "tctx": _context(token, ground),
                    **_confirmed(token),
                }
            )
        case TaskTokenFacts() | PersonTokenFacts() | ServiceTokenFacts() | ActionTokenFacts():
            raise TokenAlteredError(f"a token of form `{token.form.value}` speaks of something else")
        case _ as never:
            assert_never(never)
    return claims


def claims_digest(claims: Mapping[str, JsonValue]) -> str:
    return sha256(canonical({**claims})).hexdigest()


def status_uri(issuer: str, number: int) -> str:
    """The URL of a status list: its `sub`, and the `uri` in its tokens."""
    return f"{issuer}/oauth/status/{number}"


def _access(token: Token, client: str, *, scope: str) -> dict[str, JsonValue]:
    claims: dict[str, JsonValue] = {
        "client_id": client,
        "namespace": token.namespace,
        "scope": scope,
        "status": {"status_list": {"idx": token.index, "uri": status_uri(token.issuer, token.list)}},
    }
    return claims | _confirmed(token)


def _confirmed(token: Token) -> dict[str, JsonValue]:
    if token.binding is None:
        return {}
    return {"cnf": {token.binding.kind.value: token.binding.thumbprint}}


def _act(actors: tuple[str, ...]) -> JsonValue:
    inner: dict[str, JsonValue] | None = None
    for one in reversed(actors):
        inner = {"sub": one} if inner is None else {"sub": one, "act": inner}
    return inner


def details_of(token: Token, ground: TaskTokenFacts) -> dict[str, JsonValue]:
    """The `authorization_details` object of a task token (RFC 9396 §2)."""
    return {
        "type": DETAILS,
        "identifier": token.task,
        "locations": [token.audience],
        "scope": ground.scope,
        "deadline": ground.deadline // _SECOND,
    }


def _context(token: Token, ground: ActionTokenFacts) -> dict[str, JsonValue]:
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
"""Seconds of a task token and of a person's."""
SHORT: Final = 30
"""Seconds of a transaction token."""
DEPTH: Final = 6
"""Those who act, with those they act for."""
_FIRM: Final = {None: 0, BindingKind.DPOP: 1, BindingKind.MTLS: 2}


def parse_life(asked: object, form: TokenForm) -> int:
    """Parses a lifetime in seconds, 0 for the maximum; raises BadTokenLifeError."""
    most = SHORT if form is TokenForm.TRANSACTION else LONGEST
    if not isinstance(asked, int) or isinstance(asked, bool) or not 0 <= asked <= most:
        raise BadTokenLifeError(f"such a token lives 1 to {most} seconds")
    return asked or most


def life_of(life: int, now: Instant, *ends: Instant) -> tuple[Instant, Instant]:
    """Issue time and expiry in whole seconds, capped by `ends`; raises BadTokenLifeError."""
    issued = Instant(now - now % _SECOND)
    end = min([Instant(issued + seconds(life)), *ends])
    expires = Instant(end - end % _SECOND)
    if expires <= now:
        raise BadTokenLifeError("less than a second is left of what the token would rest on")
    return issued, expires


def extend_chain(actor: str, before: Sequence[str], subject: str) -> tuple[str, ...]:
    """Puts an actor in front of the chain; raises ActorChainError."""
    chain = (actor, *before)
    if len(chain) > DEPTH:
        raise ActorChainError(f"a task is handed on at most {DEPTH - 1} times by its tokens")
    if len(set(chain)) != len(chain):
        raise ActorChainError(f"`{actor}` has acted in this chain before")
    if subject in chain:
        raise ActorChainError(f"`{subject}` can't act for itself")
    return chain


def chain_of(agents: Sequence[str], subject: str) -> tuple[str, ...]:
    """The actor chain from the agents of a task and its ancestors, nearest first, repeats merged."""
    chain: tuple[str, ...] = ()
    for one in reversed(agents):
        if chain[:1] != (one,):
            chain = extend_chain(one, chain, subject)
    return chain


def require_bound(binding: Binding | None) -> Binding:
    if binding is None:
        raise UnboundTokenError("nothing was shown that the token could be bound to")
    return binding


def require_as_firm(binding: Binding | None, before: Binding | None) -> None:
    if _FIRM[None if binding is None else binding.kind] < _FIRM[None if before is None else before.kind]:
        raise WeakerBindingError("the token would be bound less firmly than the one that it is made of")


def require_meant(subject: Token, agent: str, shown: Binding | None) -> None:
    """Raises NotMeantError unless this authenticated agent may exchange the token."""
    if subject.form is TokenForm.TASK and subject.agent == agent:
        return
    if subject.may_act == agent_name(subject.namespace, agent):
        return
    if subject.binding is not None and subject.binding == shown:
        return
    raise NotMeantError(f"the token's holder did not name agent `{agent}`, and its own key is not shown")
