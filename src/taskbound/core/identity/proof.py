"""Results of authentication, and idempotency keys of requests.

`proof`: A proof states an identity and an expiry, never authorization. A binding is a key's thumbprint,
compared in full and kept through all token exchanges. The text form for records and screens contains no
part of a credential.

`answered`: An idempotency key belongs to one principal in one namespace. It identifies one request;
another request with it is refused. It is stored before the request runs and its answer afterwards. A key
without an answer means an unknown outcome, and the request is not repeated (law 7). It is kept for a day;
a later use is a new request.
"""

from __future__ import annotations

import re
from enum import Enum
from hashlib import sha256
from typing import Final, TypeAlias

from taskbound.core.action.state import KeyReusedError
from taskbound.core.clock import Instant, hours
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.person import PeerProof

_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


DEFAULT_NAMESPACE: Final = "default"
"""Whose names tokens have bare, and whose rules are those about keys of tokens."""


def name_of(kind: str, namespace: str, name: str) -> str:
    """The name in tokens: `person:ann`, or `agent:acme/coder`."""
    return f"{kind}:{name}" if namespace == DEFAULT_NAMESPACE else f"{kind}:{namespace}/{name}"


def agent_name(namespace: str, agent: str) -> str:
    """An agent's `client_id` and actor name."""
    return name_of("agent", namespace, agent)


class BadBindingError(MalformedError):
    """The token binding is not a key thumbprint."""

    code = "bad-binding"
    remedy = "send one DPoP proof (RFC 9449), or use a client certificate"


class BindingKind(Enum):
    """How a holder proves possession of the key; the values are members of `cnf` (RFC 7800)."""

    DPOP = "jkt"
    """A DPoP proof with each request (RFC 9449 §6.1)."""
    MTLS = "x5t#S256"
    """The certificate of the TLS connection (RFC 8705 §3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The key that a token is bound to."""

    kind: BindingKind
    thumbprint: str
    """SHA-256 of the key (RFC 7638) or of the certificate (DER), base64url without padding: 43 characters."""


def parse_binding(kind: str, thumbprint: str) -> Binding:
    known = {one.value: one for one in BindingKind}
    if kind not in known or _THUMBPRINT.fullmatch(thumbprint) is None:
        raise BadBindingError("a binding is `jkt` or `x5t#S256` with the thumbprint of a key", where="cnf")
    return Binding(kind=known[kind], thumbprint=thumbprint)


class WorkloadKind(Enum):
    """The kinds of workload credentials."""

    X509_SVID = "x509-svid"
    JWT_SVID = "jwt-svid"
    OIDC = "oidc"
    KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadProof:
    """A workload presented a credential that selects exactly one agent."""

    kind: WorkloadKind
    issuer: str
    """The trust domain, the issuer's short name, or empty for a key of ours."""
    subject: str
    """The SPIFFE ID, the issuer's `sub`, or the key's id."""
    until: Instant
    """When the credential ends."""
    binding: Binding | None = None
    """The key that it was shown with, if it was."""

    @property
    def words(self) -> str:
        return f"{self.kind.value}:{self.subject}" + (f" by {self.issuer}" if self.issuer else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountProof:
    """A person signed in at an issuer of the organization."""

    issuer: str
    """The issuer's short name."""
    subject: str
    authenticated: Instant
    """When they did (`auth_time`)."""
    acr: str = ""
    """How well, in the issuer's words; empty where it did not say."""

    @property
    def words(self) -> str:
        return f"account:{self.subject} by {self.issuer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenProof:
    """The caller presented a Taskbound token and proved possession of its key."""

    token: str
    """Its `jti`."""
    binding: Binding | None
    """None only for a bearer token, which a client has that can do no better."""
    task: str = ""
    """The task whose token it is; empty for a person's."""

    @property
    def words(self) -> str:
        held = "bearer" if self.binding is None else self.binding.kind.name.lower()
        return f"token:{self.token} ({held})"


Proof: TypeAlias = PeerProof | WorkloadProof | AccountProof | TokenProof
"""Whatever shows who acts."""


class PrincipalKind(Enum):
    """The kind of a principal; the values are Cedar's entity types."""

    PERSON = "Person"
    AGENT = "Agent"
    SERVICE = "Service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The acting identity, as policies see it."""

    kind: PrincipalKind
    namespace: str
    name: str
    """The person's, agent's or service's name; `uid:1000` of an account without a person."""
    proof: Proof

    @property
    def is_process(self) -> bool:
        """True for a Taskbound process known by its account, false for an authenticated service."""
        return self.kind is PrincipalKind.SERVICE and isinstance(self.proof, PeerProof)


KEPT: Final = hours(24)
KEY_LENGTH: Final = 128
"""Characters."""
_KEY: Final = re.compile(rf"[!-~]{{1,{KEY_LENGTH}}}", re.ASCII)


class BadRequestKeyError(MalformedError):
    """The idempotency key is malformed."""

    code = "bad-request-key"
    remedy = (
        f"send 1 to {KEY_LENGTH} visible ASCII characters as `Idempotency-Key`, new for each thing"
        " that is to be done"
    )


class AnswerUnknownError(DeniedError):
    """An earlier request with this key has an unknown outcome."""

    code = "answer-unknown"
    remedy = "look at what it was to change; then send it under a new key if it was not done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An idempotency key with the stored answer."""

    namespace: str
    principal: str
    """Its kind and name."""
    key: str
    """SHA-256 of the key, hexadecimal."""
    request: str
    """SHA-256 of what was asked, hexadecimal."""
    until: Instant
    """When it is forgotten."""
    answer: str = ""
    """The answer's text; empty while none is known."""


def parse_request_key(text: str) -> str:
    if _KEY.fullmatch(text) is None:
        raise BadRequestKeyError("the key of the request is empty, too long, or has other characters")
    return text


def answered_of(principal: Principal, key: str, request: bytes, *, now: Instant) -> Answered:
    """The entry for this request before it is answered; raises BadRequestKeyError."""
    key = parse_request_key(key)
    return Answered(
        namespace=principal.namespace,
        principal=f"{principal.kind.value} {principal.name}",
        key=sha256(key.encode("ascii")).hexdigest(),
        request=sha256(request).hexdigest(),
        until=Instant(now + KEPT),
    )


def answer_to(asked: Answered, known: Answered) -> str:
    """The stored answer; raises KeyReusedError or AnswerUnknownError."""
    if asked.request != known.request:
        raise KeyReusedError("the key of the request is that of another one")
    if not known.answer:
        raise AnswerUnknownError("a request with this key came before, and what became of it is not known")
    return known.answer
