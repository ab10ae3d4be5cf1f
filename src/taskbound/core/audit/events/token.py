"""Events of tokens and of the authorization of clients."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssued:
    """A token was written down; it was signed after that, or it is nothing."""

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
    """A token was revoked; that its task ended is no event of its own."""

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
    """Another key signs tokens from now on, or the one that will be next was made."""

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
    """A key was revoked: no token that it signed counts any more."""

    kind: ClassVar[str] = "token-key-revoked"
    key: str
    before: str
    """What it was for until then."""
    why: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAdded:
    """Somebody said to which addresses the codes of a client go."""

    kind: ClassVar[str] = "client-added"
    client: str
    shown: str
    """What it is called on the page of consent."""
    redirects: tuple[str, ...]
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRemoved:
    """No code goes to the client any more."""

    kind: ClassVar[str] = "client-removed"
    client: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConsented:
    """A person let a client ask for tokens of one task."""

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
    """A person let a client have nothing."""

    kind: ClassVar[str] = "client-denied"
    request: str
    client: str
    agent: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentMistyped:
    """Somebody typed a code under which no request waits."""

    kind: ClassVar[str] = "consent-mistyped"
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAdmitted:
    """A client brought its code, and is let in to the task."""

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
    """A code was brought that gives nothing, and gives nothing more."""

    kind: ClassVar[str] = "code-refused"
    request: str
    client: str
    """Whose it was."""
    task: str
    code: str
    """Why: an error's code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionEnded:
    """A client is let in to the task no more."""

    kind: ClassVar[str] = "admission-ended"
    admission: str
    client: str
    agent: str
    task: str
    why: str
    by: str
    proof: str
