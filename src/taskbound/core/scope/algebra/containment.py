"""Decides whether one scope covers another, and to which wider grant each piece is charged.

`Covers` is a proof for every schema: the parent's grant that a piece is charged to covers all its calls, and
the child's limits in all are within the parent's. `NotCovers` is a reason to refuse and no proof of the
opposite. Each comparison takes from a budget; what is not shown within it counts as not contained.

For a parent in steps, its current step counts. Two scopes with equally many steps, both at the first, are
compared step by step. A grant takes the most that it may ever take of each limit, once for all its pieces
(law 3); grants without limits are charged first.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra.places import Gap, members_within, takes
from taskbound.core.scope.constraints.choice import Equals, OneOf
from taskbound.core.scope.constraints.constraint import Contained
from taskbound.core.scope.grant import counted_limits
from taskbound.core.scope.path import Items
from taskbound.core.scope.show import bare
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.grant import Grant, Scope
    from taskbound.core.scope.path import ArgumentPath, Node


_STEPS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one grant takes of the limits of a grant that contains it."""

    child: str
    """The id of the narrower grant."""
    parent: str
    """The id of the wider grant."""
    taken: tuple[tuple[str, int], ...]
    """(limit of the wider grant, how much), in the order of the limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned(NoTruth):
    """Every piece has a grant."""

    shares: tuple[Share, ...]
    """One for each pair of grants, in the order of the pieces."""
    left: Mapping[str, int]
    """What each limit of the wider scope has left then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unassigned(NoTruth):
    """No assignment within the limits was found."""

    child: str
    """The id of the first grant that found no place."""
    parent: str
    """The id of the grant that it was tried with last."""
    gap: Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    child: str
    parent: str
    taken: Mapping[str, int]


_Found: TypeAlias = "list[_Choice] | Unassigned"


def assign(pieces: Sequence[Piece], left: Mapping[str, int]) -> Assigned | Unassigned:
    options: list[list[_Choice]] = []
    most = _most(pieces)
    for piece in pieces:
        known = _options(piece, most)
        if isinstance(known, Unassigned):
            return known
        options.append(known)
    found = _search(sorted(options, key=len), dict(left))  # the least free first; the sort keeps the order
    if isinstance(found, Unassigned):
        return found
    after = dict(left)
    shares: dict[tuple[str, str], Share] = {}
    for choice in found:
        if (choice.child, choice.parent) not in shares:
            shares[choice.child, choice.parent] = Share(
                child=choice.child, parent=choice.parent, taken=tuple(sorted(choice.taken.items()))
            )
            _move(after, choice.taken, -1)
    return Assigned(shares=tuple(shares.values()), left=after)


def _most(pieces: Sequence[Piece]) -> dict[tuple[str, str], dict[str, int] | Gap]:
    most: dict[tuple[str, str], dict[str, int] | Gap] = {}
    count = Counter(piece.grant.id for piece in pieces)
    for piece in pieces:
        for parent in piece.within:
            pair = (piece.grant.id, parent.id)
            known = most.get(pair, {})
            taken = takes(piece.grant, parent, whole=count[piece.grant.id] == 1)
            if isinstance(taken, Gap):
                most[pair] = taken
            elif not isinstance(known, Gap):
                most[pair] = {limit: max(amount, known.get(limit, 0)) for limit, amount in taken.items()}
    return most


def _options(
    piece: Piece, most: Mapping[tuple[str, str], Mapping[str, int] | Gap]
) -> list[_Choice] | Unassigned:
    found: list[_Choice] = []
    last: Unassigned | None = None
    for parent in piece.within:
        taken = most[piece.grant.id, parent.id]
        if isinstance(taken, Gap):
            last = Unassigned(child=piece.grant.id, parent=parent.id, gap=taken)
        else:
            found.append(_Choice(child=piece.grant.id, parent=parent.id, taken=taken))
    if last is not None and not found:
        return last
    return sorted(found, key=lambda choice: len(choice.taken))


def _search(options: Sequence[Sequence[_Choice]], left: dict[str, int]) -> _Found:
    chosen: list[_Choice] = []
    tried = [0] * len(options)
    paid: dict[tuple[str, str], int] = {}
    short: Unassigned | None = None
    for _ in range(_STEPS):
        depth = len(chosen)
        if depth == len(options):
            return chosen
        if tried[depth] < len(options[depth]):
            choice = options[depth][tried[depth]]
            tried[depth] += 1
            lacks = None if (choice.child, choice.parent) in paid else _lacks(choice, left)
            if lacks is not None:
                short = lacks if short is None else short
                continue
            _take(choice, left, paid)
            chosen.append(choice)
        elif depth == 0:
            break
        else:
            tried[depth] = 0
            _give_back(chosen.pop(), left, paid)
    if short is not None:
        return short
    gap = Gap(path="", reason=f"no way to share the limits was found within {_STEPS} steps")
    return Unassigned(child=options[0][0].child, parent=options[0][0].parent, gap=gap)


