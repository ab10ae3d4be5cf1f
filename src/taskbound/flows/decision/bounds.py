"""Which ceilings are asked for each call: all that don't cover every call of its tool by their own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.scope import Others

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.identity import Agent
    from taskbound.core.scope import Scope


def bounds_of(agents: Mapping[str, Agent], tool: str) -> tuple[tuple[Scope, str], ...]:
    """The ceilings of these agents that don't cover every call of the tool, and whose each is."""
    ceilings = [(agent.ceiling, f"the ceiling of agent `{name}`") for name, agent in agents.items()]
    return tuple([(scope, whose) for scope, whose in ceilings if not _is_open(scope, tool)])


def _is_open(scope: Scope, tool: str) -> bool:
    """Whether a grant names the tool and says nothing more than how often, and `others: any`."""
    said = {"tool": tool, "others": Others.ANY.value, "uses": 0}
    in_force = scope.at(0)  # as `cover` judges: a ceiling's first step is all that counts of it
    return any(grant.value() | {"uses": 0} == said for grant in in_force.by_tool.get(tool, ()))
