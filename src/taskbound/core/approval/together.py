"""Rules that make several questions one plan.

1. A plan has 2 to 20 steps.
2. One answer applies to every step, so all steps need the same lifters and the same people must suffice for
   each. An issuer's token is about one question and lifts no plan.
3. A step can be used after the step before it succeeded. Any other outcome ends the rest of the plan (law 7).
4. A yes must count for every remaining step. A denial must count for at least one; steps for which it does
   not count are superseded, not denied.
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
    """Raises BadPlanError unless the number of steps is allowed (rule 1)."""
    if not LEAST_STEPS <= steps <= MOST_STEPS:
        raise BadPlanError(f"a plan has {LEAST_STEPS} to {MOST_STEPS} steps, and not {steps}")


def require_one_answer(questions: Sequence[Question], circles: Sequence[Circle]) -> None:
    """Raises PlanRefusedError unless one answer can apply to every step (rule 2)."""
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
                f"`{need.lifter}` needs {need.quorum}, and {len(humans)} may answer every step",
                remedy="ask about tools that other persons answer for by themselves",
            )


def why_plan_over(before: ActionState) -> str | None:
    """The reason that the rest is over (rule 3), empty if the next step may run, None while one runs."""
    if before is ActionState.SUCCEEDED:
        return ""
    return None if before in _RUNS else f"the step before it is {before.value}"


def fates_of_denial(
    left: Sequence[int], denied: Collection[int], person: str
) -> tuple[Befallen, tuple[Befallen, ...]]:
    """What a denial does to the plan and each remaining step; `denied` has at least one step (rule 4)."""
    words = f"denied by {person}"
    if set(denied) < set(left):
        numbers = ", ".join(map(str, sorted(denied)))
        words = f"step{'s' if len(denied) > 1 else ''} {numbers}: {words}"
    whole = Befallen(event=ApprovalEvent.DENY, reason=words)
    rest = Befallen(event=ApprovalEvent.SUPERSEDE, reason=words)
    one = Befallen(event=ApprovalEvent.DENY, reason=f"denied by {person}")
    return whole, tuple(one if number in denied else rest for number in left)


def step_words(number: int, tool: str) -> str:
    """The name of a step in texts."""
    return f"step {number} (`{tool}`)"


def _lifters(question: Question) -> str:
    return ", ".join(f"`{one}`" for one in question.lifters)
