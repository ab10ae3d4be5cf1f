"""Clients that people use: registered and removed, consented to, let in, and let in no more."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.dataclass import dataclass


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
