"""What a child takes out of its parent's limits, so that splitting multiplies nothing (law 3).

1. The child gets its own limits whole, and the parent loses, at once, the most that each of the child's
   grants may take of it.
2. A rate is compared and not taken: it comes again with each window, so that what a child does is charged
   to its ancestors' rates when it is done.
3. A child that isn't covered by what the parent has left carves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskbound.core.scope.algebra.covers import NotCovers, covers
from taskbound.core.scope.grant import initial_limits
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.scope.algebra.assign import Share
    from taskbound.core.scope.grant import Scope

__all__ = ["Carved", "carve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carved(NoTruth):
    """The child's limits, and what they cost its parent."""

    limits: Mapping[str, int]
    """What each limit of the child has at its start."""
    taken: Mapping[str, tuple[int, int]]
    """By limit of the parent that changes: what it had left, and has left now; compare-and-set."""
    shares: tuple[Share, ...]
    """Which grant of the child is charged to which of the parent: what is unused goes back there."""


def carve(parent: Scope, left: Mapping[str, int], child: Scope, *, step: int = 0) -> Carved | NotCovers:
    """Take a child's limits out of what its parent has left.

    Args:
        parent: The parent's scope.
        left: What each of its limits has left, as it is locked.
        child: The child's scope.
        step: The step that the parent is in.
    """
    answer = covers(parent, child, left=left, step=step)
    if isinstance(answer, NotCovers):
        return answer  # rule 3
    rates = {rate.key for grant in parent.grants for rate in grant.rates}  # rule 2
    taken = {
        limit: (before, answer.left[limit])
        for limit, before in left.items()
        if limit in answer.left and limit not in rates and answer.left[limit] != before
    }
    return Carved(limits=initial_limits(child), taken=taken, shares=answer.shares)
