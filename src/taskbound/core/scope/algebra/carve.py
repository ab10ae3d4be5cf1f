"""What a child takes out of its parent's limits, so that splitting multiplies nothing (law 3).

1. The child gets its own limits whole, and the parent loses, at once, the most that each of the child's
   grants may take of it.
2. A rate is compared and not taken: it comes again with each window, so that what a child does is charged
   to its ancestors' rates when it is done.
3. A child that isn't covered by what the parent has left carves nothing.
4. What goes back of each share is what it took, less the most that what was spent can have cost: a cost
   that can't be known has eaten all of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra.covers import NotCovers, covers
from taskbound.core.scope.algebra.places import Gap
from taskbound.core.scope.algebra.takes import takes
from taskbound.core.scope.grant import initial_limits
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.scope.algebra.assign import Share
    from taskbound.core.scope.grant import Grant, Scope


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


def refund(parent: Scope, child: Scope, spent: Mapping[str, int], shares: Sequence[Share]) -> dict[str, int]:
    """By limit of the parent: what goes back to it when the child ends (rule 4).

    Args:
        parent: The parent's scope.
        child: The child's scope.
        spent: What of each limit of the child is gone, by key; one that is missing is all gone.
        shares: As `carve` told them.
    """
    wide = {grant.id: grant for grant in parent.grants}
    narrow = {grant.id: grant for grant in child.grants}
    back: dict[str, int] = {}
    for share in shares:
        above, below = wide.get(share.parent), narrow.get(share.child)
        if above is None or below is None:
            continue
        rates = {rate.key for rate in above.rates}
        cost = takes(with_limits(below, spent), replace(above, rates=()), whole=True)
        for limit, amount in share.taken:
            if limit not in rates and not isinstance(cost, Gap):
                back[limit] = back.get(limit, 0) + max(0, amount - cost.get(limit, amount))
    return {limit: amount for limit, amount in back.items() if amount}


def with_limits(grant: Grant, amounts: Mapping[str, int]) -> Grant:
    """The grant with these amounts as its uses and totals, 0 too; what is missing stays as it is."""
    uses = None if grant.uses is None else amounts.get(grant.uses_key, grant.uses)
    totals = tuple(replace(one, limit=amounts.get(one.key, one.limit)) for one in grant.totals)
    return replace(grant, uses=uses, totals=totals)
