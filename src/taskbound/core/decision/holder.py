"""Who holds a permit, or waits for people: a gateway's connection, or one request of an agent that is afar.

1. A gateway's connection is there or lost, and what it holds is in doubt from the moment of its loss.
2. Of an agent that asked over a network nobody knows whether it is there. What holds its permit is the one
   request that was answered with it, under a name that no other request has. Until the permit ends the agent
   is taken to be at work; from then on the act is in doubt; when the outcome is overdue it is unknown.
3. A question that came of such a request is open as long as the agent comes back for it.
4. So many of a task's permits may be without an outcome; then nothing more of it is decided afar.
"""

from __future__ import annotations

from typing import Final

from taskbound.core.clock import Instant, minutes
from taskbound.core.errors import DeniedError

AFAR: Final = "net"
"""What the names of such requests begin with."""
_OUTCOME: Final = minutes(10)
"""From the end of a permit until its outcome is overdue: what takes longer than that ends unknown."""
MOST_OPEN: Final = 1000
"""Permits of one task that agents afar hold at once (rule 4); as they are seen, and not to the last one."""


class TooManyOpenError(DeniedError):
    """Agents that are afar hold more permits of the task, without an outcome, than they may."""

    code = "too-many-open"
    remedy = "report what came of those that were permitted"


def is_afar(holder: str) -> bool:
    """Whether this is a request that came over a network (rule 2)."""
    return holder.startswith(f"{AFAR}_")


def due_of(until: Instant) -> Instant:
    """When the outcome of a permit that ends then is overdue."""
    return Instant(until + _OUTCOME)
