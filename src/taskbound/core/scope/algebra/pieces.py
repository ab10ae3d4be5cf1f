"""Which grants of a wider scope contain a grant, whole or in pieces.

1. A grant is contained whole when one grant contains it; every one that does is named, since limits may
   decide between them.
2. Otherwise it is cut at a path whose few values or alternatives go different ways: each piece must then
   be contained by itself. All of the pieces together permit what the grant permits.
3. Every comparison costs one of a budget. What can't be shown within it isn't shown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra.places import Gap, members_within
from taskbound.core.scope.constraints.choice import Equals, OneOf
from taskbound.core.scope.constraints.containment import Contained
from taskbound.core.scope.path import Items

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.grant import Grant
    from taskbound.core.scope.path import ArgumentPath
    from taskbound.core.scope.tree import Node


COMPARISONS: Final = 50_000
"""Pairs of grants that are compared for one answer, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a grant, and the grants that contain it."""

    grant: Grant
    """The grant, or what is left of it where this piece's values alone are permitted."""
    within: tuple[Grant, ...]
    """In the order of their scope; never empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """No grant contains it, nor can it be cut so that each piece is contained."""

    nearest: Grant | None
    """The grant with the fewest gaps; ``None`` when none names the tool."""
    gaps: tuple[Gap, ...]


Split: TypeAlias = "tuple[Piece, ...] | Missing"


class Budget:
    """How many comparisons are left."""

    def __init__(self, most: int) -> None:
        """Start with this many."""
        self.left = most

    @property
    def is_spent(self) -> bool:
        """Whether none is left."""
        return self.left <= 0

    def spend(self) -> None:
        """Take one."""
        self.left -= 1


def gaps(child: Grant, parent: Grant) -> Iterator[Gap]:
    """What keeps the parent from covering every call that the child covers, limits aside."""
    return members_within(child.tree, parent.tree)


def split(child: Grant, parents: Sequence[Grant], budget: Budget) -> Split:
    """The pieces of a grant with the grants that contain them, by the module's rules.

    Args:
        child: The grant.
        parents: The grants of the same tool that may contain it, in the order of their scope.
        budget: Shared by all that one answer needs.
    """
    found: list[Grant] = []
    nearest: tuple[int, Grant, tuple[Gap, ...]] | None = None
    for parent in parents:
        if budget.is_spent:
            return _spent(parent)  # rule 3
        budget.spend()
        between = tuple(gaps(child, parent))
        if not between:
            found.append(parent)
        elif nearest is None or len(between) < nearest[0]:
            nearest = (len(between), parent, between)
    if found:
        return (Piece(grant=child, within=tuple(found)),)  # rule 1
    if nearest is None:
        return Missing(nearest=None, gaps=())
    for path, options in _cuts(child):
        pieces = _split_at(child, path, options, parents, budget)
        if pieces is not None:
            return pieces
    return _spent(nearest[1]) if budget.is_spent else Missing(nearest=nearest[1], gaps=nearest[2])


def _split_at(
    child: Grant, path: ArgumentPath, options: Sequence[Constraint], parents: Sequence[Grant], budget: Budget
) -> tuple[Piece, ...] | None:
    """The pieces when the grant is cut at this path; ``None`` when that doesn't help (rule 2)."""
    places = [_node_at(parent, path) for parent in parents]
    groups: dict[tuple[int, ...], list[Constraint]] = {}
    for option in options:
        takes = tuple(
            number
            for number, node in enumerate(places)
            if node is None or node.rule is None or isinstance(option.within(node.rule), Contained)
        )
        if not takes:
            return None
        groups.setdefault(takes, []).append(option)
    if len(groups) < 2:  # noqa: PLR2004 - one group is the grant itself
        return None
    pieces: list[Piece] = []
    for takes, some in groups.items():
        for part in _narrowed(child, path, some):
            found = split(part, [parents[number] for number in takes], budget)
            if isinstance(found, Missing):
                return None
            pieces += found
    return tuple(pieces)


def _cuts(child: Grant) -> Iterator[tuple[ArgumentPath, Sequence[Constraint]]]:
    """Where the grant can be cut, and into what; never inside a list, whose items may differ."""
    for path, rule in child.arguments:
        if Items.EACH in path.steps:
            continue
        values = rule.choices()
        options = rule.alternatives() if values is None else tuple(Equals(expected=value) for value in values)
        if len(options) > 1:
            yield path, options


def _narrowed(child: Grant, path: ArgumentPath, options: Sequence[Constraint]) -> Iterator[Grant]:
    """The grant with these values alone at the path: one grant for values, one for each alternative."""
    values = [one.expected for one in options if isinstance(one, Equals)]
    rules: list[Constraint] = [one for one in options if not isinstance(one, Equals)]
    if values:
        rules.append(Equals(expected=values[0]) if len(values) == 1 else OneOf(items=tuple(values)))
    for rule in rules:
        yield replace(
            child, arguments=tuple((one, rule if one == path else old) for one, old in child.arguments)
        )


def _node_at(grant: Grant, path: ArgumentPath) -> Node | None:
    node = grant.tree
    for step in path.steps:
        inner = node.members.get(step) if isinstance(step, str) else node.items
        if inner is None:
            return None
        node = inner
    return node


def _spent(nearest: Grant) -> Missing:
    gap = Gap(path="", reason=f"the two are too large to compare within {COMPARISONS} steps")
    return Missing(nearest=nearest, gaps=(gap,))
