"""Persons, groups, agents and services, and how each is authenticated."""

from __future__ import annotations

from taskbound.core.identity.agent import (
    AGENT_TRANSITIONS,
    Agent,
    AgentEvent,
    AgentState,
    acknowledge,
    lacks,
    move_agent,
    require_active,
    require_approver,
)
from taskbound.core.identity.errors import (
    BadNameError,
    InactiveAgentError,
    MonitorCodeError,
    NotOwnerError,
    UnknownIdentityError,
    UnprovenError,
)
from taskbound.core.identity.person import (
    OF_GROUP,
    Breadth,
    Grantable,
    Group,
    PeerProof,
    Person,
    PersonState,
    group_named,
    parse_name,
)

__all__ = [
    "AGENT_TRANSITIONS",
    "OF_GROUP",
    "Agent",
    "AgentEvent",
    "AgentState",
    "BadNameError",
    "Breadth",
    "Grantable",
    "Group",
    "InactiveAgentError",
    "MonitorCodeError",
    "NotOwnerError",
    "PeerProof",
    "Person",
    "PersonState",
    "UnknownIdentityError",
    "UnprovenError",
    "acknowledge",
    "group_named",
    "lacks",
    "move_agent",
    "parse_name",
    "require_active",
    "require_approver",
]
