"""Taking what was paid from what is left, and whether several actions could be paid one after the other.

1. A plan is asked about only where all of it could be paid now, in order. Held takes nothing: what is left
   may be less when a step's turn comes, and then that step is refused as any call would be.
2. A rate counts as it stands now: a plan that would have to wait for its window is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval import PlanRefusedError, step_words
from taskbound.core.decision.values import Holding
from taskbound.core.scope import Exhausted, Paid, pay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.decision.values import Proposal


def take_paid(paid: Paid, task: str, left: dict[str, dict[str, int]]) -> None:
    """Take it from what is left, by task and limit."""
    own = left.setdefault(task, {})
    for charge in paid.charges:
        own[charge.limit] -= charge.amount
    own.update(paid.windows)
    for above, row, value in paid.above:
        left[above][row] = value


def require_payable(
    proposals: Sequence[Proposal], left: Mapping[str, Mapping[str, int]], now: Instant
) -> None:
    """Go on only where all of these held actions could be paid, one after the other (rules 1 and 2).

    Args:
        proposals: The steps of a plan, in order.
        left: By task: what each limit has left, under lock.
        now: The instant.

    Raises:
        PlanRefusedError: They can't.
    """
    still = {task: dict(limits) for task, limits in left.items()}
    for number, one in enumerate(proposals, 1):
        if not isinstance(one.verdict, Holding):
            continue  # refused by what settles it
        match pay(one.verdict.covered, still.get(one.action.task, {}), now, still):
            case Paid() as paid:
                take_paid(paid, one.action.task, still)
            case Exhausted(shortfalls=shortfalls):
                words = "; ".join(each.sentence for each in shortfalls)
                raise PlanRefusedError(
                    f"with the steps before it, it asks for more than is left: {words}",
                    remedy="propose fewer steps, or smaller ones",
                    where=step_words(number, one.action.tool),
                )
