"""Whether two grants are shown to share no call.

1. Two grants of other tools share none. Of one tool they share none when each asks for the same argument, as
   a whole, by rules that exclude each other: a call of both would have to give it two values.
2. "No" is no proof of the opposite: what isn't shown to be apart is taken as if it shared all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.scope.constraints.containment import Excluded

if TYPE_CHECKING:
    from taskbound.core.scope.grant import Grant


def are_apart(one: Grant, two: Grant) -> bool:
    """Whether no call is shown to be covered by both."""
    if one.tool != two.tool:
        return True
    theirs = {name: rule for name, rule, required in two.plan if required}
    return any(
        required and name in theirs and isinstance(rule.excludes(theirs[name]), Excluded)
        for name, rule, required in one.plan
    )
