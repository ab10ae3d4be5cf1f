"""A token as a row, which exists before the signed text.

1. A token's content never changes; of the row only the revocation does.
2. It ends at its revocation or expiry and never becomes valid again.
3. Names are unique for our issuer (RFC 7519 §4.1.2): they contain the namespace unless it is `default`.
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
    """The state of the token now (rule 2)."""
    if token.revoked != NEVER:
        return TokenState.REVOKED
    return TokenState.EXPIRED if now >= token.expires else TokenState.ISSUED


def require_standing(token: Token, now: Instant) -> None:
    """Raises TokenRevokedError or TokenEndedError unless the token is valid (rule 2)."""
    match state_of(token, now):
        case TokenState.REVOKED:
            raise TokenRevokedError(f"the token was revoked: {token.why}")
        case TokenState.EXPIRED:
            raise TokenEndedError("the token's time is over")
        case TokenState.ISSUED:
            return


def name_of(kind: str, namespace: str, name: str) -> str:
    """The name in tokens (rule 3): `person:ann`, or `agent:acme/coder`."""
    return f"{kind}:{name}" if namespace == DEFAULT_NAMESPACE else f"{kind}:{namespace}/{name}"


def named_in(subject: str) -> str:
    """The bare name of a person, an agent or a service."""
    return subject.partition(":")[2].rpartition("/")[2]


def service_name(namespace: str, service: str) -> str:
    """A service's `sub` and `client_id`."""
    return name_of("service", namespace, service)


def agent_name(namespace: str, agent: str) -> str:
    """An agent's `client_id` and actor name."""
    return name_of("agent", namespace, agent)