def _lacks(choice: _Choice, left: Mapping[str, int]) -> Unassigned | None:
    for limit, amount in sorted(choice.taken.items()):
        if left.get(limit, 0) < amount:
            reason = "it may take more of the other's limit than is left"
            path = limit.partition("/total/")[2]
            return Unassigned(child=choice.child, parent=choice.parent, gap=Gap(path=path, reason=reason))
    return None


def _take(choice: _Choice, left: dict[str, int], paid: dict[tuple[str, str], int]) -> None:
    pair = (choice.child, choice.parent)
    paid[pair] = paid.get(pair, 0) + 1
    if paid[pair] == 1:
        _move(left, choice.taken, -1)


def _give_back(choice: _Choice, left: dict[str, int], paid: dict[tuple[str, str], int]) -> None:
    pair = (choice.child, choice.parent)
    paid[pair] -= 1
    if not paid[pair]:
        del paid[pair]
        _move(left, choice.taken, 1)


def _move(left: dict[str, int], taken: Mapping[str, int], sign: int) -> None:
    for limit, amount in taken.items():
        left[limit] = left.get(limit, 0) + sign * amount


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
    """No grant contains it, whole or in pieces."""

    nearest: Grant | None
    """The grant with the fewest gaps; ``None`` when none names the tool."""
    gaps: tuple[Gap, ...]


Split: TypeAlias = "tuple[Piece, ...] | Missing"


class Budget:
    """The comparisons that are left."""

    def __init__(self, most: int) -> None:
        self.left = most

    @property
    def is_spent(self) -> bool:
        return self.left <= 0

    def spend(self) -> None:
        self.left -= 1


def gaps(child: Grant, parent: Grant) -> Iterator[Gap]:
    """Yields why the parent does not cover all calls of the child, without limits."""
    return members_within(child.tree, parent.tree)


def split(child: Grant, parents: Sequence[Grant], budget: Budget) -> Split:
    """Returns a grant's pieces and the grants that contain them; `parents` are in scope order."""
    found: list[Grant] = []
    nearest: tuple[int, Grant, tuple[Gap, ...]] | None = None
    for parent in parents:
        if budget.is_spent:
            return _spent(parent)
        budget.spend()
        between = tuple(gaps(child, parent))
        if not between:
            found.append(parent)
        elif nearest is None or len(between) < nearest[0]:
            nearest = (len(between), parent, between)
    if found:
        return (Piece(grant=child, within=tuple(found)),)
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
    """Yields where the grant can be cut and into what; never inside a list, as its items may differ."""
    for path, rule in child.arguments:
        if Items.EACH in path.steps:
            continue
        values = rule.choices()
        options = rule.alternatives() if values is None else tuple(Equals(expected=value) for value in values)
        if len(options) > 1:
            yield path, options


def _narrowed(child: Grant, path: ArgumentPath, options: Sequence[Constraint]) -> Iterator[Grant]:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Covers(NoTruth):
    """The parent permits everything that the child permits."""

    shares: tuple[Share, ...]
    """Which grant of the child is charged to which of the parent, and how much it may take."""
    left: Mapping[str, int]
    """What each limit of the parent has left when all of that is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncovered:
    """A grant that is not shown to be covered."""

    grant: str
    """Its id, such as ``g0``."""
    tool: str
    nearest: str | None
    """The id of the parent's grant that came nearest; ``None`` when none names the tool."""
    gaps: tuple[Gap, ...]

    @property
    def sentence(self) -> str:
        """Describes the gap for people."""
        name = f"grant {self.grant} (`{bare(self.tool)}`)"
        if self.nearest is None:
            return f"{name}: no grant of the other names the tool"
        between = "; ".join(gap.sentence for gap in self.gaps)
        return f"{name} is wider than {self.nearest}, which came nearest: {between}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCovers(NoTruth):
    """The parent is not shown to permit everything that the child permits."""

    uncovered: tuple[Uncovered, ...]
    """Never empty, in the order of the child's grants."""

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(one.sentence for one in self.uncovered)


def covers(
    parent: Scope, child: Scope, *, left: Mapping[str, int] | None = None, step: int = 0
) -> Covers | NotCovers:
    """Decides containment; `left` is what each parent limit has left (None: all), `step` counts from 0."""
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
    known = {canonical(grant.coverage()): grant for grant in parent.grants}
    pieces: list[Piece] = []
    for grant in child.grants:
        same = known.get(canonical(grant.coverage()))
        if same is None or (parent.steps and same not in _candidates(parent, child, grant, step)):
            return None
        pieces.append(Piece(grant=grant, within=(same,)))
    return tuple(pieces)


def _candidates(parent: Scope, child: Scope, grant: Grant, step: int) -> tuple[Grant, ...]:
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
