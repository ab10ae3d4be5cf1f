"""Whether what a child's scope permits, call after call, stands within the shares of its parent's grants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.scope import Covered, Paid, Scope, cover, initial_limits, pay
from tests.core.scope.family import call, canonical_pair

if TYPE_CHECKING:
    from random import Random

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.algebra import Covers
    from tests.core.scope.family import Pair

__all__ = ["counterexample"]

SECOND: Final = 1_000_000
"""µs."""


def counterexample(chance: Random, two: Pair, answer: Covers, calls: int) -> str:
    """A call that the child permits and no share of the parent does, in words; empty when none was found."""
    mine, theirs = initial_limits(two.child), initial_limits(two.parent)
    alone = {grant.id: Scope(grants=(grant,)) for grant in two.parent.grants}
    shares: dict[str, list[str]] = {}
    for share in answer.shares:
        shares.setdefault(share.child, []).append(share.parent)
    now = Instant(0)
    for _ in range(calls):
        now = Instant(now + chance.choice((0, 1, 30, 59, 60, 61)) * SECOND)
        tool, arguments, schema = call(chance, two.child)
        covered = cover(two.child, tool, arguments, schema)
        if not isinstance(covered, Covered):
            continue
        paid = pay(covered, mine, now)
        if not isinstance(paid, Paid):
            continue
        _take(paid, mine)
        if not _charged([alone[name] for name in shares[paid.grant]], (tool, arguments, schema), theirs, now):
            return f"{canonical_pair(two)}\ncall   {tool} {arguments}\nschema {schema}\npaid by {paid.grant}"
    return ""


def _charged(
    some: list[Scope],
    asked: tuple[str, dict[str, JsonValue], dict[str, JsonValue] | None],
    left: dict[str, int],
    now: Instant,
) -> bool:
    for scope in some:
        covered = cover(scope, *asked)
        if isinstance(covered, Covered) and isinstance(paid := pay(covered, left, now), Paid):
            _take(paid, left)
            return True
    return False


def _take(paid: Paid, left: dict[str, int]) -> None:
    for charge in paid.charges:
        left[charge.limit] -= charge.amount
    left.update(paid.windows)
