"""What stands before any task runs: identities, servers, tools, templates, policy, the kill switch."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityRegistered:
    """A person, an agent or a service was written down."""

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
    """An agent's owner said anew what it can never pass."""

    kind: ClassVar[str] = "agent-ceiling-changed"
    identity: str
    before: str
    """Digest of the ceiling until now."""
    after: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRiskChanged:
    """Somebody who answers for an agent said how risky it is."""

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
    """What a person or a group may grant was said anew."""

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
    """A group was made, or has other members."""

    kind: ClassVar[str] = "group-changed"
    group: str
    members: tuple[str, ...]
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorAcknowledged:
    """A monitor proved, by a code through another channel, that somebody reads it."""

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
    """A person said whether a server's process may go on from one task to the next."""

    kind: ClassVar[str] = "upstream-declared"
    upstream: str
    server: str
    """Digest of the server's identity."""
    shareable: bool
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRemoved:
    """A server is no longer reachable."""

    kind: ClassVar[str] = "upstream-removed"
    upstream: str
    server: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPinned:
    """A tool's definition was pinned as its server first showed it."""

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
    """A server showed another definition of a tool than the pinned one."""

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
    """A person took over a changed definition."""

    kind: ClassVar[str] = "tool-accepted"
    tool: str
    server: str
    before: str
    after: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDeclared:
    """A person said what a tool does, whether repeating it has no further effect, and what it is given."""

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
    """`unwatched` where nobody tells what comes of its calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerAdded:
    """Somebody outside was named whose signed word counts as evidence."""

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
    """Their word counts no more."""

    kind: ClassVar[str] = "issuer-removed"
    name: str
    issuer: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSaved:
    """A scope and a lifetime were kept under a name."""

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
    """A template was forgotten."""

    kind: ClassVar[str] = "template-removed"
    template: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitchChanged:
    """Everything was stopped, or let go again."""

    kind: ClassVar[str] = "kill-switch-changed"
    stopped: bool
    epoch: int
    reason: str
    by: str
    proof: str
