"""What is asked about a held action, and why nobody can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.approval import Question, needs_of, require_askable, require_showable, steps_of
from taskbound.core.approval.sheet import sheet_of
from taskbound.core.clock import Instant
from taskbound.core.decision import Holding
from taskbound.core.errors import TaskboundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.approval import Circle
    from taskbound.core.decision import Proposal
    from taskbound.core.task import Task
    from taskbound.flows.means import Means


HOLD_LIFE: Final = 8 * 3_600_000_000
"""µs that a question stays open at most; never longer than its task, nor than the one that it narrows."""


def names_of(means: Means) -> tuple[str, str]:
    """A new question's own name, and its nonce."""
    return means.chance.name("apr"), means.chance.name("non")


def question_of(
    proposal: Proposal, task: Task, verdict: Holding, names: tuple[str, str], now: Instant
) -> Question:
    """What is asked about this proposal, under these names: the question's own, and its nonce."""
    narrows = proposal.narrows
    latest = min(task.deadline, now + HOLD_LIFE, *([] if narrows is None else [narrows.deadline]))
    return Question(
        namespace=task.namespace,
        id=names[0],
        action=proposal.id,
        act=proposal.action.digest,
        task=task.id,
        agent=task.agent,
        requester=task.requester,
        purpose=task.purpose,
        tool=proposal.action.tool,
        bundle=proposal.basis.bundle,
        scope=proposal.scope,
        edition=task.scope_version,
        lifters=verdict.hold.lifters,
        operands=verdict.operands,
        nonce=names[1],
        asked=now,
        deadline=Instant(latest),
        narrows="" if narrows is None else narrows.digest,
        plan="" if proposal.planned is None else proposal.planned.plan,
        step=0 if proposal.planned is None else proposal.planned.step,
    )


def why_not_asked(
    proposal: Proposal,
    task: Task | None,
    circle: Circle | None,
    answered: Mapping[tuple[str, str], TaskboundError],
    now: Instant,
) -> TaskboundError | None:
    """Why nobody can be asked for this; None when people can. `answered` is what was answered for good."""
    verdict = proposal.verdict
    if not isinstance(verdict, Holding) or circle is None or task is None:
        return None
    try:
        final = answered.get((proposal.action.task, proposal.action.digest))
        if final is not None:
            return final
        if verdict.blocked is not None:
            raise verdict.blocked
        lifters = verdict.hold.lifters
        require_askable(needs_of(lifters), circle, steps_of(lifters))
        question = question_of(proposal, task, verdict, (proposal.id, proposal.id), now)
        require_showable(sheet_of(question, proposal.action, policies=verdict.hold.policies))
    except TaskboundError as error:
        return error
    return None
