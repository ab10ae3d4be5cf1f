"""What tokens are asked for with, and what comes of it."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.token import NEVER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.identity.proof import Binding
    from taskbound.core.token import Token


_SHA256: Final = re.compile(r"sha-256=:[A-Za-z0-9+/]{43}=:", re.ASCII)


class BadContentDigestError(MalformedError):
    """What is said to be the digest of a request's content is none."""

    code = "bad-content-digest"
    remedy = "send `sha-256=:…:` as in `Content-Digest` (RFC 9530)"


def parse_content_digest(text: str) -> str:
    """The digest of a request's content (RFC 9530); empty for none.

    Raises:
        BadContentDigestError: It can't be read.
    """
    if text and _SHA256.fullmatch(text) is None:
        raise BadContentDigestError("the digest of the content can't be read", where="content_digest")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    """Under which names tokens are issued."""

    issuer: str
    """`iss`: an absolute URI without a slash at its end (RFC 8414 §2)."""
    domain: str
    """`aud` of transaction tokens: the trust domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTokenOrder:
    """A task token that an agent asks for, proven."""

    namespace: str
    task: str
    agent: str
    audience: str
    """The one resource that it is for."""
    binding: Binding | None
    bearer: bool = False
    """Whether the client can prove no key; only then may `binding` be None (rule 1)."""
    life: int = 0
    """Seconds; 0 for as many as may be."""
    until: Instant = NEVER
    """When what proved the agent ends, or the token that this one is exchanged for; 0 where nothing does."""
    parent: str = ""
    """The token that it is exchanged for."""
    begun: bool = False
    """Whether its task was begun for it: then it is claimed when the token is signed, and not before."""
    may_act: str = ""
    """The agent that it is handed on to, as tokens call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonTokenOrder:
    """A token that a person who signed in gets, for operations."""

    namespace: str
    person: str
    audience: str
    binding: Binding | None
    bearer: bool = False
    life: int = 0
    until: Instant = NEVER
    acr: str = ""
    authenticated: Instant = NEVER
    parent: str = ""
    """The admission of the client that gets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTokenOrder:
    """A token that a service asks for, proven, for what services ask of us."""

    namespace: str
    service: str
    proven_by: str
    """The `kid` of the key that proved it."""
    binding: Binding | None
    """The key that it is bound to; there is no service's token without one."""
    life: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionTokenOrder:
    """A token that says downstream which action was permitted."""

    namespace: str
    task: str
    """The task whose holder asks."""
    agent: str
    action: str
    content: str = ""
    """`Content-Digest` of the HTTP request that carries it out (RFC 9530); empty where there is none."""
    life: int = 0
    until: Instant = NEVER
    """As a task token's."""
    parent: str = ""
    """The task token that it was asked with."""
    binding: Binding | None = None
    """The key of whoever asks, which downstream tells its holder; None where they showed none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A token, signed. Its text is in this answer and nowhere else, no repr included."""

    token: Token
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """What the token endpoint answers with (RFC 8693 §2.2.1)."""

    issued: Issued
    kind: str
    """`issued_token_type`."""
    token_type: str
    """`DPoP`, `Bearer` for one that is bound to a certificate, or `N_A` (RFC 9449 §5, RFC 8705 §3)."""
    life: int
    """`expires_in`."""
    scope: str
    task: str
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the token says of its task, with its heartbeat and grace (RFC 9396 §7); of a task token."""
