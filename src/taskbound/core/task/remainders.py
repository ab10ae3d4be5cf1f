"""What each limit of an amended task has left, and what of it is remembered for the next amendment.

1. Limits of the new scope count for the whole task. Of a narrower one, what was used of a grant is taken off
   each grant that is shown to be within it. Of a wider one, all that was ever spent of the task is taken
   off, as `spent` says. A rate goes on in its window; nothing is left of what only a past step could use.
2. What was spent is kept with the task, also of grants that it has no more: no row of amendments, narrower
   and wider again, forgets it. With it is kept what each limit was given, so that what is spent from now on
   is told from that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.scope import initial_limits, scope_ahead
from taskbound.core.scope.grant import counted_limits
from taskbound.core.task.spent import account, heirs, kept, spent_of, used_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.scope import Grant, Scope
    from taskbound.core.task.spent import Spent
    from taskbound.core.task.values import Task


Sources: TypeAlias = "dict[str, list[Grant]]"
"""By grant of the new scope: those of the old one that it is shown to be within."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainders:
    """What becomes of the limits of a task."""

    rows: Mapping[str, int]
    """By row of a limit: what it holds."""
    over: tuple[tuple[str, int], ...]
    """`Task.over` then."""
    spent: tuple[Spent, ...]
    """`Task.spent` then."""


def rows_of(
    task: Task, scope: Scope, step: int, unspent: Mapping[str, int], now: Instant, shared: Sources | None
) -> Remainders:
    """What becomes of the limits of a task that is given this scope.

    Args:
        task: As it is.
        scope: What it is to have.
        step: The step of it that the task will be in.
        unspent: What of each limit that it has is not spent.
        now: When.
        shared: Of a narrowing: by grant of the new scope, those of the old one that it is shown to be within.
    """
    rows, permitted = initial_limits(scope), counted_limits(scope)
    entries = account(task, unspent, now)
    counted = heirs(entries.values(), scope)
    whole = counted_limits(task.scope)
    living = {grant.id: spent_of(grant, whole, unspent) for grant in task.scope.grants}
    keys = {one.key for one in living.values()}
    ahead = {grant.id for grant in scope_ahead(scope, step).grants}
    over: dict[str, int] = {}
    for grant in scope.grants:
        if shared is None:
            sources = counted[grant.id]
            used = used_of(grant, sources)
        else:
            some = [living[one.id] for one in shared.get(grant.id, ())]
            sources = [entries[one.key] for one in some]
            used = used_of(grant, some)
        for limit, amount in used.items():
            rows[limit] = max(0, permitted[limit] - amount) if grant.id in ahead else 0  # 1
            if rows[limit] != permitted[limit]:
                over[limit] = rows[limit] - permitted[limit]  # 2
        if grant.id in ahead:
            _keep_rates(rows, grant, [one for one in sources if one.key in keys or one.windows], now)
        else:
            rows |= {rate.key: 0 for rate in grant.rates}
    return Remainders(rows=rows, over=tuple(sorted(over.items())), spent=kept(entries.values(), scope, now))


def _keep_rates(rows: dict[str, int], grant: Grant, sources: Sequence[Spent], now: Instant) -> None:
    """A rate goes on in its window; one that is not the old one opens a window with nothing in it."""
    limited = any(source.windows for source in sources)
    for rate in grant.rates:
        if len(sources) == 1 and rate.seconds in sources[0].windows:
            opened, used = sources[0].windows[rate.seconds]
            rows[rate.key] = max(0, rate.uses - used)
            rows[rate.opened_key] = opened
        elif limited:
            rows[rate.key], rows[rate.opened_key] = 0, now
