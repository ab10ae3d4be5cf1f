"""Examples, differences, intersections and shares of scopes.

1. `witness` tries at most 2,000 calls with values that the constraints name, their bounds and a step beyond.
   Each is judged by `cover`, so an example is never wrong; none may be found.
2. `are_apart`: two grants of a tool share no call if both require the same argument, as a whole, with rules
   that exclude each other. Not shown counts as sharing.
3. `carve`: the child gets its limits whole and the parent loses the most that each grant may take. Rates are
   compared and not taken; the child's calls are charged to its ancestors' rates. An uncovered child carves
   nothing. `refund` returns each share less the most that what was spent can have cost.
4. `difference`: each grant is compared with the whole other scope; the direction follows from `covers` both
   ways. A change not shown to be narrower counts as wider and needs an approval.
5. `intersect`: the result is covered by both scopes and shares out their limits in the order of the first
   scope's grants (law 3). What cannot be written exactly is left out and named in ``dropped``. Of a scope in
   steps the first step counts.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from enum import Enum
from itertools import islice, product
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra.containment import Covers, NotCovers, covers, gaps
from taskbound.core.scope.algebra.meet import Unmeetable, meet_trees
from taskbound.core.scope.algebra.places import Gap, shared_limits, takes
from taskbound.core.scope.constraints.constraint import Excluded
from taskbound.core.scope.cover import cover
from taskbound.core.scope.grant import MAX_GRANTS, Others, Scope, counted_limits, initial_limits, parse_scope
from taskbound.core.scope.limits import Covered
from taskbound.core.scope.path import Items
from taskbound.core.scope.show import ScopeSyntaxError
from taskbound.core.scope.values import Match
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.algebra.containment import Share
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.grant import Grant
    from taskbound.core.scope.path import ArgumentPath, Step

    Form = dict[str, JsonValue]


_TRIES: Final = 2_000
_EACH: Final = 12
_LEFT_OUT: Final = object()
_PLAIN: Final[tuple[JsonValue, ...]] = (
    "x",
    1,
    0,
    True,
    None,
    [],
    {},
    "/x",
    "2026-01-01T00:00:00Z",
    ["x"],
    [1],
)


def witness(grant: Grant, other: Scope) -> dict[str, JsonValue] | None:
    """Returns arguments that the grant covers and the other scope does not, or None."""
    alone = Scope(grants=(grant,))
    near: dict[ArgumentPath, list[Constraint]] = {}
    for one in other.by_tool.get(grant.tool, ()):
        for path, rule in one.arguments:
            near.setdefault(path, []).append(rule)
    options = [
        (path, (*islice(_values(rule, near.get(path, [])), _EACH), *_without(grant, path)))
        for path, rule in grant.arguments
    ]
    for chosen in islice(product(*(values for _, values in options)), _TRIES):  # rule 1
        arguments: dict[str, JsonValue] = {}
        for (path, _), value in zip(options, chosen, strict=True):
            if value is not _LEFT_OUT:
                _put(arguments, path.steps, deepcopy(value))  # type: ignore[arg-type]  # JSON, the mark apart
        for call in (arguments, {**arguments, "another": "x"}):
            if isinstance(cover(alone, grant.tool, call, None), Covered) and not isinstance(
                cover(other, grant.tool, call, None), Covered
            ):
                return call
    return None


def _without(grant: Grant, path: ArgumentPath) -> tuple[object, ...]:
    return (_LEFT_OUT,) if path in grant.optional else ()


def _values(rule: Constraint, others: list[Constraint]) -> Iterator[JsonValue]:
    known = [value for value in _edges((rule, *others)) if isinstance(rule.permits(value), Match)]
    known.sort(key=lambda value: sum(isinstance(one.permits(value), Match) for one in others))
    yield from known


def _edges(rules: tuple[Constraint, ...]) -> Iterator[JsonValue]:
    for rule in rules:
        yield from rule.choices() or ()
        yield from _named(rule.value())
    yield from _PLAIN


def _named(value: JsonValue) -> Iterator[JsonValue]:
    match value:
        case bool() | None:
            return
        case int() | float():
            yield from (value, value + 1, value - 1)
        case str():
            yield from (value, value + "x", value.rstrip("/") + "/x")
        case list():
            for item in value:
                yield from _named(item)
            yield value
        case dict():
            for item in value.values():
                yield from _named(item)


def _put(into: dict[str, JsonValue], steps: tuple[Step, ...], value: JsonValue) -> None:
    here: JsonValue = into
    for step, after in zip(steps, (*steps[1:], None), strict=True):
        fresh: JsonValue = value if after is None else [] if after is Items.EACH else {}
        if isinstance(here, dict) and isinstance(step, str):
            here = here.setdefault(step, fresh)
        elif isinstance(here, list):
            if not here:
                here.append(fresh)
            here = here[0]


def are_apart(one: Grant, two: Grant) -> bool:
    """Returns whether no call is covered by both grants, as far as can be shown."""
    if one.tool != two.tool:
        return True
    theirs = {name: rule for name, rule, required in two.plan if required}
    return any(
        required and name in theirs and isinstance(rule.excludes(theirs[name]), Excluded)
        for name, rule, required in one.plan
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Carved(NoTruth):
    """The child's limits, and what the parent pays for them."""

    limits: Mapping[str, int]
    """What each limit of the child has at its start."""
    taken: Mapping[str, tuple[int, int]]
    """By limit of the parent that changes: what it had left, and has left now; compare-and-set."""
    shares: tuple[Share, ...]
    """Which grant of the child is charged to which of the parent: what is unused goes back there."""


