"""What shows who acts, and what a credential is bound to.

1. A proof says what it proves and until when; what it may do is said nowhere here.
2. A binding is a key's thumbprint. It is compared whole, and never dropped from one token to the next.
3. A proof has words for records and screens; they hold names and no secret, and no part of a credential.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity.person import PeerProof

if TYPE_CHECKING:
    from taskbound.core.clock import Instant


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
