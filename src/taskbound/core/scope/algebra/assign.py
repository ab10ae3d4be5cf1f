"""Which wider grant each piece of a scope is charged to, so that no limit is passed.

1. A grant takes all that it may ever take of each limit that it is charged to, once for all of its
   pieces: what is given to one is gone for the others (law 3).
2. Every piece is charged to one grant that contains it. The first choice that fits them all is taken,
   grants without limits first; it is looked for in a bounded number of steps.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra.places import Gap
from taskbound.core.scope.algebra.takes import takes
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.scope.algebra.pieces import Piece


_STEPS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one grant takes of the limits of one that contains it."""

    child: str
    """The id of the narrower grant."""
    parent: str
    """The id of the wider grant."""
    taken: tuple[tuple[str, int], ...]
    """(limit of the wider grant, how much), in the order of the limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned(NoTruth):
    """Every piece has its grant."""

    shares: tuple[Share, ...]
    """One for each pair of grants, in the order of the pieces."""
    left: Mapping[str, int]
    """What each limit of the wider scope has left then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unassigned(NoTruth):
    """No choice was found that fits."""

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
    """A grant for every piece, within what the limits have left.

    Args:
        pieces: Of all grants of the narrower scope, in order; each names the grants that contain it.
        left: What each limit of the wider scope has left.
    """
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
    """By (child, parent): the most that any piece of the child takes of each limit of the parent."""
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
    """The grants that could pay for the piece, those without limits first (rule 2)."""
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
    """One choice of each, tried in order, undone where the limits don't suffice."""
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
    if paid[pair] == 1:  # rule 1
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
