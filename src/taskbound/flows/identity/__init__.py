"""Persons, groups, accounts, agents, services, workloads, and monitors."""

from __future__ import annotations

from taskbound.flows.identity.agent import Agents
from taskbound.flows.identity.group import Groups
from taskbound.flows.identity.monitors import Deliveries, MonitorOverdueError
from taskbound.flows.identity.person import (
    register_person,
    require_person,
    require_personal,
    set_person_grantable,
)

__all__ = [
    "Agents",
    "Deliveries",
    "Groups",
    "MonitorOverdueError",
    "register_person",
    "require_person",
    "require_personal",
    "set_person_grantable",
]
