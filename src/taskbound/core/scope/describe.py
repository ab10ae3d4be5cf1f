"""A scope in plain words, one line a grant, for the person who answers for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.scope.grant import Others
from taskbound.core.scope.number import write_amount
from taskbound.core.scope.path import Items, label

if TYPE_CHECKING:
    from taskbound.core.scope.grant import Grant, Scope
    from taskbound.core.scope.path import ArgumentPath


def describe(scope: Scope) -> tuple[str, ...]:
    """What the scope permits, one line for each grant; breadth is named as such."""
    if not scope.steps:
        return tuple(describe_grant(grant) for grant in scope.grants)
    lines: list[str] = []
    for step in scope.steps:
        kept = ", and what the step before could" if step.keep else ""
        lines += [f"in step `{step.name}`{kept}: {describe_grant(grant)}" for grant in step.grants]
    return tuple(lines)


def describe_grant(grant: Grant) -> str:
    """What one grant permits."""
    parts = [f"{grant.id}: may call `{grant.tool}`{_often(grant)}"]
    for path, constraint in grant.arguments:
        gap = ", or left out" if path in grant.optional and constraint.kinds else ""
        parts.append(f"with {_name(path)} {constraint.describe(path.hint)}{gap}")
    if grant.others is Others.ANY:
        parts.append("and any other argument, whatever it holds (broad)")
    else:
        parts.append("every other argument left out or at its default")
    parts += [
        f"{_name(total.path)} adding up to at most {write_amount(total.limit, total.exponent)}"
        + (f" {total.currency}" if total.currency else "")
        for total in grant.totals
    ]
    parts += [
        f"at most {rate.uses} in a window of {rate.seconds} seconds, so {2 * rate.uses} in any span as long"
        for rate in grant.rates
    ]
    return "; ".join(parts)


def _name(path: ArgumentPath) -> str:
    name = f"`{label(path.steps)}`"
    return f"each {name} (there may be none)" if Items.EACH in path.steps else name


def _often(grant: Grant) -> str:
    match grant.uses:
        case None:
            return " any number of times"
        case 1:
            return " once"
        case uses:
            return f" up to {uses} times"
