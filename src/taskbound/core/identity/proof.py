"""What a verified credential proves, and requests that are answered once under a key.

Of `proof`:

1. A proof says what it proves and until when; what it may do is said nowhere here.
2. A binding is a key's thumbprint. It is compared whole, and never dropped from one token to the next.
3. A proof has words for records and screens; they hold names and no secret, and no part of a credential.

Of `answered`:

1. A key is its principal's, within a namespace; another one's key of the same text is another key.
2. It stands for one request: another one under it is refused, and never taken for the first.
3. It is written before the request is done, and its answer after. One without an answer is of a request of
   which nobody knows what became, and is not done again (law 7).
4. It is kept for a day. What comes after that is a new request.
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


class BadBindingError(MalformedError):
    """What a token is to be bound to is no key."""

    code = "bad-binding"
    remedy = "send one DPoP proof (RFC 9449), or use a client certificate"


class BindingKind(Enum):
    """How a holder shows that it has the key; the values are the members of `cnf` (RFC 7800)."""

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
    """The binding that these texts name.

    Raises:
        BadBindingError: There is no such kind, or the thumbprint is none.
    """
    known = {one.value: one for one in BindingKind}
    if kind not in known or _THUMBPRINT.fullmatch(thumbprint) is None:
        raise BadBindingError("a binding is `jkt` or `x5t#S256` with the thumbprint of a key", where="cnf")
    return Binding(kind=known[kind], thumbprint=thumbprint)


class WorkloadKind(Enum):
    """What an agent is proven by."""

    X509_SVID = "x509-svid"
    JWT_SVID = "jwt-svid"
    OIDC = "oidc"
    KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadProof:
    """A workload showed a credential that selects exactly one agent."""

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
        """How records and screens call it (rule 3)."""
        return f"{self.kind.value}:{self.subject}" + (f" by {self.issuer}" if self.issuer else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountProof:
    """A person signed in at an issuer of the organisation."""

    issuer: str
    """The issuer's short name."""
    subject: str
    authenticated: Instant
    """When they did (`auth_time`)."""
    acr: str = ""
    """How well, in the issuer's words; empty where it did not say."""

    @property
    def words(self) -> str:
        """How records and screens call it (rule 3)."""
        return f"account:{self.subject} by {self.issuer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenProof:
    """A token of ours was shown with the key that it is bound to."""

    token: str
    """Its `jti`."""
    binding: Binding | None
    """None only for a bearer token, which a client has that can do no better."""
    task: str = ""
    """The task whose token it is; empty for a person's."""

    @property
    def words(self) -> str:
        """How records and screens call it (rule 3)."""
        held = "bearer" if self.binding is None else self.binding.kind.name.lower()
        return f"token:{self.token} ({held})"


Proof: TypeAlias = PeerProof | WorkloadProof | AccountProof | TokenProof
"""Whatever shows who acts."""


class PrincipalKind(Enum):
    """What acts; the values are Cedar's entity types."""

    PERSON = "Person"
    AGENT = "Agent"
    SERVICE = "Service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who acts, as policies see it."""

    kind: PrincipalKind
    namespace: str
    name: str
    """The person's, agent's or service's name; `uid:1000` of an account without a person."""
    proof: Proof

    @property
    def is_process(self) -> bool:
        """Whether it is a process of ours, known by its account, and no service that has proved itself."""
        return self.kind is PrincipalKind.SERVICE and isinstance(self.proof, PeerProof)


KEPT: Final = hours(24)
KEY_LENGTH: Final = 128
"""Characters."""
_KEY: Final = re.compile(rf"[!-~]{{1,{KEY_LENGTH}}}", re.ASCII)


class BadRequestKeyError(MalformedError):
    """The key of a request can't be one."""

    code = "bad-request-key"
    remedy = (
        f"send 1 to {KEY_LENGTH} visible ASCII characters as `Idempotency-Key`, new for each thing"
        " that is to be done"
    )


class AnswerUnknownError(DeniedError):
    """A request with this key came before, and nobody knows what became of it."""

    code = "answer-unknown"
    remedy = "look at what it was to change; then send it under a new key if it was not done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One key, and what was answered under it."""

    namespace: str
    principal: str
    """Its kind and name."""
    key: str
    """SHA-256 of the key, hexadecimal."""
    request: str
    """SHA-256 of what was asked, hexadecimal."""
    until: Instant
    """When it is forgotten (rule 4)."""
    answer: str = ""
    """The answer's text; empty while none is known (rule 3)."""


def parse_request_key(text: str) -> str:
    """The key of a request, as it may be.

    Raises:
        BadRequestKeyError: It can't be one.
    """
    if _KEY.fullmatch(text) is None:
        raise BadRequestKeyError("the key of the request is empty, too long, or has other characters")
    return text


def answered_of(principal: Principal, key: str, request: bytes, *, now: Instant) -> Answered:
    """What stands for this request under this key, before it is answered.

    Raises:
        BadRequestKeyError: The key can't be one.
    """
    key = parse_request_key(key)
    return Answered(
        namespace=principal.namespace,
        principal=f"{principal.kind.value} {principal.name}",
        key=sha256(key.encode("ascii")).hexdigest(),
        request=sha256(request).hexdigest(),
        until=Instant(now + KEPT),
    )


def answer_to(asked: Answered, known: Answered) -> str:
    """The answer that this request had before (rules 2 and 3).

    Raises:
        KeyReusedError: It was another request.
        AnswerUnknownError: Nobody knows what became of it.
    """
    if asked.request != known.request:
        raise KeyReusedError("the key of the request is that of another one")
    if not known.answer:
        raise AnswerUnknownError("a request with this key came before, and what became of it is not known")
    return known.answer
