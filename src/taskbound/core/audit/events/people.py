"""Events of identities: persons, accounts, workloads, trust domains and services."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonKeyChanged:
    """A person's key was proposed, verified, enrolled or withdrawn."""

    kind: ClassVar[str] = "person-key-changed"
    key: str
    person: str
    before: str
    after: str
    fingerprint: str
    form: str
    """`openssh` or `passkey`."""
    custody: str
    """What was found out about its private half."""
    by: str
    proof: str
    voucher: str = ""
    """The key that vouched; empty when none did."""
    usable_from: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceChanged:
    """A namespace became a demo namespace or stopped being one."""

    kind: ClassVar[str] = "namespace-changed"
    demo: bool
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonActed:
    """A person was authorized for an act that the command line itself carries out."""

    kind: ClassVar[str] = "person-acted"
    operation: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonsLinked:
    """Persons were linked as one human, or unlinked."""

    kind: ClassVar[str] = "persons-linked"
    persons: tuple[str, ...]
    linked: bool
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPeopleChanged:
    """The owner or approvers of an agent changed."""

    kind: ClassVar[str] = "agent-people-changed"
    identity: str
    owner: str
    approvers: tuple[str, ...]
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolApproversChanged:
    """The approvers of a tool changed."""

    kind: ClassVar[str] = "tool-approvers-changed"
    tool: str
    approvers: tuple[str, ...]
    by: str
    proof: str
    own: bool = True
    """Whether the tool has approvers of its own; if not, those who approve for the agent do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOwnerChanged:
    """The owner of a tool changed or was removed."""

    kind: ClassVar[str] = "tool-owner-changed"
    tool: str
    before: str
    """The previous owner; empty without one."""
    owner: str
    """Empty if the owner has left."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLinked:
    """An account was linked to a person."""

    kind: ClassVar[str] = "account-linked"
    person: str
    issuer: str
    """The issuer's short name."""
    subject: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUnlinked:
    """An account was unlinked from a person."""

    kind: ClassVar[str] = "account-unlinked"
    person: str
    issuer: str
    subject: str
    reason: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSignedIn:
    """A person signed in with a browser."""

    kind: ClassVar[str] = "person-signed-in"
    person: str
    session: str
    issuer: str
    subject: str
    authenticated: int
    """When they proved themselves there; 0 where the issuer does not say."""
    acr: str
    until: int
    address: str
    """Where the browser is, as the API's process says; an IPv6 network is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """A browser session ended early."""

    kind: ClassVar[str] = "session-ended"
    person: str
    session: str
    reason: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRefused:
    """A claimed return from an issuer was refused."""

    kind: ClassVar[str] = "sign-in-refused"
    issuer: str
    """The short name of the issuer that was asked; empty where that is not known."""
    code: str
    address: str
    subject: str = ""
    """Whom the issuer named, where its word was believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerGroupsSet:
    """The mapping from values of an issuer's claim to groups was set."""

    kind: ClassVar[str] = "issuer-groups-set"
    issuer: str
    claim: str
    """A JSON Pointer; empty where it says none any more."""
    groups: tuple[str, ...]
    """``value=group`` for each."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupClaimed:
    """A person joined or left a group by an issuer's claim."""

    kind: ClassVar[str] = "group-claimed"
    group: str
    person: str
    issuer: str
    member: bool
    until: int
    """When the membership ends by itself; 0 for one that has ended."""
    reason: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorAdded:
    """A selector that maps credentials to an agent was added."""

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
    """A selector of an agent was removed."""

    kind: ClassVar[str] = "selector-removed"
    agent: str
    selector: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRefused:
    """A presented credential identified no one; only its digest is kept."""

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
    """A key was created for an agent and is valid from now on."""

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
    """An external issuer that authenticates workloads or people was added."""

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
    """An identity issuer was removed."""

    kind: ClassVar[str] = "identity-issuer-removed"
    name: str
    issuer: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAdded:
    """A trust domain is trusted from now on."""

    kind: ClassVar[str] = "trust-added"
    domain: str
    source: str
    place: str
    endpoint: str
    """The SPIFFE ID that its endpoint proves; empty where it proves none."""
    bound: int
    """How old its bundle may become, µs."""
    private: bool
    """Whether its endpoint may stand at a private address."""
    bundle: str
    """SHA-256 of the authorities that were given to begin with, in hexadecimal; empty where none were."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRemoved:
    """A trust domain is no longer trusted."""

    kind: ClassVar[str] = "trust-removed"
    domain: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustBundleTaken:
    """The source of a trust domain published other authorities, which replace the previous ones."""

    kind: ClassVar[str] = "trust-bundle-taken"
    domain: str
    source: str
    sequence: int
    bundle: str
    """SHA-256 of the authorities, in hexadecimal."""
    x509: tuple[str, ...]
    """Of each certificate: its SHA-256 in hexadecimal."""
    jwt: tuple[str, ...]
    """Of each key for tokens, canonical: its SHA-256 in hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAdded:
    """A service was added."""

    kind: ClassVar[str] = "service-added"
    service: str
    owner: str
    audience: str
    tools: tuple[str, ...]
    """What it enforces: names of tools, or `server__*`."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChanged:
    """The owner or the enforced tools of a service changed."""

    kind: ClassVar[str] = "service-changed"
    service: str
    owner: str
    tools: tuple[str, ...]
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKeyChanged:
    """A key of a service was added or removed."""

    kind: ClassVar[str] = "service-key-changed"
    service: str
    key: str
    """Its thumbprint (RFC 7638)."""
    removed: bool
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRemoved:
    """A service and all its keys were removed."""

    kind: ClassVar[str] = "service-removed"
    service: str
    keys: tuple[str, ...]
    """Those that counted until now."""
    by: str
    proof: str


PeopleEvent: TypeAlias = (
    PersonKeyChanged
    | NamespaceChanged
    | PersonActed
    | PersonsLinked
    | AgentPeopleChanged
    | ToolApproversChanged
    | ToolOwnerChanged
    | AccountLinked
    | AccountUnlinked
    | PersonSignedIn
    | SessionEnded
    | SignInRefused
    | IssuerGroupsSet
    | GroupClaimed
    | SelectorAdded
    | SelectorRemoved
    | ProofRefused
    | AgentKeyChanged
    | IdentityIssuerAdded
    | IdentityIssuerRemoved
    | TrustAdded
    | TrustRemoved
    | TrustBundleTaken
    | ServiceAdded
    | ServiceChanged
    | ServiceKeyChanged
    | ServiceRemoved
)
