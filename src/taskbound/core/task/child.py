"""What a child task holds of its parent's limits, and what of it goes back.

1. A child is covered by what its parent permits in the step that it is in, and has left; its limits are
   carved out of the parent's: splitting multiplies nothing (law 3). It ends no later than its parent.
2. A line has at most 16 tasks, a tree at most 500 that are not ended: ending one is one transaction.
3. What is spent of a child is what it was carved with, less what it and all beneath it still hold. What is
   open or unknown is spent.
4. When a child ends, what isn't spent goes back to its parent, from the deepest upward, and goes on from
   there when the parent ends too. What is told of it later (a call that was not sent) goes back to nobody.
5. A task is handed on by the one who asked for it, or by the owner of its agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra import refund
from taskbound.core.task.errors import LongerThanParentError, NotInChargeError, TreeTooLargeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.task.values import Task


DEPTH: Final = 16
"""Tasks from the first of a tree to the deepest."""
LIVING: Final = 500
"""Tasks of a tree that are not ended."""


def require_in_charge(task: Task, owner: str, person: str) -> None:
    """Go on only for the one who asked for the task, or the owner of its agent (rule 5).

    Raises:
        NotInChargeError: It is another person.
    """
    if person not in {task.requester, owner}:
        raise NotInChargeError(
            f"task `{task.id}` was asked for by `{task.requester}`, and its agent is `{owner}`'s"
        )


def require_room(lineage: Sequence[Task], living: int) -> None:
    """Go on only when another task may stand beneath the first of this lineage (rule 2).

    Raises:
        TreeTooLargeError: It may not.
    """
    if len(lineage) >= DEPTH:
        raise TreeTooLargeError(f"a line of tasks has at most {DEPTH}")
    if living >= LIVING:
        raise TreeTooLargeError(f"a tree has at most {LIVING} tasks that are not ended")


def deadline_of(parent: Task, lifetime: int, now: Instant) -> Instant:
    """When a child ends that is to live so many seconds; 0 for as long as its parent (rule 1).

    Raises:
        LongerThanParentError: That is after its parent.
    """
    if not lifetime:
        return parent.deadline
    deadline = Instant(now + seconds(lifetime))
    if deadline > parent.deadline:
        raise LongerThanParentError(f"the child would live longer than its parent `{parent.id}`")
    return deadline


def held(task: Task, living: Sequence[Task], left: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """What of each limit of a task is not spent: its remainder, and what its children would give back.

    Args:
        task: The task.
        living: It and all that is not ended beneath it.
        left: By task, what each limit has left.
    """
    amounts = dict(left[task.id])
    for child in living:
        if child.parent == task.id:
            for limit, amount in _returned(child, task, held(child, living, left)).items():
                amounts[limit] = amounts.get(limit, 0) + amount
    return amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunds:
    """What goes back when tasks end."""

    left: Mapping[tuple[str, str], tuple[int, int]]
    """By (task, limit): what was left, and is then."""
    returned: Mapping[str, Mapping[str, int]]
    """By child: how much of each limit of its parent went back."""


def refunds(ending: Sequence[Task], above: Task | None, left: Mapping[str, Mapping[str, int]]) -> Refunds:
    """What goes back when these tasks end at once (rule 4).

    Args:
        ending: A task, and all that is not ended beneath it, parents before their children.
        above: The parent of the first, when it has one.
        left: By task, what each limit has left; of `above` too.
    """
    parents = {one.id: one for one in (*ending, *((above,) if above else ()))}
    now = {task: dict(limits) for task, limits in left.items()}
    returned: dict[str, dict[str, int]] = {}
    for one in reversed(ending):
        parent = parents.get(one.parent)
        if parent is None:
            continue
        for limit, amount in _returned(one, parent, now[one.id]).items():
            if limit in now[parent.id]:
                now[parent.id][limit] += amount
                returned.setdefault(one.id, {})[limit] = amount
    changes = {
        (task, limit): (left[task][limit], amount)
        for task, limits in now.items()
        for limit, amount in limits.items()
        if amount != left[task][limit]
    }
    return Refunds(left=changes, returned=returned)


def _returned(child: Task, parent: Task, unspent: Mapping[str, int]) -> dict[str, int]:
    """By limit of the parent: what of its share the child has not spent."""
    spent = {limit: max(0, amount - unspent.get(limit, 0)) for limit, amount in child.base}
    return refund(parent.scope, child.scope, spent, child.shares)
