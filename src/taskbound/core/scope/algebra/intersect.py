"""What two scopes both permit, as a scope.

1. *Within both*: what comes out is covered by each of the two, its limits shared out. What can't be written
   exactly is left out, never let in, such as a list that may only be empty; it is named in ``dropped``.
2. A pair of grants of one tool meets path by path: both constraints hold, what one of them doesn't mention
   and leaves closed is left out, and what is asked for by either is asked for.
3. Limits are those that both have left: what went to one pair is gone for the next (law 3), in the
   order of the first scope's grants.
4. Of a scope in steps the first step counts: what comes out has no steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra.meet import Unmeetable, meet_trees
from taskbound.core.scope.algebra.shared import shared_limits
from taskbound.core.scope.errors import ScopeSyntaxError
from taskbound.core.scope.grant import Others, counted_limits
from taskbound.core.scope.parse import MAX_GRANTS, parse_scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.grant import Grant, Scope

    Form = dict[str, JsonValue]


_PAIRS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Two grants of one tool of which nothing could be written that both permit."""

    first: str
    """The id of the grant of the first scope."""
    second: str
    """The id of the grant of the second scope."""
    reason: str
    """Plain words, such as "`amount`: they exclude each other"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intersection:
    """What two scopes both permit."""

    scope: Scope | None
    """``None`` when there is nothing, or nothing that can be written."""
    dropped: tuple[Dropped, ...]


def intersect(first: Scope, second: Scope) -> Intersection:
    """The scope of what both permit, by the module's rules."""
    left = (counted_limits(first), counted_limits(second))
    forms: dict[bytes, Form] = {}
    dropped: list[Dropped] = []
    for one, two in _pairs(first, second):
        met = meet_trees(one.tree, two.tree)
        if isinstance(met, Unmeetable):
            dropped.append(Dropped(first=one.id, second=two.id, reason=met.reason))
            continue
        closed = Others.DEFAULT_ONLY in {one.others, two.others}
        form: Form = {"tool": one.tool, "arguments": dict(met.arguments), "optional": list(met.optional)}
        form["others"] = (Others.DEFAULT_ONLY if closed else Others.ANY).value
        limits = shared_limits(one, two, left)
        read = limits if isinstance(limits, str) else _read({**form, **limits.form})
        if isinstance(limits, str) or isinstance(read, str):
            dropped.append(Dropped(first=one.id, second=two.id, reason=str(read)))
            continue
        key = canonical(read.coverage())
        if key in forms:
            dropped.append(Dropped(first=one.id, second=two.id, reason="it says the same as another pair"))
            continue
        limits.take()
        forms[key] = {**form, **limits.form}
        if len(forms) == MAX_GRANTS:
            break
    scope = parse_scope({"grants": list(forms.values())}) if forms else None
    return Intersection(scope=scope, dropped=tuple(dropped))


def _pairs(first: Scope, second: Scope) -> Iterator[tuple[Grant, Grant]]:
    count = 0
    theirs = second.at(0).by_tool  # rule 4
    for one in first.at(0).grants:
        for two in theirs.get(one.tool, ()):
            count += 1
            if count > _PAIRS:
                return
            yield one, two


def _read(form: Form) -> Grant | str:
    """The grant that this form is, or why it is none."""
    try:
        return parse_scope({"grants": [form]}).grants[0]
    except ScopeSyntaxError as error:
        return error.message
