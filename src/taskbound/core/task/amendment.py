"""Amending a task: a new scope, its next step, its child tasks, and the remainders of its limits.

Of `amendment`:

1. A narrowing must be shown to be covered by the old scope from the current step on
   (`core.scope.algebra.covers`); anything else is a widening and is refused here.
2. New limits count for the whole task: earlier use is subtracted from each grant derived from the used one,
   and the remainder must be covered by the old remainder. A rate keeps its window; a rate without a known
   predecessor starts with an exhausted window.
3. A task keeps its step if the step names are equal; otherwise it restarts at the first.
4. Each child is carved anew out of the parent's remainder. A child no longer covered is narrowed to the
   intersection, recursively; if that cannot be shown, it ends with its descendants.
5. An amended child returns what it does not need and is carved anew; what it gains comes from the parent (law
   3).
6. In a wider scope all earlier use counts too, including that of removed grants (`spent`).

Of `child`:

1. The parent's current step and remainder cover a child; its limits are taken out of the parent's (law 3),
   and it ends no later than the parent.
2. At most 16 tasks deep and 500 open tasks per tree, because one transaction ends a tree.
3. A child spent what it was carved with, minus what it and its descendants still hold. Open or unknown
   actions are spent.
4. When tasks end, unspent amounts return to the parent, deepest first. A later report (a call that was not
   sent) refunds nothing.
5. Only the requester or the agent's owner may delegate a task.

Of `wider`:

1. A tool is widened if its new grants, from the current step on, are not shown to be covered by its old ones.
2. If no single tool shows a widening, all tools count as widened.

Of `step`:

1. Steps advance one at a time and never back. The caller names the next step, so concurrent callers enter it
   once.
2. Grants of the previous step are gone unless the step says `keep` (`core.scope`); limits and their use
   continue.
3. A step change makes earlier decisions stale.

Of `remainders`:

1. For a narrowing, use of a grant is subtracted from each grant covered by it; for a widening all use since
   the start is (`spent`). Rates keep their windows; grants only past steps could use have nothing left.
2. Use is stored with the task, also for removed grants, together with the limits as given, so no sequence of
   amendments resets it.
"""

from __future__ import annotations

from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.scope import Scope, initial_limits, map_grants, scope_ahead, tools_of
from taskbound.core.scope.algebra import (
    Carved,
    Covers,
    NotCovers,
    carve,
    covers,
    intersect,
    refund,
    with_limits,
)
from taskbound.core.scope.grant import counted_limits
from taskbound.core.task.errors import (
    LongerThanParentError,
    NoStepError,
    NotInChargeError,
    NotNextStepError,
    NotWideningError,
    OutsideParentError,
    TreeTooLargeError,
    WideningError,
)
from taskbound.core.task.spent import account, heirs, kept, spent_of, used_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.core.scope import Grant
    from taskbound.core.task.spent import GrantUsage
    from taskbound.core.task.values import Task


DEPTH: Final = 16
"""Tasks from the first of a tree to the deepest."""
LIVING: Final = 500
"""Tasks of a tree that are not ended."""


def require_in_charge(task: Task, owner: str, person: str) -> None:
    """Raises NotInChargeError unless the person is the requester or the agent's owner."""
    if person not in {task.requester, owner}:
        raise NotInChargeError(
            f"task `{task.id}` was asked for by `{task.requester}`, and its agent is `{owner}`'s"
        )


def require_room(lineage: Sequence[Task], living: int) -> None:
    """Raises TreeTooLargeError unless another task fits beneath the first of this lineage."""
    if len(lineage) >= DEPTH:
        raise TreeTooLargeError(f"a line of tasks has at most {DEPTH}")
    if living >= LIVING:
        raise TreeTooLargeError(f"a tree has at most {LIVING} tasks that are not ended")


def deadline_of(parent: Task, lifetime: int, now: Instant) -> Instant:
    """A child's deadline; `lifetime` is in seconds, 0 for the parent's. Raises LongerThanParentError."""
    if not lifetime:
        return parent.deadline
    deadline = Instant(now + seconds(lifetime))
    if deadline > parent.deadline:
        raise LongerThanParentError(f"the child would live longer than its parent `{parent.id}`")
    return deadline


