"""Whether a scope covers a call, which grants do, and what came nearest when none does.

1. A grant covers a call when it names the tool, every constrained argument is present
   (or optional and absent) and meets its constraint, every total can read its amount
   exactly, and nothing else is said.
2. *Closed world*: an argument that the grant doesn't mention is absent or holds the
   pinned schema's default, and so at every level that a path enters (``tree``); only
   ``others: "any"`` opens it. Without a schema there is no default.
3. Silence refuses: a tool that no grant in force names is not covered.
4. A miss is explained by the nearest grant: the one with the most arguments of the call
   accepted, then the fewest misses, then the first. The same call gets the same words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.scope.charge import Charge, Covered, Payer
from taskbound.core.scope.grant import Others
from taskbound.core.scope.limits import amounts_of
from taskbound.core.scope.miss import Missed, explain
from taskbound.core.scope.tree import is_default, meets_members
from taskbound.core.scope.verdict import Met, Unmet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.grant import Grant, Scope


def cover(
    scope: Scope,
    tool: str,
    arguments: Mapping[str, JsonValue],
    schema: Mapping[str, JsonValue] | None,
    *,
    step: int = 0,
) -> Covered | Missed:
    """Which grants cover this call; remainders are not looked at.

    Args:
        scope: The scope of the task.
        tool: The tool as the agent names it, ``server__tool``.
        arguments: The arguments as strict parsing gave them.
        schema: The pinned input schema of the tool, for its defaults.
        step: The step that is in force, counted from 0; a task that entered none is in the first.
    """
    in_force = scope.at(step)
    named = in_force.by_tool.get(tool, ())  # rule 3
    payers = [payer for grant in named if (payer := _payer(grant, arguments, schema)) is not None]
    if payers:
        return Covered(tool=tool, payers=tuple(payers))
    return explain(in_force, tool, arguments, schema)


def _payer(
    grant: Grant, arguments: Mapping[str, JsonValue], schema: Mapping[str, JsonValue] | None
) -> Payer | None:
    """What the grant would pay if it covers; the quick twin of `judge`, which a test holds equal."""
    if grant.deep:
        if not isinstance(meets_members(grant.tree, arguments, schema), Met):
            return None
        return _charged(grant, arguments) if grant.totals else grant.flat
    present = 0
    for name, constraint, required in grant.plan:
        if name in arguments:
            present += 1
            if not isinstance(constraint.permits(arguments[name]), Met):
                return None
        elif required:
            return None
    if present < len(arguments) and grant.others is Others.DEFAULT_ONLY:  # rule 2
        for name, value in arguments.items():
            if name not in grant.named and not is_default(schema, name, value):
                return None
    return _charged(grant, arguments) if grant.totals else grant.flat


def _charged(grant: Grant, arguments: Mapping[str, JsonValue]) -> Payer | None:
    amounts = amounts_of(grant.totals, arguments)
    if isinstance(amounts, Unmet):
        return None
    totals = [Charge(limit=one.key, amount=units, exponent=one.exponent) for one, units in amounts]
    return Payer(grant=grant.id, charges=(*grant.flat.charges, *totals), rates=grant.rates)
