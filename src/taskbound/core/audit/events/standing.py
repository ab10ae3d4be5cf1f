"""Events of agents, servers, tools, targets, secrets and the log itself."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityRegistered:
    """A person, an agent or a service was registered."""

    kind: ClassVar[str] = "identity-registered"
    identity: str
    form: str
    """`person`, `agent` or `service`."""
    by: str
    proof: str
    owner: str = ""
    approvers: tuple[str, ...] = ()
    monitor: str = ""
    ceiling: str = ""
    """Digest of the scope that the agent can never pass."""
    account: str = ""
    """What proves them, such as `peer-uid:1000`."""
    grantable: str = ""
    """What a person may grant from the start, as `GrantableChanged` writes it; empty for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityChanged:
    """An identity changed its state."""

    kind: ClassVar[str] = "identity-changed"
    identity: str
    before: str
    after: str
    reason: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCeilingChanged:
    """An agent's owner changed its ceiling."""

    kind: ClassVar[str] = "agent-ceiling-changed"
    identity: str
    before: str
    """Digest of the ceiling until now."""
    after: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRiskChanged:
    """The risk level of an agent changed."""

    kind: ClassVar[str] = "agent-risk-changed"
    identity: str
    before: str
    """`low`, `medium` or `high`."""
    after: str
    reason: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantableChanged:
    """The scope that a person or a group may grant changed."""

    kind: ClassVar[str] = "grantable-changed"
    identity: str
    form: str
    """`person` or `group`."""
    before: str
    """Digest of the scope until now; `nothing`, or `ceiling` for anything within the agent's ceiling."""
    after: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChanged:
    """A group was created or its members changed."""

    kind: ClassVar[str] = "group-changed"
    group: str
    members: tuple[str, ...]
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorAcknowledged:
    """A monitor acknowledged a test event by a code received over another channel."""

    kind: ClassVar[str] = "monitor-acknowledged"
    identity: str
    monitor: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAdded:
    """A server was pinned."""

    kind: ClassVar[str] = "upstream-added"
    upstream: str
    server: str
    """Digest of the server's identity."""
    command: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamDeclared:
    """A person declared whether a server process may be shared by consecutive tasks."""

    kind: ClassVar[str] = "upstream-declared"
    upstream: str
    server: str
    """Digest of the server's identity."""
    shareable: bool
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRemoved:
    """A server was removed."""

    kind: ClassVar[str] = "upstream-removed"
    upstream: str
    server: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPinned:
    """A tool's first definition was pinned."""

    kind: ClassVar[str] = "tool-pinned"
    tool: str
    server: str
    definition: str
    effect: str
    owner: str
    """The person who answers for it; empty for none."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChanged:
    """A server listed a definition that differs from the pinned one."""

    kind: ClassVar[str] = "tool-changed"
    tool: str
    server: str
    pinned: str
    seen: str
    change: str
    """`text`, `schema`, `server` or `gone`."""
    difference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAccepted:
    """A person accepted a changed definition."""

    kind: ClassVar[str] = "tool-accepted"
    tool: str
    server: str
    before: str
    after: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDeclared:
    """A person declared a tool's effect, idempotence and argument roles."""

    kind: ClassVar[str] = "tool-declared"
    tool: str
    server: str
    definition: str
    idempotent: bool
    by: str
    proof: str
    probes: tuple[str, ...] = ()
    """Which arguments name something that can change, all that is declared from then on."""
    checks: tuple[str, ...] = ()
    """What shows whether a call had its effect, all that is declared from then on."""
    effect: str = ""
    """What a call may do to the world; empty where the definition says it."""
    roles: tuple[str, ...] = ()
    """What its arguments are for, all that is declared from then on."""
    outcome: str = ""
    """`unwatched` if outcomes of its calls are not reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerAdded:
    """An issuer of evidence was added."""

    kind: ClassVar[str] = "issuer-added"
    name: str
    issuer: str
    audience: str
    thumbprints: tuple[str, ...]
    """Of its keys (RFC 7638)."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerRemoved:
    """An issuer of evidence was removed."""

    kind: ClassVar[str] = "issuer-removed"
    name: str
    issuer: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSaved:
    """A template was saved."""

    kind: ClassVar[str] = "template-saved"
    template: str
    scope: str
    seconds: int
    holds: str
    """What becomes of held actions of its tasks when their calls are over."""
    by: str
    proof: str
    heartbeat: int = 0
    grace: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateRemoved:
    """A template was removed."""

    kind: ClassVar[str] = "template-removed"
    template: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitchChanged:
    """The kill switch was set or released."""

    kind: ClassVar[str] = "kill-switch-changed"
    stopped: bool
    epoch: int
    reason: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetAdded:
    """A target was declared; it has no tools until its first preflight passes."""

    kind: ClassVar[str] = "target-added"
    target: str
    identity: str
    """Digest of the target's identity."""
    of: str
    """What kind of system it is."""
    owner: str
    approvers: tuple[str, ...]
    """Persons, and groups as `group:NAME`."""
    credentials: tuple[str, ...]
    """The kinds of credentials that it declares."""
    sealed: str
    """SHA-256 of its admin access as it is sealed, in hexadecimal."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetAdminSet:
    """The broker received other admin access of a target; only the broker knows it."""

    kind: ClassVar[str] = "target-admin-set"
    target: str
    identity: str
    number: int
    sealed: str
    """SHA-256 of what was sealed, in hexadecimal."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTestBegun:
    """A target's preflight began."""

    kind: ClassVar[str] = "target-test-begun"
    target: str
    identity: str
    canaries: tuple[str, ...]
    """Ids of the credentials that are minted for it, one of each kind."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTested:
    """A target's preflight finished."""

    kind: ClassVar[str] = "target-tested"
    target: str
    identity: str
    before: str
    after: str
    """Where it stands: `refused`, or `ready`, which it stays whatever a later test shows."""
    trouble: str = ""
    """Why it failed, in our words; empty where it worked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRemoved:
    """A target and its tools were removed; nothing minted was left in it."""

    kind: ClassVar[str] = "target-removed"
    target: str
    identity: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSecretSet:
    """A server's slot was filled or emptied; only the egress knows the value."""

    kind: ClassVar[str] = "upstream-secret-set"
    upstream: str
    server: str
    """Digest of the identity that it was sealed for."""
    slot: str
    number: int
    sealed: str
    """SHA-256 of what was sealed, in hexadecimal; empty when the value was taken away."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTokenTold:
    """The egress requested, received or ended a token for an upstream server; the token is not recorded."""

    kind: ClassVar[str] = "upstream-token-told"
    upstream: str
    server: str
    """Digest of the server's identity, which includes the client and its authorization server."""
    token: str
    """The egress' own name for it, made up before it was asked for."""
    state: str
    """`asked`, before anybody was asked; then `given` or `refused`. Then `unconfirmed`, once, where the
    first attempt to give it back failed and it is tried again. A given one ends as `revoked`, `lapsed`
    (its life was over first) or `left` (it lives on until then, and nobody here has it any more)."""
    tasks: tuple[str, ...]
    """For which task; several where one process had more than one and no call had been made yet (64 at most);
    none for a person's look."""
    until: int = 0
    """When its life is over, by its issuer's word: µs since the epoch; 0 where none was given."""
    why: str = ""
    """Why it was refused or is left: an error's code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterStarted:
    """A process started writing; it names all known heads, so that no known record can vanish."""

    kind: ClassVar[str] = "writer-started"
    heads: tuple[str, ...]
    """``writer:seq:hash`` of each record that no other record names yet."""
    checkpoint_size: int
    checkpoint_root: str
    software: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSigned:
    """The signer signed a checkpoint of the log up to here."""

    kind: ClassVar[str] = "checkpoint-signed"
    origin: str
    size: int
    root: str
    key: str
    """The key's id in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreBegunAnew:
    """A person confirmed this store, which is a restored copy or lacks known records."""

    kind: ClassVar[str] = "store-begun-anew"
    origin: str
    """The name of the log from here on; empty where the person gives it by hand."""
    held: int
    """Records of before that the store holds."""
    seen: int
    """The number of its records that were seen; 0 if unknown."""
    tasks: int
    """How many were ended for it, with all beneath them."""
    admissions: int
    sessions: int
    keys: int
    """Keys of tokens that were revoked: no token of before counts."""
    why: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery to a monitor succeeded or failed."""

    kind: ClassVar[str] = "delivery"
    monitor: str
    subject: str
    outcome: str
    """`delivered`, `failed` or `overdue`."""
    detail: str = ""


StandingEvent: TypeAlias = (
    IdentityRegistered
    | IdentityChanged
    | AgentCeilingChanged
    | AgentRiskChanged
    | GrantableChanged
    | GroupChanged
    | MonitorAcknowledged
    | UpstreamAdded
    | UpstreamDeclared
    | UpstreamRemoved
    | ToolPinned
    | ToolChanged
    | ToolAccepted
    | ToolDeclared
    | IssuerAdded
    | IssuerRemoved
    | TemplateSaved
    | TemplateRemoved
    | KillSwitchChanged
    | TargetAdded
    | TargetAdminSet
    | TargetTestBegun
    | TargetTested
    | TargetRemoved
    | UpstreamSecretSet
    | UpstreamTokenTold
    | WriterStarted
    | CheckpointSigned
    | StoreBegunAnew
    | Delivery
)
