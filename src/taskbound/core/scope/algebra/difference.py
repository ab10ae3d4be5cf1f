"""What an amended scope permits that the old one didn't, and the other way round, grant by grant.

1. Each grant of the new scope is compared with the whole old one: covered grants widen nothing.
2. Each grant of the old scope that the new one doesn't cover was narrowed or dropped.
3. The whole is *same*, *narrower*, *wider* or *other* by `covers` both ways, so that limits count together;
   what isn't shown to be narrower is treated as wider: it needs an approval.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra.covers import Covers, covers
from taskbound.core.scope.algebra.pieces import gaps
from taskbound.core.scope.algebra.witness import witness
from taskbound.core.scope.grant import Scope

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.algebra.places import Gap
    from taskbound.core.scope.grant import Grant


class Direction(Enum):
    """How what a scope permits has changed."""

    SAME = "same"
    NARROWER = "narrower"
    WIDER = "wider"
    OTHER = "other"
    """Neither is shown to cover the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A grant that one of the two scopes doesn't cover."""

    grant: Grant
    against: Grant | None
    """The grant of the other scope that is nearest; ``None`` when none names the tool."""
    gaps: tuple[Gap, ...]
    """What is between the two; empty when only limits are."""
    example: dict[str, JsonValue] | None
    """Arguments that this grant covers and the other scope doesn't, when some were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What changed from one scope to another."""

    direction: Direction
    added: tuple[Change, ...]
    """The grants of the new scope that the old one doesn't cover, in order."""
    removed: tuple[Change, ...]
    """The grants of the old scope that the new one doesn't cover, in order."""


def difference(old: Scope, new: Scope) -> Difference:
    """What changed, by the module's rules."""
    shrinks, grows = isinstance(covers(old, new), Covers), isinstance(covers(new, old), Covers)
    direction = {
        (True, True): Direction.SAME,
        (True, False): Direction.NARROWER,
        (False, True): Direction.WIDER,
        (False, False): Direction.OTHER,
    }[shrinks, grows]
    added = () if shrinks else _changes(new, old)  # what is covered as a whole adds nothing
    removed = () if grows else _changes(old, new)
    return Difference(direction=direction, added=added, removed=removed)


def _changes(one: Scope, other: Scope) -> tuple[Change, ...]:
    return tuple(
        _change(grant, other) for grant in one.grants if not isinstance(_covered(grant, other), Covers)
    )


def _covered(grant: Grant, other: Scope) -> object:
    return covers(other, Scope(grants=(grant,)))


def _change(grant: Grant, other: Scope) -> Change:
    named = other.by_tool.get(grant.tool, ())
    if not named:
        return Change(grant=grant, against=None, gaps=(), example=witness(grant, other))
    found = [(tuple(gaps(grant, one)), one) for one in named]
    between, nearest = min(found, key=lambda pair: len(pair[0]))
    return Change(grant=grant, against=nearest, gaps=between, example=witness(grant, other))
