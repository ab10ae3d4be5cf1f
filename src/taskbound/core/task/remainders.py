"""What each limit of an amended task has left, and what was used beyond it.

1. Limits of the new scope count for the whole task: what was used of a grant is taken off each grant that
   comes of it. A rate goes on in its window; nothing is left of what only a step that is past could use.
2. What was used of a grant, in any step, is taken off the grant of the same calls; what was used of one that
   has none is taken off every grant that isn't shown to share no call with it. Where that is more than the
   new limit, the rest is remembered with the task, so that no row of amendments, narrower and wider again,
   forgets it.
3. Money counts as money, however a total says it: in the new one's decimal places, a part of one counts
   whole, and only two currencies that one argument names are apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.scope import initial_limits, scope_ahead
from taskbound.core.scope.algebra.apart import are_apart
from taskbound.core.scope.grant import counted_limits
from taskbound.core.scope.number import INT64_MAX, power_of_ten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.scope import Grant, Scope
    from taskbound.core.scope.limits import Total
    from taskbound.core.task.values import Task

__all__ = ["Sources", "rows_of"]

Sources: TypeAlias = "dict[str, list[Grant]]"
"""By grant of the new scope: those of the old one whose place it takes."""


def rows_of(
    task: Task, scope: Scope, step: int, unspent: Mapping[str, int], now: Instant, shared: Sources | None
) -> tuple[dict[str, int], tuple[tuple[str, int], ...]]:
    """What each limit of the new scope has left, and what was ever used beyond it (rules 1 and 2).

    Args:
        task: As it is.
        scope: What it is to have.
        step: The step of it that the task will be in.
        unspent: What of each limit that it has is not spent.
        now: When.
        shared: Of a narrowing: by grant of the new scope, those of the old one that it is shown to be within.
    """
    rows, whole, past = initial_limits(scope), counted_limits(task.scope), dict(task.over)
    spent = {limit: max(0, amount - unspent.get(limit, 0)) for limit, amount in whole.items()}
    ever = {limit: amount + past.get(limit, 0) for limit, amount in spent.items()}
    heirs = _heirs(task.scope, scope)
    ahead = {grant.id for grant in scope_ahead(scope, step).grants}
    over: dict[str, int] = {}
    for grant in scope.grants:
        sources = heirs[grant.id] if shared is None else shared.get(grant.id, [])
        every = {one.id: one for one in (*heirs[grant.id], *sources)}.values()
        used = _used(grant, sources, ever if shared is None else spent)
        for limit, amount in _used(grant, every, ever).items():
            permitted = rows[limit]
            rows[limit] = (
                max(0, permitted - used[limit]) if grant.id in ahead else 0
            )  # of a past step: nothing
            if amount > permitted - rows[limit]:
                over[limit] = amount - permitted + rows[limit]
        if grant.id in ahead:
            _keep_rates(rows, grant, sources, unspent, now)
        else:
            rows |= {rate.key: 0 for rate in grant.rates}
    return rows, tuple(sorted(over.items()))


def _used(grant: Grant, sources: Iterable[Grant], spent: Mapping[str, int]) -> dict[str, int]:
    """By limit of the grant: what was used of it by these, whose place it takes."""
    used: dict[str, int] = {}
    known = tuple(sources)
    if grant.uses is not None:
        used[grant.uses_key] = sum(spent[one.uses_key] for one in known if one.uses is not None)
    for total in grant.totals:
        used[total.key] = sum(
            _in_units_of(total, one, spent[one.key])
            for source in known
            for one in source.totals
            if one.path == total.path and not _is_other_money(one, total)
        )
    return {limit: min(amount, INT64_MAX) for limit, amount in used.items()}


def _in_units_of(total: Total, one: Total, spent: int) -> int:
    """What was spent of the one in minor units of the other, rounded up (rule 3)."""
    if total.exponent >= one.exponent:
        return spent * power_of_ten(total.exponent - one.exponent)
    return -(-spent // power_of_ten(one.exponent - total.exponent))


def _is_other_money(one: Total, total: Total) -> bool:
    """Whether no call counts for both (rule 3)."""
    return one.selector is not None and one.selector == total.selector and one.currency != total.currency


def _keep_rates(
    rows: dict[str, int], grant: Grant, sources: Sequence[Grant], left: Mapping[str, int], now: Instant
) -> None:
    """A rate goes on in its window; one that is not the old one opens a window with nothing in it."""
    limited = any(source.rates for source in sources)
    for rate in grant.rates:
        same = [one for source in sources for one in source.rates if one.seconds == rate.seconds]
        if len(sources) == 1 and same:
            used = same[0].uses - left.get(same[0].key, 0)
            rows[rate.key] = max(0, rate.uses - used)
            rows[rate.opened_key] = left.get(same[0].opened_key, now)
        elif limited:
            rows[rate.key], rows[rate.opened_key] = 0, now


def _heirs(old: Scope, new: Scope) -> Sources:
    """By grant of the new scope: those of the old one, past steps too, of which it goes on (rule 2)."""
    calls = {grant.id: canonical(grant.coverage()) for grant in new.grants}
    sources: Sources = {name: [] for name in calls}
    for grant in old.grants:
        mine = canonical(grant.coverage())
        if calls.get(grant.id) == mine:
            heirs = [grant.id]
        else:
            heirs = [name for name, theirs in calls.items() if theirs == mine]
        for name in heirs or [one.id for one in new.grants if not are_apart(grant, one)]:
            sources[name].append(grant)
    return sources
