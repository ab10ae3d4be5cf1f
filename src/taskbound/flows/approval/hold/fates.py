"""What has befallen an open hold that is presented again: by what is true now, and by what its call found.

1. What is kept of an answer counts for what was asked, and for nothing that was found since: other people,
   another bundle or scope, another file or row behind the arguments end it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.approval import ApprovalEvent, ApprovalState, Befallen, Ground, befallen, differing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval import Question
    from taskbound.core.clock import Instant
    from taskbound.core.decision import Holding
    from taskbound.core.task import Task
    from taskbound.ports.approval import StoredApproval


ELSEWHERE: Final = Befallen(
    event=ApprovalEvent.SUPERSEDE, reason="what is kept of the question is about another action"
)
SIGNED_OUT: Final = Befallen(
    event=ApprovalEvent.SUPERSEDE, reason="the sign-in that an answer came with has ended"
)


def fate_of(one: StoredApproval, task: Task, bundle: str, lacking: str, now: Instant) -> Befallen | None:
    """What has befallen a hold that the active agent of this task, which is live, presents again."""
    ground = Ground(
        ended="",
        active=True,
        bundle=bundle,
        scope=task.scope.digest,
        edition=task.scope_version,
        act=one.question.act,
    )
    fate = befallen(one.question, ground, now)
    if fate is None and one.state is ApprovalState.APPROVED and lacking:
        reason = f"who approved may not do so any more: {lacking}"
        return Befallen(event=ApprovalEvent.SUPERSEDE, reason=reason)
    return fate


def other_wish(one: StoredApproval, verdicts: Sequence[Holding]) -> Befallen | None:
    """What has befallen a hold that these presentations would resume, by what each of them found."""
    for verdict in verdicts:
        reason = _why_other(one.question, verdict)
        if reason:
            return Befallen(event=ApprovalEvent.SUPERSEDE, reason=reason)
    return None


def _why_other(question: Question, verdict: Holding) -> str:
    """Why what would be asked now is not what was asked; empty when it is."""
    if question.lifters != verdict.hold.lifters:
        return "policy wants another word than was asked for"
    if verdict.blocked is not None:
        return f"what it names can't be looked at any more: {verdict.blocked.message}"
    found = differing(question.operands, verdict.operands)
    return f"what it names is another thing now: {found}" if found else ""
