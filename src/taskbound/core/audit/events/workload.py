"""What proves an agent: selectors, keys of ours, issuers, and proofs that were refused."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorAdded:
    """Somebody said what a credential must say to be an agent's."""

    kind: ClassVar[str] = "selector-added"
    agent: str
    selector: str
    form: str
    """`x509-svid`, `jwt-svid` or `oidc`."""
    issuer: str
    """A trust domain, or an issuer's short name."""
    subjects: tuple[str, ...]
    claims: tuple[str, ...]
    """``pointer=text`` for each text that a claim may be."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorRemoved:
    """Such a credential is the agent's no more."""

    kind: ClassVar[str] = "selector-removed"
    agent: str
    selector: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRefused:
    """A credential was shown that proves nobody; nothing of it is kept but its digest."""

    kind: ClassVar[str] = "proof-refused"
    form: str
    """`x509-svid`, `jwt-svid`, `oidc`, `key`; `token` of one of ours, `dpop` of a proof that came alone."""
    code: str
    digest: str
    """SHA-256 of what was shown."""
    agent: str = ""
    """Whose it would have been; empty where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKeyChanged:
    """A key was made for an agent, and counts from now on."""

    kind: ClassVar[str] = "agent-key-changed"
    agent: str
    key: str
    """Its thumbprint (RFC 7638)."""
    ended: tuple[str, ...]
    """Those that count no more."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityIssuerAdded:
    """Somebody outside was named whose word proves workloads or people."""

    kind: ClassVar[str] = "identity-issuer-added"
    name: str
    issuer: str
    audience: str
    use: str
    """`workloads` or `people`."""
    keys: tuple[str, ...]
    """Thumbprints of its keys, where they were written down; none where it publishes them."""
    keys_at: str
    """Another origin at which they may be."""
    private: bool
    """Whether it may be at addresses that are not public."""
    by: str
    proof: str
    token_at: str = ""
    """Another origin at which it may give us tokens."""
    secret_file: str = ""
    """Where our secret there stands; the secret is nowhere but there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityIssuerRemoved:
    """Their word proves nobody any more."""

    kind: ClassVar[str] = "identity-issuer-removed"
    name: str
    issuer: str
    by: str
    proof: str


WorkloadEvent: TypeAlias = (
    AgentKeyChanged
    | IdentityIssuerAdded
    | IdentityIssuerRemoved
    | ProofRefused
    | SelectorAdded
    | SelectorRemoved
)
"""Whatever is recorded of what proves agents."""