def held(task: Task, living: Sequence[Task], left: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """The unspent part of each limit: the remainder, plus refunds from the children in `living`."""
    amounts = dict(left[task.id])
    for child in living:
        if child.parent == task.id:
            for limit, amount in _returned(child, task, held(child, living, left)).items():
                amounts[limit] = amounts.get(limit, 0) + amount
    return amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunds:
    """Amounts that return when tasks end."""

    left: Mapping[tuple[str, str], tuple[int, int]]
    """By (task, limit): what was left, and is then."""
    returned: Mapping[str, Mapping[str, int]]
    """By child: how much of each limit of its parent went back."""


def refunds(ending: Sequence[Task], above: Task | None, left: Mapping[str, Mapping[str, int]]) -> Refunds:
    """`ending` is a task with its open descendants, parents first; `left` includes the parent `above`."""
    parents = {one.id: one for one in (*ending, *((above,) if above else ()))}
    now = {task: dict(limits) for task, limits in left.items()}
    returned: dict[str, dict[str, int]] = {}
    for one in reversed(ending):
        parent = parents.get(one.parent)
        if parent is None:
            continue
        for limit, amount in _returned(one, parent, now[one.id]).items():
            if limit in now[parent.id]:
                now[parent.id][limit] += amount
                returned.setdefault(one.id, {})[limit] = amount
    changes = {
        (task, limit): (left[task][limit], amount)
        for task, limits in now.items()
        for limit, amount in limits.items()
        if amount != left[task][limit]
    }
    return Refunds(left=changes, returned=returned)


def _returned(child: Task, parent: Task, unspent: Mapping[str, int]) -> dict[str, int]:
    spent = {limit: max(0, amount - unspent.get(limit, 0)) for limit, amount in child.base}
    return refund(parent.scope, child.scope, spent, child.shares)


Sources: TypeAlias = "dict[str, list[Grant]]"
"""By grant of the new scope: those of the old one that it is shown to be within."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainders:
    """The new remainders of a task's limits."""

    rows: Mapping[str, int]
    """By row of a limit: what it holds."""
    over: tuple[tuple[str, int], ...]
    """`Task.over` then."""
    spent: tuple[GrantUsage, ...]
    """`Task.spent` then."""


def rows_of(
    task: Task, scope: Scope, step: int, unspent: Mapping[str, int], now: Instant, shared: Sources | None
) -> Remainders:
    """Remainders in a new scope; for a narrowing `shared` maps new grants to the old ones above them."""
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


def _keep_rates(rows: dict[str, int], grant: Grant, sources: Sequence[GrantUsage], now: Instant) -> None:
    limited = any(source.windows for source in sources)
    for rate in grant.rates:
        if len(sources) == 1 and rate.seconds in sources[0].windows:
            opened, used = sources[0].windows[rate.seconds]
            rows[rate.key] = max(0, rate.uses - used)
            rows[rate.opened_key] = opened
        elif limited:
            rows[rate.key], rows[rate.opened_key] = 0, now


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """The changes to a tree of tasks, as computed."""

    tasks: dict[str, Task]
    """All that was not ended, as it is then; parents before their children."""
    left: dict[str, dict[str, int]]
    """By task: what each limit has left then; of the parent of the first too."""
    amended: list[str] = field(default_factory=list)
    """The tasks whose scope changed, the first of the tree last."""
    ended: list[str] = field(default_factory=list)
    """Children that could not be kept; what is beneath one ends with it."""

    def held(self, task: str) -> dict[str, int]:
        return held(self.tasks[task], tuple(self.tasks.values()), self.left)


def amend_task(
    tree: Sequence[Task],
    above: Task | None,
    left: Mapping[str, Mapping[str, int]],
    scope: Scope,
    now: Instant,
) -> Amendment:
    """`tree` is the task with its open descendants, parents first; `left` includes the parent `above`."""
    return _amend(tree, above, left, lambda book: _narrow(book, tree[0], scope, now))


def widen_task(
    tree: Sequence[Task],
    above: Task | None,
    left: Mapping[str, Mapping[str, int]],
    scope: Scope,
    now: Instant,
) -> Amendment:
    """Gives a task any scope that its parent covers (rule 6); raises OutsideParentError. Arguments as above.

    Authorization is checked elsewhere: see `core.approval.amendment`.
    """
    return _amend(tree, above, left, lambda book: _widen(book, tree[0], scope, now))


def require_widening(
    tree: Sequence[Task],
    above: Task | None,
    left: Mapping[str, Mapping[str, int]],
    scope: Scope,
    now: Instant,
) -> None:
    """Raises NotWideningError if the scope is a narrowing, which needs no approval."""
    try:
        amend_task(tree, above, left, scope, now)
    except WideningError:
        return
    raise NotWideningError(f"it is narrower than what task `{tree[0].id}` has: it needs no approval")


def _amend(
    tree: Sequence[Task],
    above: Task | None,
    left: Mapping[str, Mapping[str, int]],
    give: Callable[[Amendment], str | None],
) -> Amendment:
    book = Amendment(
        tasks={one.id: one for one in tree}, left={task: dict(limits) for task, limits in left.items()}
    )
    first = tree[0]
    back: dict[str, int] = {}
    if above is not None:
        unspent = book.held(first.id)
        spent = {limit: max(0, amount - unspent.get(limit, 0)) for limit, amount in first.base}
        back = refund(above.scope, first.scope, spent, first.shares)
    problem = give(book)
    if problem is not None:
        raise WideningError(problem)
    if above is not None:
        for limit, amount in back.items():
            book.left[above.id][limit] += amount
        if not _hang(book, above, book.tasks[first.id]):
            raise OutsideParentError(
                f"task `{above.id}` does not cover it in the step that it is in, or has too little left"
            )  # 5
    return book


def _narrow(book: Amendment, task: Task, scope: Scope, now: Instant) -> str | None:
    step = step_kept(task.scope, scope, task.step)  # 3
    old, new = scope_ahead(task.scope, task.step), scope_ahead(scope, step)
    answer = covers(old, new)
    if isinstance(answer, NotCovers):
        return "; ".join(answer.sentences)  # 1
    unspent = book.held(task.id)
    before = {grant.id: grant for grant in old.grants}
    sources: Sources = {grant.id: [] for grant in new.grants}
    for one in answer.shares:
        if one.parent in before:
            sources[one.child].append(before[one.parent])
    then = rows_of(task, scope, step, unspent, now, sources)
    shown = covers(old, map_grants(new, partial(with_limits, amounts=then.rows)), left=unspent)
    if isinstance(shown, NotCovers):
        return "; ".join(shown.sentences)  # 2
    _give(book, replace(task, scope=scope, step=step, over=then.over, spent=then.spent), then.rows, now)
    return None


def _widen(book: Amendment, task: Task, scope: Scope, now: Instant) -> None:
    step = step_kept(task.scope, scope, task.step)  # 3
    then = rows_of(task, scope, step, book.held(task.id), now, None)
    _give(book, replace(task, scope=scope, step=step, over=then.over, spent=then.spent), then.rows, now)


def _give(book: Amendment, task: Task, rows: Mapping[str, int], now: Instant) -> None:
    book.tasks[task.id] = replace(
        task, scope_version=task.scope_version + 1, since=now, version=task.version + 1
    )
    book.left[task.id] = dict(rows)
    for child in [one for one in book.tasks.values() if one.parent == task.id]:
        _keep(book, child, now)
    book.amended.append(task.id)


def _keep(book: Amendment, child: Task, now: Instant) -> None:
    parent = book.tasks[child.parent]
    if _hang(book, parent, child):
        return
    narrowed = partial(with_limits, amounts=book.left[parent.id])
    both = intersect(
        map_grants(scope_ahead(parent.scope, parent.step), narrowed), scope_ahead(child.scope, child.step)
    ).scope
    if both is not None and _narrow(book, child, both, now) is None:
        if _hang(book, parent, book.tasks[child.id]):
            return
        book.amended.remove(child.id)
    _end(book, child.id)


def _hang(book: Amendment, parent: Task, child: Task) -> bool:
    unspent = book.held(child.id)
    scope = map_grants(child.scope, partial(with_limits, amounts=unspent))
    carved = carve(parent.scope, book.left[parent.id], scope, step=parent.step)
    if not isinstance(carved, Carved):
        return False
    base = {limit: unspent.get(limit, 0) for limit in counted_limits(child.scope) if "/rate/" not in limit}
    book.tasks[child.id] = replace(
        child, base=tuple(sorted(base.items())), shares=carved.shares, version=child.version + 1
    )
    for limit, (_, after) in carved.taken.items():
        book.left[parent.id][limit] = after
    return True


def _end(book: Amendment, task: str) -> None:
    for below in [one.id for one in book.tasks.values() if one.parent == task]:
        _end(book, below)
    if task in book.amended:
        book.amended.remove(task)
    book.ended.append(task)
    del book.tasks[task]


def step_kept(old: Scope, new: Scope, step: int) -> int:
    """The step of the task after it gets the new scope."""
    return step if [one.name for one in old.steps] == [one.name for one in new.steps] else 0


def widened_tools(before: Scope, step: int, after: Scope) -> tuple[str, ...]:
    old, new = scope_ahead(before, step), scope_ahead(after, step_kept(before, after, step))
    tools = tuple(sorted(tools_of(new)))
    wider = tuple(one for one in tools if not isinstance(covers(_of(old, one), _of(new, one)), Covers))  # 1
    return wider or tools  # 2


def _of(scope: Scope, tool: str) -> Scope:
    steps = tuple(
        replace(one, grants=tuple(each for each in one.grants if each.tool == tool)) for one in scope.steps
    )
    return Scope(grants=tuple(each for each in scope.grants if each.tool == tool), steps=steps)


def step_name(task: Task) -> str:
    return task.scope.steps[task.step].name if task.scope.steps else ""


def enter_step(task: Task, name: str, now: Instant) -> Task:
    """Enters the next step, `name` if not empty; raises NoStepError or NotNextStepError."""
    ahead = task.scope.steps[task.step + 1 :]
    if not ahead:
        raise NoStepError(f"task `{task.id}` has no further step")
    if name and ahead[0].name != name:
        raise NotNextStepError(f"the next step of task `{task.id}` is `{ahead[0].name}`, and not `{name}`")
    return replace(task, step=task.step + 1, since=now, version=task.version + 1)