def carve(parent: Scope, left: Mapping[str, int], child: Scope, *, step: int = 0) -> Carved | NotCovers:
    """Takes a child's limits from its parent; `left` is what the parent's locked limits have left."""
    answer = covers(parent, child, left=left, step=step)
    if isinstance(answer, NotCovers):
        return answer  # rule 3
    rates = {rate.key for grant in parent.grants for rate in grant.rates}  # rule 3
    taken = {
        limit: (before, answer.left[limit])
        for limit, before in left.items()
        if limit in answer.left and limit not in rates and answer.left[limit] != before
    }
    return Carved(limits=initial_limits(child), taken=taken, shares=answer.shares)


def refund(parent: Scope, child: Scope, spent: Mapping[str, int], shares: Sequence[Share]) -> dict[str, int]:
    """Returns what each parent limit gets back at the child's end; what `spent` lacks counts as spent."""
    wide = {grant.id: grant for grant in parent.grants}
    narrow = {grant.id: grant for grant in child.grants}
    back: dict[str, int] = {}
    for share in shares:
        above, below = wide.get(share.parent), narrow.get(share.child)
        if above is None or below is None:
            continue
        rates = {rate.key for rate in above.rates}
        cost = takes(with_limits(below, spent), replace(above, rates=()), whole=True)
        for limit, amount in share.taken:
            if limit not in rates and not isinstance(cost, Gap):
                back[limit] = back.get(limit, 0) + max(0, amount - cost.get(limit, amount))
    return {limit: amount for limit, amount in back.items() if amount}


def with_limits(grant: Grant, amounts: Mapping[str, int]) -> Grant:
    """Returns the grant with these uses and totals, also 0; limits not named stay."""
    uses = None if grant.uses is None else amounts.get(grant.uses_key, grant.uses)
    totals = tuple(replace(one, limit=amounts.get(one.key, one.limit)) for one in grant.totals)
    return replace(grant, uses=uses, totals=totals)


class Direction(Enum):
    """How the permitted calls changed."""

    SAME = "same"
    NARROWER = "narrower"
    WIDER = "wider"
    OTHER = "other"
    """Neither is shown to cover the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A grant that one of the two scopes does not cover."""

    grant: Grant
    against: Grant | None
    """The grant of the other scope that is nearest; ``None`` when none names the tool."""
    gaps: tuple[Gap, ...]
    """What is between the two; empty when only limits are."""
    example: dict[str, JsonValue] | None
    """Arguments that this grant covers and the other scope doesn't, when some were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The changes from one scope to another."""

    direction: Direction
    added: tuple[Change, ...]
    """The grants of the new scope that the old one doesn't cover, in order."""
    removed: tuple[Change, ...]
    """The grants of the old scope that the new one doesn't cover, in order."""


def difference(old: Scope, new: Scope) -> Difference:
    shrinks, grows = isinstance(covers(old, new), Covers), isinstance(covers(new, old), Covers)
    direction = {
        (True, True): Direction.SAME,
        (True, False): Direction.NARROWER,
        (False, True): Direction.WIDER,
        (False, False): Direction.OTHER,
    }[shrinks, grows]
    added = () if shrinks else _changes(new, old)  # what is covered as a whole adds nothing
    removed = () if grows else _changes(old, new)
    return Difference(direction=direction, added=added, removed=removed)


def _changes(one: Scope, other: Scope) -> tuple[Change, ...]:
    return tuple(
        _change(grant, other) for grant in one.grants if not isinstance(_covered(grant, other), Covers)
    )


def _covered(grant: Grant, other: Scope) -> object:
    return covers(other, Scope(grants=(grant,)))


def _change(grant: Grant, other: Scope) -> Change:
    named = other.by_tool.get(grant.tool, ())
    if not named:
        return Change(grant=grant, against=None, gaps=(), example=witness(grant, other))
    found = [(tuple(gaps(grant, one)), one) for one in named]
    between, nearest = min(found, key=lambda pair: len(pair[0]))
    return Change(grant=grant, against=nearest, gaps=between, example=witness(grant, other))


_PAIRS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Two grants of one tool whose intersection cannot be written."""

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
    theirs = second.at(0).by_tool  # rule 5
    for one in first.at(0).grants:
        for two in theirs.get(one.tool, ()):
            count += 1
            if count > _PAIRS:
                return
            yield one, two


def _read(form: Form) -> Grant | str:
    try:
        return parse_scope({"grants": [form]}).grants[0]
    except ScopeSyntaxError as error:
        return error.message
