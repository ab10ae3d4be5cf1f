"""The sheet of a question: what is asked about one held action, and of a plan of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.approval.question import NeedKind
from taskbound.core.approval.sheet.values import BadSheetError, PlanSheetOf, SheetNeed, SheetOf, SheetOperand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.action import Action
    from taskbound.core.approval.operand import Operand
    from taskbound.core.approval.plan import Plan
    from taskbound.core.approval.question import Need, Question


_EACH: Final = "whoever says yes"
"""Of whom a sign-in is asked that stands beside other lifters."""


def sheet_of(  # noqa: PLR0913 -- what is not in the question, each thing by its name
    question: Question,
    action: Action,
    *,
    server_identity: str = "",
    attempt: int = 1,
    last_outcome: str = "none",
    grant: str = "",
    policies: tuple[str, ...] = (),
    reason: str = "",
) -> SheetOf:
    """What the approvers of this question are to see, but for who owns the tool.

    Args:
        question: What is asked, with its digest.
        action: The held action, whose canonical arguments will be sent.
        server_identity: The server's pinned identity in words.
        attempt: Which attempt of this act it is.
        last_outcome: Of the attempt before.
        grant: The grant that covers it.
        policies: The policies that hold it.
        reason: The agent's own words about it.

    Raises:
        BadSheetError: The question is about another action.
    """
    return SheetOf(
        namespace=question.namespace,
        digest=question.digest,
        question=question.id,
        narrows=question.narrows,
        retry=question.retry,
        first=question.first,
        action=question.action,
        action_digest=_about(question, action),
        agent=question.agent,
        task=question.task,
        requester=question.requester,
        tool=question.tool,
        server=action.server,
        server_identity=server_identity,
        definition=action.definition,
        arguments=action.arguments,
        operands=tuple(map(_operand, question.operands)),
        attempt=attempt,
        last_outcome=last_outcome,
        grant=grant,
        scope=question.scope,
        edition=question.edition,
        policies=policies,
        needs=_needs(question),
        bundle=question.bundle,
        asked=question.asked,
        deadline=question.deadline,
        nonce=question.nonce,
        purpose=question.purpose,
        reason=reason,
        plan=question.plan,
        step=question.step,
    )


def _about(question: Question, action: Action) -> str:
    """The digest of the action, which the question is about."""
    if action.digest != question.act:
        raise BadSheetError("the question is about another action")
    return action.digest


def _operand(one: Operand) -> SheetOperand:
    return SheetOperand(kind=one.kind.value, place=one.place, found=one.found)


def _needs(question: Question) -> tuple[SheetNeed, ...]:
    """What lifts it; a sign-in that is asked of whoever says yes is said for itself."""
    needs = question.needs
    named = {one.lifter for one in needs}
    most = max((need.quorum for need in needs), default=1)
    return (
        *(_need(one, question.requester) for one in needs),
        *(SheetNeed(lifter=one, persons=most, who=_EACH) for one in question.lifters if one not in named),
    )


def _need(need: Need, requester: str) -> SheetNeed:
    who = requester if need.kind is NeedKind.CONFIRMATION else need.group
    return SheetNeed(lifter=need.lifter, persons=need.quorum, who=who)


def plan_sheet_of(plan: Plan, steps: Sequence[SheetOf]) -> PlanSheetOf:
    """What the approvers of this plan are to see: the sheets of its steps, in order.

    Raises:
        BadSheetError: They are of other steps than the plan's.
    """
    named = tuple((one.plan, one.step, one.digest) for one in steps)
    if named != tuple((plan.id, number, digest) for number, digest in enumerate(plan.questions, 1)):
        raise BadSheetError("the plan has other steps")
    return PlanSheetOf(
        namespace=plan.namespace,
        digest=plan.digest,
        plan=plan.id,
        task=plan.task,
        requester=plan.requester,
        nonce=plan.nonce,
        asked=plan.asked,
        deadline=plan.deadline,
        steps=tuple(steps),
    )
