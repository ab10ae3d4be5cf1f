"""What makes several questions one plan: one answer to all of them, and an order of their use.

1. A plan has two to twenty steps.
2. One answer is that answer to each step, or it is none: so all steps need the same words, and of each need
   the same persons are enough for every step. An issuer's token is about one question, and lifts no plan.
3. The next step can be used once the one before it has succeeded. While that one runs, the next waits;
   whatever else became of it ends what is left of the plan: "in order" was promised, and a retry is a new
   decision (law 7).
4. A yes must count for every step that is left. A denial need not: whoever could deny one of them, were it
   asked about by itself, denies it, and by that the plan is over. The steps for which their word does not
   count are superseded and not denied. So a list takes a veto from nobody, and gives nobody one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.approval.errors import BadPlanError, PlanRefusedError
from taskbound.core.approval.question import ApprovalEvent, Befallen, NeedKind
from taskbound.core.approval.quorum import askable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from taskbound.core.approval.question import Question
    from taskbound.core.approval.quorum import Circle


LEAST_STEPS: Final = 2
MOST_STEPS: Final = 20
_RUNS: Final = frozenset({ActionState.PERMITTED, ActionState.SENT})


def require_length(steps: int) -> None:
    """Go on only with as many steps as a plan has (rule 1).

    Raises:
        BadPlanError: It has fewer, or more.
    """
    if not LEAST_STEPS <= steps <= MOST_STEPS:
        raise BadPlanError(f"a plan has {LEAST_STEPS} to {MOST_STEPS} steps, and not {steps}")


def require_one_answer(questions: Sequence[Question], circles: Sequence[Circle]) -> None:
    """Go on only where one answer can be the answer to every step (rule 2).

    Args:
        questions: Of the steps, in order.
        circles: Whose word may count for each of them.

    Raises:
        PlanRefusedError: It can't.
    """
    first = questions[0]
    for number, one in enumerate(questions, 1):
        if one.lifters != first.lifters:
            raise PlanRefusedError(
                f"it needs {_lifters(one)}, and step 1 needs {_lifters(first)}",
                remedy="who signs a plan signs every step: ask about what needs other words by itself",
                where=step_words(number, one.tool),
            )
    for need in first.needs:
        if need.kind is NeedKind.EVIDENCE:
            raise PlanRefusedError(
                f"`{need.lifter}` is a token about one question, and lifts no plan",
                remedy="ask about it by itself",
                where=step_words(1, first.tool),
            )
        able = frozenset.intersection(*(askable(need, circle) for circle in circles))
        humans = {circles[0].human(name) for name in able}
        if len(humans) < need.quorum:
            raise PlanRefusedError(
                f"`{need.lifter}` needs {need.quorum}, and {len(humans) or 'nobody'} may answer every step",
                remedy="ask about tools that other persons answer for by themselves",
            )


def why_plan_over(before: ActionState) -> str | None:
    """Why what is left of a plan is over, by what became of the step before (rule 3).

    Returns:
        The reason; empty where the next step may be used; None while that step still runs.
    """
    if before is ActionState.SUCCEEDED:
        return ""
    return None if before in _RUNS else f"the step before it is {before.value}"


def fates_of_denial(
    left: Sequence[int], denied: Collection[int], person: str
) -> tuple[Befallen, tuple[Befallen, ...]]:
    """What a denial is to the plan, and to each of its steps that are left (rule 4).

    Args:
        left: The numbers of the steps that are left, in order.
        denied: Those for which the word of this person counts: one at least.
        person: Who denies.
    """
    words = f"denied by {person}"
    if set(denied) < set(left):
        numbers = ", ".join(map(str, sorted(denied)))
        words = f"step{'s' if len(denied) > 1 else ''} {numbers}: {words}"
    whole = Befallen(event=ApprovalEvent.DENY, reason=words)
    rest = Befallen(event=ApprovalEvent.SUPERSEDE, reason=words)
    one = Befallen(event=ApprovalEvent.DENY, reason=f"denied by {person}")
    return whole, tuple(one if number in denied else rest for number in left)


def step_words(number: int, tool: str) -> str:
    """How a step is named."""
    return f"step {number} (`{tool}`)"


def _lifters(question: Question) -> str:
    return ", ".join(f"`{one}`" for one in question.lifters)
