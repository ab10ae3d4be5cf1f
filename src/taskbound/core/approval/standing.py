"""Whether a question is still the one that was asked, by what is true now (I-35, A195).

1. What a person has answered is only ever used for what they were shown: another policy bundle, another
   scope, the same one given anew, another tool or another agent's standing makes it another question.
2. The end of its task withdraws it; a pause does neither, but nothing is used while a task is paused.
3. At its deadline it is over, also for whoever's clock says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval.state import ApprovalEvent
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.approval.question import Question
    from taskbound.core.clock import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a question stands on, as it is now."""

    ended: str
    """How its task, or an ancestor, has ended; empty while none has."""
    active: bool
    """Whether the agent is active."""
    bundle: str
    scope: str
    edition: int
    """How often the task was given a scope."""
    act: str
    """The digest that the same call has now; of a tool that changed, another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Befallen:
    """What has to happen to a question, and why."""

    event: ApprovalEvent
    reason: str


def befallen(question: Question, ground: Ground, now: Instant) -> Befallen | None:
    """What has befallen the question; None while it is the one that was asked."""
    if ground.ended:
        return Befallen(event=ApprovalEvent.WITHDRAW, reason=f"its task has ended ({ground.ended})")
    if now >= question.deadline:
        return Befallen(event=ApprovalEvent.EXPIRE, reason="nobody lifted it in time")
    changed = (
        (not ground.active, "the agent is not active any more"),
        (ground.bundle != question.bundle, "the policies are others now"),
        (ground.scope != question.scope, "the scope of its task is another one now"),
        (question.edition != ground.edition, "its task was given its scope anew since"),
        (ground.act != question.act, "the tool is another one now"),
    )
    for is_so, reason in changed:
        if is_so:
            return Befallen(event=ApprovalEvent.SUPERSEDE, reason=reason)
    return None
