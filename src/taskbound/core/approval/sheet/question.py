"""The text of an approval question and of a plan.

1. Each step of a plan is shown by its complete own sheet, after a numbered line.
2. The whole plan has its own size limit; a plan above it is refused and never asked about.
3. Foreign text cannot imitate a step's first line, because it always follows a gutter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.approval.errors import TooLongToShowError
from taskbound.core.approval.question import NeedKind
from taskbound.core.approval.sheet.lines import SHEET_WIDTH, Item, Label, Quoted, lay_out
from taskbound.core.approval.sheet.render import (
    PLAN_LIMITS,
    VERSION,
    BadSheetError,
    PlanSheetOf,
    Rendering,
    Sheet,
    SheetLimits,
    SheetNeed,
    SheetOf,
    SheetOperand,
    TooLong,
    render_sheet,
)
from taskbound.core.clock import render_instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.action import Action
    from taskbound.core.approval.operand import Operand
    from taskbound.core.approval.question import Need, Question
    from taskbound.core.approval.quorum import Plan


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
    """Collects the sheet's content (except the tool's owner); raises BadSheetError for another action."""
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
    if action.digest != question.act:
        raise BadSheetError("the question is about another action")
    return action.digest


def _operand(one: Operand) -> SheetOperand:
    return SheetOperand(kind=one.kind.value, place=one.place, found=one.found)


def _needs(question: Question) -> tuple[SheetNeed, ...]:
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
    """Collects the plan's content; raises BadSheetError if the steps are not the plan's."""
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


def render_plan_sheet(of: PlanSheetOf, limits: SheetLimits = PLAN_LIMITS) -> Rendering:
    """Renders a plan (rules 1 and 2); raises BadSheetError if a step has no sheet."""
    parts: list[str] = []
    for number, step in enumerate(of.steps, 1):
        shown = render_sheet(step)
        if not isinstance(shown, Sheet):
            return shown
        parts += [*_lines(Item(label=Label.STEP, atoms=(f"{number}", "of", f"{len(of.steps)}"))), shown.text]
        if sum(map(len, parts)) > limits.lines * (SHEET_WIDTH + 1):
            return TooLong(what="lines", limit=limits.lines)
    head = "".join(line for item in _head(of) for line in _lines(item))
    count = head.count("\n") + sum(part.count("\n") for part in parts) + 2
    if count > limits.lines:
        return TooLong(what="lines", limit=limits.lines)
    size = sum(len(step.arguments) for step in of.steps)
    if size > limits.size:
        return TooLong(what="bytes", limit=limits.size)
    words = (
        "Taskbound",
        "plan",
        "form",
        f"{VERSION},",
        f"{count}",
        "lines",
        "of",
        f"{SHEET_WIDTH}",
        "columns",
    )
    first = "".join(_lines(Item(label=Label.SHEET, atoms=words)))
    last = "".join(_lines(Item(label=Label.END, atoms=("of", f"{count}", "lines"))))
    return Sheet(text=f"{first}{head}{''.join(parts)}{last}", lines=count)


def _head(of: PlanSheetOf) -> Iterator[Item]:
    yield Item(label=Label.DIGEST, atoms=(of.digest,))
    yield Item(label=Label.PLAN, atoms=(Quoted(text=of.plan),))
    yield Item(label=Label.ASKED, atoms=(render_instant(of.asked),))
    yield Item(label=Label.DEADLINE, atoms=(render_instant(of.deadline),))
    for label, name in (
        (Label.REQUESTER, of.requester),
        (Label.NAMESPACE, of.namespace),
        (Label.TASK, of.task),
        (Label.NONCE, of.nonce),
    ):
        yield Item(label=label, atoms=(Quoted(text=name),))


def _lines(item: Item) -> Iterator[str]:
    return (f"{line}\n" for line in lay_out(item))


def require_showable(of: SheetOf | PlanSheetOf) -> None:
    """Raises TooLongToShowError if the sheet exceeds its limits."""
    match render_sheet(of) if isinstance(of, SheetOf) else render_plan_sheet(of):
        case Sheet():
            return
        case TooLong(what=what, limit=limit):
            raise TooLongToShowError(f"it takes more than {limit} {what} to be shown")
