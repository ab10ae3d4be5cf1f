"""What a token is: a row first, and a text only afterwards.

1. What a token says never changes: it is written once, and of the row only its revocation changes.
2. It ends when it is revoked or when its time is over, whichever is first, and never begins again.
3. A name is unique among everything that our issuer names (RFC 7519 §4.1.2), so that of a person or an agent
   holds the namespace, unless that is `default`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.token.errors import TokenEndedError, TokenRevokedError

if TYPE_CHECKING:
    from taskbound.core.identity.proof import Binding


NEVER: Final = Instant(0)
"""The instant of what has not happened."""
DEFAULT_NAMESPACE: Final = "default"
"""Whose names tokens have bare (rule 3), and whose rules are those about keys of tokens."""


class TokenForm(Enum):
    """What a token is for; the values are what rows and records hold."""

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
        """The `typ` of its header (RFC 9068 §2.1; the draft's §5.1)."""
        return "txntoken+jwt" if self is TokenForm.TRANSACTION else "at+jwt"


class TokenState(Enum):
    """Where a token stands."""

    ISSUED = "issued"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token as it was issued, and whether it was revoked."""

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
    """Of a person's token: how well they were authenticated; empty where nobody said."""
    authenticated: Instant = NEVER
    """Of a person's token: when."""
    list: int = 0
    """The status list, and its place there; a transaction token has none (`status`)."""
    index: int = 0
    digest: str = ""
    """SHA-256 of its claims, in hexadecimal."""
    may_act: str = ""
    """Of a task token: the agent that it is handed on to, as tokens call it; empty where it is to nobody."""
    record: int = 0
    """The number of the record of its issue (`AuditReads.numbered`)."""
    revoked: Instant = NEVER
    why: str = ""
    """Why it was revoked."""
    unsigned: bool = False
    """Whether it was revoked because it could not be signed: then nobody has its text."""
    proven_by: str = ""
    """Of a service's token: the key that proved the service."""


def state_of(token: Token, now: Instant) -> TokenState:
    """Where it stands (rule 2)."""
    if token.revoked != NEVER:
        return TokenState.REVOKED
    return TokenState.EXPIRED if now >= token.expires else TokenState.ISSUED


def require_standing(token: Token, now: Instant) -> None:
    """Go on only with one that is neither revoked nor over (rule 2).

    Raises:
        TokenRevokedError: It was revoked.
        TokenEndedError: Its time is over.
    """
    match state_of(token, now):
        case TokenState.REVOKED:
            raise TokenRevokedError(f"the token was revoked: {token.why}")
        case TokenState.EXPIRED:
            raise TokenEndedError("the token's time is over")
        case TokenState.ISSUED:
            return


def name_of(kind: str, namespace: str, name: str) -> str:
    """How tokens call a person, an agent or a service (rule 3): `person:ann`, or `agent:acme/coder`."""
    return f"{kind}:{name}" if namespace == DEFAULT_NAMESPACE else f"{kind}:{namespace}/{name}"


def named_in(subject: str) -> str:
    """The bare name of a person, an agent or a service that tokens call so."""
    return subject.partition(":")[2].rpartition("/")[2]


def service_name(namespace: str, service: str) -> str:
    """How tokens call a service: as `sub` and `client_id`."""
    return name_of("service", namespace, service)


def agent_name(namespace: str, agent: str) -> str:
    """How tokens call an agent: as `client_id`, and as one who acts."""
    return name_of("agent", namespace, agent)
