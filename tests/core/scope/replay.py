"""Whether what a child's scope permits, call after call, stands within the shares of its parent's grants."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.scope import Covered, Paid, Scope, cover, initial_limits, pay
from taskbound.core.scope.algebra import Covers, covers
from taskbound.core.scope.path import meets_members
from taskbound.core.scope.values import Match
from tests.core.scope.family import call, canonical_pair, kin, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.action.canonical import JsonValue
    from tests.core.scope.family import Aimed, Pair


SECOND: Final = 1_000_000
"""µs."""


CALLS: Final = 12
"""A pair."""


def search_kin(first: int, pairs: int, make: Callable[[Aimed], Iterable[Pair]] = kin) -> tuple[int, int]:
    """Compare the kin of this seed and the next ones, until so many pairs: how many, and how many covered.

    Raises:
        AssertionError: One is said to be covered, and is not.
    """
    compared = covered = 0
    for seed in count(first):
        chance = seeded(seed)
        for two in make(chance):
            compared += 1
            answer = covers(two.parent, two.child)
            if isinstance(answer, Covers):
                covered += 1
                if found := counterexample(chance, two, answer, CALLS):
                    raise AssertionError(f"seed {seed}:\n{found}")
        if compared >= pairs:
            break
    return compared, covered


def counterexample(chance: Aimed, two: Pair, answer: Covers, calls: int) -> str:
    """A call that the child permits and no share of the parent does, in words; empty when none was found."""
    mine, theirs = initial_limits(two.child), initial_limits(two.parent)
    alone = {grant.id: Scope(grants=(grant,)) for grant in two.parent.grants}
    shares: dict[str, list[str]] = {}
    for share in answer.shares:
        shares.setdefault(share.child, []).append(share.parent)
    stages = _stages(two)
    now = Instant(0)
    for number in range(calls):
        now = Instant(now + chance.choice((0, 1, 30, 59, 60, 61)) * SECOND)
        child, in_force = stages[number * len(stages) // calls]
        tool, arguments, schema = call(chance, child)
        trees = [grant.tree for grant in child.by_tool.get(tool, ())]
        if not any(isinstance(meets_members(tree, arguments, schema), Match) for tree in trees):
            continue  # as `cover` would say, with reasons that nobody reads here
        covered = cover(child, tool, arguments, schema)
        if not isinstance(covered, Covered):
            continue
        paid = pay(covered, mine, now)
        if not isinstance(paid, Paid):
            continue
        _take(paid, mine)
        some = [alone[name] for name in shares[paid.grant] if name in in_force]
        if not _charged(some, (tool, arguments, schema), theirs, now):
            return f"{canonical_pair(two)}\ncall   {tool} {arguments}\nschema {schema}\npaid by {paid.grant}"
    return ""


def _stages(two: Pair) -> list[tuple[Scope, frozenset[str]]]:
    """Step by step, what the child may do and the parent's grants that are in force (rule 4 of `covers`)."""
    together = len(two.parent.steps) == len(two.child.steps)
    every = [frozenset(one.id for one in step.grants) for step in two.parent.in_force]
    if not two.child.steps:
        return [(two.child, every[0])]
    return [
        (Scope(grants=step.grants), every[number if together else 0])
        for number, step in enumerate(two.child.in_force)
    ]


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
