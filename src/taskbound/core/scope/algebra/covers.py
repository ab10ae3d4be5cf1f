"""Whether everything that one scope permits, another permits too, its limits shared out among the grants.

1. *Sound*: `Covers` is a proof. Every call that a grant of the child covers is covered by a grant of the
   parent that it is charged to, under every schema; and what the child's grants may take in all is within
   what the parent's limits have.
2. *Useful*: a grant may be contained in several grants piece by piece, and limits are shared so that all
   find a place, if a bounded search finds how.
3. `NotCovers` names, for each grant that wasn't shown to be covered, the grant that came nearest and
   what is between them. It is a reason to refuse and no proof of the opposite.
4. Of a parent in steps, the grants of the step that it is in count. Two scopes with as many steps, both at
   their first, are compared step by step: a grant is charged to one that is in force as long as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra.assign import Assigned, Unassigned, assign
from taskbound.core.scope.algebra.pieces import COMPARISONS, Budget, Missing, Piece, split
from taskbound.core.scope.grant import counted_limits
from taskbound.core.scope.show import bare
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.scope.algebra.assign import Share
    from taskbound.core.scope.algebra.places import Gap
    from taskbound.core.scope.grant import Grant, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Covers(NoTruth):
    """The parent permits whatever the child permits."""

    shares: tuple[Share, ...]
    """Which grant of the child is charged to which of the parent, and how much it may take."""
    left: Mapping[str, int]
    """What each limit of the parent has left when all of that is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncovered:
    """A grant that isn't shown to be covered."""

    grant: str
    """Its id, such as ``g0``."""
    tool: str
    nearest: str | None
    """The id of the parent's grant that came nearest; ``None`` when none names the tool."""
    gaps: tuple[Gap, ...]

    @property
    def sentence(self) -> str:
        """What is between the two, in a person's words."""
        name = f"grant {self.grant} (`{bare(self.tool)}`)"
        if self.nearest is None:
            return f"{name}: no grant of the other names the tool"
        between = "; ".join(gap.sentence for gap in self.gaps)
        return f"{name} is wider than {self.nearest}, which came nearest: {between}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCovers(NoTruth):
    """The parent isn't shown to permit whatever the child permits."""

    uncovered: tuple[Uncovered, ...]
    """Never empty, in the order of the child's grants."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """One sentence for each grant that isn't covered."""
        return tuple(one.sentence for one in self.uncovered)


def covers(
    parent: Scope, child: Scope, *, left: Mapping[str, int] | None = None, step: int = 0
) -> Covers | NotCovers:
    """Whether everything that the child permits, the parent permits too.

    Args:
        parent: The wider scope.
        child: The narrower scope.
        left: What each limit of the parent has left, by key; all of it when ``None``. Its rates count whole.
        step: The step that the parent is in, counted from 0 (rule 4).
    """
    given = {**(counted_limits(parent) if left is None else left), **_rates(parent)}
    alike = _alike(parent, child, step)
    if alike is not None and isinstance(quick := assign(alike, given), Assigned):
        return Covers(shares=quick.shares, left=quick.left)
    budget = Budget(COMPARISONS)
    pieces: list[Piece] = []
    uncovered: list[Uncovered] = []
    for grant in child.grants:
        found = split(grant, _candidates(parent, child, grant, step), budget)
        if isinstance(found, Missing):
            nearest = None if found.nearest is None else found.nearest.id
            uncovered.append(Uncovered(grant=grant.id, tool=grant.tool, nearest=nearest, gaps=found.gaps))
        else:
            pieces += found
    if uncovered:
        return NotCovers(uncovered=tuple(uncovered))
    assigned = assign(pieces, given)
    if isinstance(assigned, Unassigned):
        tool = next(grant.tool for grant in child.grants if grant.id == assigned.child)
        one = Uncovered(grant=assigned.child, tool=tool, nearest=assigned.parent, gaps=(assigned.gap,))
        return NotCovers(uncovered=(one,))
    return Covers(shares=assigned.shares, left=assigned.left)


def _alike(parent: Scope, child: Scope, step: int) -> tuple[Piece, ...] | None:
    """Each grant with the one of the same calls, as in a copy; ``None`` when one has none."""
    known = {canonical(grant.coverage()): grant for grant in parent.grants}
    pieces: list[Piece] = []
    for grant in child.grants:
        same = known.get(canonical(grant.coverage()))
        if same is None or (parent.steps and same not in _candidates(parent, child, grant, step)):
            return None
        pieces.append(Piece(grant=grant, within=(same,)))
    return tuple(pieces)


def _candidates(parent: Scope, child: Scope, grant: Grant, step: int) -> tuple[Grant, ...]:
    """The grants of the parent that may contain this one (rule 4)."""
    if step or not parent.steps or len(parent.steps) != len(child.steps):
        return parent.at(step).by_tool.get(grant.tool, ())
    named = parent.by_tool.get(grant.tool, ())
    for mine, theirs in zip(child.in_force, parent.in_force, strict=True):
        if grant in mine.grants:
            named = tuple(one for one in named if one in theirs.by_tool.get(grant.tool, ()))
    return named


def _rates(parent: Scope) -> dict[str, int]:
    # What a rate has left is gone with its window: it is compared by what it gives in each.
    return {rate.key: rate.uses for grant in parent.grants for rate in grant.rates}
