"""Events of tokens and of client authorization."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssued:
    """A token was recorded, before it was signed."""

    kind: ClassVar[str] = "token-issued"
    token: str
    """Its `jti`."""
    form: str
    """`task`, `person`, `service` or `transaction`."""
    task: str
    agent: str
    subject: str
    audience: str
    binding: str
    """How it is bound, and to which key: `jkt:…` or `x5t#S256:…`; empty for a bearer token."""
    expires: int
    listed: str
    """``list/place`` where its status stands."""
    key: str
    """The `kid` of the key that signs it."""
    digest: str
    """SHA-256 of its claims."""
    by: str
    proof: str
    parent: str = ""
    """The token that it was exchanged for."""
    action: str = ""
    may_act: str = ""
    """The agent that it is handed on to."""
    proven_by: str = ""
    """Of a service's token: the key that proved the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevoked:
    """A token was revoked; the end of its task has no event of this kind."""

    kind: ClassVar[str] = "token-revoked"
    token: str
    task: str
    agent: str
    why: str
    by: str
    proof: str
    unsigned: bool = False
    """Whether the signer failed, so that no client was given the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKeyRotated:
    """The signing key of tokens changed, or the next one was created."""

    kind: ClassVar[str] = "token-key-rotated"
    current: str
    """The `kid` of the one that signs now."""
    retired: str
    """The one that did until now; empty where none changed."""
    following: str
    """The one that will be next."""
    forced: bool
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKeyRevoked:
    """A key was revoked; none of the tokens that it signed is valid."""

    kind: ClassVar[str] = "token-key-revoked"
    key: str
    before: str
    """What it was for until then."""
    why: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAdded:
    """The redirect URIs of a client were registered."""

    kind: ClassVar[str] = "client-added"
    client: str
    shown: str
    """What it is called on the page of consent."""
    redirects: tuple[str, ...]
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRemoved:
    """A client was removed."""

    kind: ClassVar[str] = "client-removed"
    client: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConsented:
    """A person allowed a client to request tokens of one task."""

    kind: ClassVar[str] = "client-consented"
    request: str
    client: str
    host: str
    """Who answers for the client; empty where a person registered it."""
    redirect: str
    """The host, or the scheme, that the code goes to."""
    agent: str
    task: str
    resource: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDenied:
    """A person refused a client's request."""

    kind: ClassVar[str] = "client-denied"
    request: str
    client: str
    agent: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentMistyped:
    """A typed code matched no waiting request."""

    kind: ClassVar[str] = "consent-mistyped"
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAdmitted:
    """A client exchanged its code and was admitted to the task."""

    kind: ClassVar[str] = "client-admitted"
    admission: str
    request: str
    client: str
    agent: str
    task: str
    person: str
    resource: str
    jkt: str
    """Thumbprint of its key; empty of a client that gets bearer tokens."""
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRefused:
    """An invalid or used code was presented."""

    kind: ClassVar[str] = "code-refused"
    request: str
    client: str
    """Whose it was."""
    task: str
    code: str
    """Why: an error's code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionEnded:
    """A client's admission to the task ended."""

    kind: ClassVar[str] = "admission-ended"
    admission: str
    client: str
    agent: str
    task: str
    why: str
    by: str
    proof: str


TokenEvent: TypeAlias = (
    TokenIssued
    | TokenRevoked
    | TokenKeyRotated
    | TokenKeyRevoked
    | ClientAdded
    | ClientRemoved
    | ClientConsented
    | ClientDenied
    | ConsentMistyped
    | ClientAdmitted
    | CodeRefused
    | AdmissionEnded
)
