"""What is known of one act in one tree of tasks, and what has changed since its last attempt (law 7).

1. Attempts are permits, counted by act key: who acts, where, with which tool and arguments can't differ.
2. An unknown outcome stays the last one until every unknown attempt of the act was reconciled: that one of
   them was found out says nothing of the others.
3. What is not known of the last attempt counts as changed; what its arguments name only where a person has
   declared by now that they name something.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick

_NEVER: Final = Instant(0)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ActHistory:
    """How often an act was permitted, how it last ended, and which attempt was the last."""

    attempts: int = 0
    last_outcome: str = "none"
    """`none`, `succeeded`, `failed` or `unknown`."""
    last_action: str = ""
    """The action of the last attempt; empty when there was none, or it was before such was kept."""
    last_at: Instant = _NEVER
    """When that was permitted."""

    def reconciled(self, outcome: str, *, still_unknown: bool) -> ActHistory:
        """The history once somebody found out what came of an unknown attempt (rule 2)."""
        if self.last_outcome != "unknown" or still_unknown:
            return self
        return replace(self, last_outcome=outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptGround:
    """What an attempt was judged by, besides what the act key says."""

    definition: str
    scope: str
    policy: str
    operands: tuple[str, ...] | None
    """What probes found, each in words; None when that was not recorded."""
    people: tuple[str, ...] | None
    """In words: owner and approvers of the agent, requester of the task; None when they were not recorded."""
    risk: str | None
    """The level of risk; None when it was not recorded."""


CHANGES: Final = ("definition", "operands", "people", "policy", "risk", "scope")
"""What can have changed since the last attempt, in order."""


def changed_since(before: AttemptGround | None, now: AttemptGround) -> tuple[str, ...]:
    """What of an attempt's ground is another thing now than at the one before (rule 3)."""
    if before is None:
        return CHANGES
    found = {
        "definition": before.definition != now.definition,
        "operands": (before.operands or ()) != now.operands,
        "people": before.people is None or before.people != now.people,
        "policy": before.policy != now.policy,
        "risk": before.risk is None or before.risk != now.risk,
        "scope": before.scope != now.scope,
    }
    return tuple(name for name in CHANGES if found[name])
