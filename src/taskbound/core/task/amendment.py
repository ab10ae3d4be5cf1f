"""Giving a task another scope, and what that means for what it has used and what hangs beneath it.

1. The new scope is one that the old one covers, from the step on that the task is in. It has to be shown
   (`core.scope.algebra.covers`); whatever isn't is a widening, and none of it is done.
2. Limits of the new scope count for the whole task: what was used of a grant, or is still held beneath the
   task, is taken off each grant that comes of it. Then what is left must be within what was left: that is
   shown too, so that no way of writing a scope gives anything back. A rate goes on in the window it is in;
   one that can't be told from the old one begins with a full window of nothing.
3. A task whose steps have the same names stays in its step; any other is in the first one.
4. Each child is carved anew out of what its parent has left then. One that isn't covered any more is narrowed
   to what both permit, and so on below it; where that can't be shown either, it ends, with all beneath it.
5. A child that is amended gives back what it doesn't need, and is carved out of its parent anew: what it is
   widened by is taken from there, or it is not widened (law 3).
6. In a wider scope what was ever used stays used as well, also of grants that were gone (`spent`).
"""

from __future__ import annotations

from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.scope import map_grants, scope_ahead
from taskbound.core.scope.algebra import Carved, NotCovers, carve, covers, intersect, refund, with_limits
from taskbound.core.scope.grant import counted_limits
from taskbound.core.task.child import held
from taskbound.core.task.errors import NotWideningError, OutsideParentError, WideningError
from taskbound.core.task.remainders import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.scope import Scope
    from taskbound.core.task.remainders import Sources
    from taskbound.core.task.values import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """What becomes of a tree of tasks, as it is worked out."""

    tasks: dict[str, Task]
    """All that was not ended, as it is then; parents before their children."""
    left: dict[str, dict[str, int]]
    """By task: what each limit has left then; of the parent of the first too."""
    amended: list[str] = field(default_factory=list)
    """The tasks whose scope changed, the first of the tree last."""
    ended: list[str] = field(default_factory=list)
    """Children that could not be kept; what is beneath one ends with it."""

    def held(self, task: str) -> dict[str, int]:
        """What is not spent of each limit of the task."""
        return held(self.tasks[task], tuple(self.tasks.values()), self.left)


def amend_task(
    tree: Sequence[Task],
    above: Task | None,
    left: Mapping[str, Mapping[str, int]],
    scope: Scope,
    now: Instant,
) -> Amendment:
    """What becomes of a task that is given this scope, and of all beneath it.

    Args:
        tree: The task, and all that is not ended beneath it, parents before their children.
        above: Its parent, when it has one.
        left: By task, what each limit has left; of `above` too.
        scope: What it is to have.
        now: When.

    Raises:
        WideningError: It isn't shown to be narrower (rules 1, 2).
        OutsideParentError: Its parent doesn't cover it now.
    """
    return _amend(tree, above, left, lambda book: _narrow(book, tree[0], scope, now))


def widen_task(
    tree: Sequence[Task],
    above: Task | None,
    left: Mapping[str, Mapping[str, int]],
    scope: Scope,
    now: Instant,
) -> Amendment:
    """What becomes of a task that is given this scope, wider or not, and of all beneath it (rule 6).

    Who may say so is no matter of this: see `core.approval.amendment`.

    Args:
        tree: The task, and all that is not ended beneath it, parents before their children.
        above: Its parent, when it has one.
        left: By task, what each limit has left; of `above` too.
        scope: What it is to have.
        now: When.

    Raises:
        OutsideParentError: Its parent doesn't cover it, or has too little left.
    """
    return _amend(tree, above, left, lambda book: _widen(book, tree[0], scope, now))


def require_widening(
    tree: Sequence[Task],
    above: Task | None,
    left: Mapping[str, Mapping[str, int]],
    scope: Scope,
    now: Instant,
) -> None:
    """Go on only with a scope that can't be given to the task at once, as a narrower one.

    Raises:
        NotWideningError: It can: nobody has to approve it.
        OutsideParentError: Its parent doesn't cover it now.
    """
    try:
        amend_task(tree, above, left, scope, now)
    except WideningError:
        return
    raise NotWideningError(f"it is narrower than what task `{tree[0].id}` has: nobody has to approve it")


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
    """Give the task the scope, and see to what is beneath it; or what stands in the way, in words."""
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
    """Give the task the scope, whatever it permits, and see to what is beneath it (rule 6)."""
    step = step_kept(task.scope, scope, task.step)  # 3
    then = rows_of(task, scope, step, book.held(task.id), now, None)
    _give(book, replace(task, scope=scope, step=step, over=then.over, spent=then.spent), then.rows, now)


def _give(book: Amendment, task: Task, rows: Mapping[str, int], now: Instant) -> None:
    """Write the amended task into the book, and see to what is beneath it."""
    book.tasks[task.id] = replace(
        task, scope_version=task.scope_version + 1, since=now, version=task.version + 1
    )
    book.left[task.id] = dict(rows)
    for child in [one for one in book.tasks.values() if one.parent == task.id]:
        _keep(book, child, now)
    book.amended.append(task.id)


def _keep(book: Amendment, child: Task, now: Instant) -> None:
    """Hang a child beneath its amended parent, as it is, narrowed, or not at all (rule 4)."""
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
    """Carve what the child holds out of what its parent has left, if that is shown to fit."""
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
    """The step in which a task that is in this one is once it has the new scope (rule 3)."""
    return step if [one.name for one in old.steps] == [one.name for one in new.steps] else 0
