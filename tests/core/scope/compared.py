"""Calls of many scopes, by what covers them and what is charged, and by the rules written a second time.

Drawn by a seed: a parent and its child, both without steps and with constraints that `model` knows, and calls
of which half are made to fit a grant.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from taskbound.core.scope import Covered, Scope, cover
from tests.core.scope import model
from tests.core.scope.family import call, pair, seeded

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


PLAIN = {
    *("any", "equals", "one_of", "not_one_of", "range", "prefix", "below", "length"),
    *("each", "contains", "all_of", "any_of"),
}
"""Constraints that the plain rules know."""
CALLS = 40
"""Of each scope."""


def compare(first: int, calls: int) -> tuple[int, int]:
    """Compare so many calls, of scopes from this seed on: how many, and how many were covered.

    Raises:
        AssertionError: One is covered by others than the plain rules say, or charged otherwise.
    """
    compared = covered = 0
    for seed in count(first):
        chance = seeded(seed)
        two = pair(chance)
        for scope in (two.parent, two.child):
            written = {grant.id: grant.value() for grant in scope.grants}
            if scope.steps or not all(map(_is_plain, written.values())):
                continue
            for _ in range(CALLS):
                tool, arguments, schema = call(chance, scope)
                wanted = [
                    (name, _totals(name, one, arguments))
                    for name, one in written.items()
                    if model.covers(one, tool, arguments, schema)
                ]
                found = _found(scope, tool, arguments, schema)
                assert found == wanted, (seed, written, tool, arguments, schema)
                compared, covered = compared + 1, covered + bool(found)
        if compared >= calls:
            break
    return compared, covered


def _is_plain(grant: model.Json) -> bool:
    """Whether the plain rules know each of its constraints, and how its totals are counted."""
    totals = model.members(grant.get("total", {}))
    tags = {tag for rule in model.members(grant.get("arguments", {})).values() for tag in _tags(rule)}
    return tags <= PLAIN and all(
        "." not in path and model.members(one).keys() == {"limit", "exponent"} for path, one in totals.items()
    )


def _tags(rule: JsonValue) -> set[str]:
    """The tags of a constraint, and of those inside of it."""
    ((tag, body),) = model.members(rule).items()
    inner = body if tag in {"all_of", "any_of"} else [body] if tag in {"each", "contains"} else []
    assert isinstance(inner, list)
    return {tag}.union(*map(_tags, inner))


def _totals(name: str, grant: model.Json, arguments: model.Json) -> dict[str, int | None]:
    return {
        f"{name}/total/{path}": model.amount(arguments[path], model.members(about)["exponent"])
        for path, about in model.members(grant.get("total", {})).items()
    }


def _found(
    scope: Scope, tool: str, arguments: dict[str, JsonValue], schema: dict[str, JsonValue] | None
) -> list[tuple[str, dict[str, int]]]:
    match cover(scope, tool, arguments, schema):
        case Covered(payers=payers):
            return [
                (one.grant, {each.limit: each.amount for each in one.charges if "/total/" in each.limit})
                for one in payers
            ]
        case _:
            return []
