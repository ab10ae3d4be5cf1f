"""What a scope and the rules answer together to one call, and what of the scope would change that.

1. A scope is looked at before the rules: what no grant covers is refused, whatever the rules say.
2. Without a scope the call is taken as covered, and the rules alone conclude.
3. The scope is one more thing that was read. It is changed like the others: without the grants that cover,
   or with one that does where none did, which leaves the call as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.policy.answer import Forbidden, conclude
from taskbound.core.policy.case_parts import words_of
from taskbound.core.policy.turning import Turn, Turns, turns
from taskbound.core.scope import Missed, cover
from taskbound.core.scope.describe import describe_grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.policy.answer import PolicyAnswer, PolicyConclusion, PolicyRequest, PolicyTrace
    from taskbound.core.scope import Covered, Scope


_OUTSIDE: Final = "outside-scope"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantsFor:
    """Which grants cover a call, or what kept the nearest from it."""

    covering: tuple[str, ...]
    """Each grant that covers in words, in the order in which they are to pay."""
    nearest: tuple[str, ...]
    """When none does: what missed, and what would have been covered, a sentence each."""


def grants_for(scope: Scope, request: PolicyRequest, *, step: int = 0) -> GrantsFor:
    """Which grants of the scope cover the call, or what came nearest."""
    found = _look(scope, request, step)
    if isinstance(found, Missed):
        return GrantsFor(covering=(), nearest=found.sentences)
    ids = [one.grant for one in found.payers]
    named = {one.id: describe_grant(one) for one in scope.grants if one.id in ids}
    return GrantsFor(covering=tuple(named[one] for one in ids), nearest=())


def conclude_within(
    scope: Scope | None, request: PolicyRequest, answer: PolicyAnswer, *, step: int = 0
) -> PolicyConclusion:
    """What follows from the scope and from the engine's answer (rules 1 and 2)."""
    found = None if scope is None else _look(scope, request, step)
    if isinstance(found, Missed):
        return Forbidden(code=_OUTSIDE, policies=(), details=found.sentences)
    return conclude(answer)


def turns_within(
    scope: Scope | None,
    request: PolicyRequest,
    trace: PolicyTrace,
    ask: Callable[[PolicyRequest], PolicyAnswer],
    *,
    step: int = 0,
) -> Turns:
    """What would change the answer to this request: of the scope, and of all that was read.

    Args:
        scope: The scope that the call is made under, if one is known.
        request: The request.
        trace: What the engine looked at for it.
        ask: The engine.
        step: The step of the scope that is in force.
    """
    if scope is None:
        return turns(request, trace, lambda one: conclude(ask(one)))
    grants = scope.at(step).by_tool.get(request.tool, ())
    constrained = {f"arguments/{name}": None for grant in grants for name in grant.tree.members}
    told = replace(trace, arguments=tuple({**dict.fromkeys(trace.arguments), **constrained}))
    more = turns(request, told, lambda one: conclude_within(scope, one, ask(one), step=step))
    return replace(more, found=(_turn_of_scope(scope, request, ask, step), *more.found))


def _turn_of_scope(
    scope: Scope, request: PolicyRequest, ask: Callable[[PolicyRequest], PolicyAnswer], step: int
) -> Turn:
    """The answer with the scope otherwise (rule 3)."""
    found = _look(scope, request, step)
    if isinstance(found, Missed):
        then = words_of(conclude(ask(request)))
        return Turn(what="scope", change="with a grant that covers it as it is", answer=then)
    ids = [one.grant for one in found.payers]
    named = "grant" if len(ids) == 1 else "grants"
    return Turn(what="scope", change=f"without {named} {', '.join(ids)}", answer=f"refuse, {_OUTSIDE}")


def _look(scope: Scope, request: PolicyRequest, step: int) -> Covered | Missed:
    return cover(scope, request.tool, request.arguments, request.schema, step=step)
