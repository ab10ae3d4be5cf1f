"""Amending a task: another scope, its next step, its children, and what of its limits is left.

Of `amendment`:

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

Of `child`:

1. A child is covered by what its parent permits in the step that it is in, and has left; its limits are
   carved out of the parent's: splitting multiplies nothing (law 3). It ends no later than its parent.
2. A line has at most 16 tasks, a tree at most 500 that are not ended: ending one is one transaction.
3. What is spent of a child is what it was carved with, less what it and all beneath it still hold. What is
   open or unknown is spent.
4. When a child ends, what isn't spent goes back to its parent, from the deepest upward, and goes on from
   there when the parent ends too. What is told of it later (a call that was not sent) goes back to nobody.
5. A task is handed on by the one who asked for it, or by the owner of its agent.

Of `wider`:

1. Each tool by itself, in what is ahead of the step that the task is in: a tool is widened whose grants in
   the new scope are not shown to be within those of the old one, all of them together.
2. Where no tool is shown to be widened, each is taken to be: it is not narrower as a whole, by something that
   no tool shows by itself.

Of `step`:

1. Forward only, one step at a time: there is no event that goes back, for nobody. Whoever names a step names
   the next one, so that two who enter it at once enter it once.
2. What the step before granted is gone unless the step says `keep` (`core.scope`). Limits are the task's:
   what was used of one that is kept stays used.
3. It is a change of the task like any other: what was judged before it is judged again.

Of `remainders`:

1. Limits of the new scope count for the whole task. Of a narrower one, what was used of a grant is taken off
   each grant that is shown to be within it. Of a wider one, all that was ever spent of the task is taken
   off, as `spent` says. A rate goes on in its window; nothing is left of what only a past step could use.
2. What was spent is kept with the task, also of grants that it has no more: no row of amendments, narrower
   and wider again, forgets it. With it is kept what each limit was given, so that what is spent from now on
   is told from that.
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
    from taskbound.core.task.spent import Spent
    from taskbound.core.task.values import Task


DEPTH: Final = 16
"""Tasks from the first of a tree to the deepest."""
LIVING: Final = 500
"""Tasks of a tree that are not ended."""


def require_in_charge(task: Task, owner: str, person: str) -> None:
    """Go on only for the one who asked for the task, or the owner of its agent (rule 5).

    Raises:
        NotInChargeError: It is another person.
    """
    if person not in {task.requester, owner}:
        raise NotInChargeError(
            f"task `{task.id}` was asked for by `{task.requester}`, and its agent is `{owner}`'s"
        )


def require_room(lineage: Sequence[Task], living: int) -> None:
    """Go on only when another task may stand beneath the first of this lineage (rule 2).

    Raises:
        TreeTooLargeError: It may not.
    """
    if len(lineage) >= DEPTH:
        raise TreeTooLargeError(f"a line of tasks has at most {DEPTH}")
    if living >= LIVING:
        raise TreeTooLargeError(f"a tree has at most {LIVING} tasks that are not ended")


def deadline_of(parent: Task, lifetime: int, now: Instant) -> Instant:
    """When a child ends that is to live so many seconds; 0 for as long as its parent (rule 1).

    Raises:
        LongerThanParentError: That is after its parent.
    """
    if not lifetime:
        return parent.deadline
    deadline = Instant(now + seconds(lifetime))
    if deadline > parent.deadline:
        raise LongerThanParentError(f"the child would live longer than its parent `{parent.id}`")
    return deadline


def held(task: Task, living: Sequence[Task], left: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """What of each limit of a task is not spent: its remainder, and what its children would give back.

    Args:
        task: The task.
        living: It and all that is not ended beneath it.
        left: By task, what each limit has left.
    """
    amounts = dict(left[task.id])
    for child in living:
        if child.parent == task.id:
            for limit, amount in _returned(child, task, held(child, living, left)).items():
                amounts[limit] = amounts.get(limit, 0) + amount
    return amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunds:
    """What goes back when tasks end."""

    left: Mapping[tuple[str, str], tuple[int, int]]
    """By (task, limit): what was left, and is then."""
    returned: Mapping[str, Mapping[str, int]]
    """By child: how much of each limit of its parent went back."""


def refunds(ending: Sequence[Task], above: Task | None, left: Mapping[str, Mapping[str, int]]) -> Refunds:
    """What goes back when these tasks end at once (rule 4).

    Args:
        ending: A task, and all that is not ended beneath it, parents before their children.
        above: The parent of the first, when it has one.
        left: By task, what each limit has left; of `above` too.
    """
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
    """By limit of the parent: what of its share the child has not spent."""
    spent = {limit: max(0, amount - unspent.get(limit, 0)) for limit, amount in child.base}
    return refund(parent.scope, child.scope, spent, child.shares)


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


def widened_tools(before: Scope, step: int, after: Scope) -> tuple[str, ...]:
    """The tools, in order, of which a task in this step is let call more by the scope that it is to have."""
    old, new = scope_ahead(before, step), scope_ahead(after, step_kept(before, after, step))
    tools = tuple(sorted(tools_of(new)))
    wider = tuple(one for one in tools if not isinstance(covers(_of(old, one), _of(new, one)), Covers))  # 1
    return wider or tools  # 2


def _of(scope: Scope, tool: str) -> Scope:
    """What of the scope is about this tool."""
    steps = tuple(
        replace(one, grants=tuple(each for each in one.grants if each.tool == tool)) for one in scope.steps
    )
    return Scope(grants=tuple(each for each in scope.grants if each.tool == tool), steps=steps)


def step_name(task: Task) -> str:
    """The name of the step that the task is in; empty when its scope has no steps."""
    return task.scope.steps[task.step].name if task.scope.steps else ""


def enter_step(task: Task, name: str, now: Instant) -> Task:
    """The task in its next step (rule 1).

    Args:
        task: The task.
        name: The name of the next step; empty for whichever it is.
        now: When.

    Raises:
        NoStepError: It is in the last one.
        NotNextStepError: The next one has another name.
    """
    ahead = task.scope.steps[task.step + 1 :]
    if not ahead:
        raise NoStepError(f"task `{task.id}` has no further step")
    if name and ahead[0].name != name:
        raise NotNextStepError(f"the next step of task `{task.id}` is `{ahead[0].name}`, and not `{name}`")
    return replace(task, step=task.step + 1, since=now, version=task.version + 1)
