"""Decides whether a call is a narrowing of a held one: the same call with lower amounts.

1. Only amounts that a total of the grant adds up may differ; the grant's author declared that less is
   narrower there. All else is equal, texts code point for code point.
2. One grant covers both calls, and its totals count every place that differs.
3. Each differing amount is lower and at least 0, and keeps its JSON type (number or text).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.approval.errors import NotNarrowerError
from taskbound.core.dataclass import dataclass
from taskbound.core.scope import NotCovered, cover
from taskbound.core.scope.limits import amounts_of
from taskbound.core.scope.path import label
from taskbound.core.scope.values import Mismatch, same

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.scope import Grant, Scope


Way: TypeAlias = "tuple[str | int, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that differs in the narrowed action."""

    way: Way
    """Names, and places in lists."""
    before: JsonValue
    after: JsonValue

    @property
    def place(self) -> str:
        return label(self.way)


def changes(before: JsonValue, after: JsonValue) -> tuple[Change, ...]:
    return tuple(_walk((), before, after))


def _walk(way: Way, before: JsonValue, after: JsonValue) -> Iterator[Change]:
    match before, after:
        case dict(), dict():
            for name in sorted(before.keys() ^ after.keys()):
                said = "adds" if name in after else "leaves out"
                raise NotNarrowerError(f"it {said} `{label((*way, name))}`")
            for name, value in before.items():
                yield from _walk((*way, name), value, after[name])
        case list(), list():
            if len(before) != len(after):
                raise NotNarrowerError(f"`{label(way)}` has {len(before)} items, and {len(after)} in it")
            for place, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from _walk((*way, place), one, other)
        case _:
            if not same(before, after):
                if _kind(before) is not _kind(after):
                    raise NotNarrowerError(f"`{label(way)}` is of another type in it")  # 3
                yield Change(way=way, before=before, after=after)


def _kind(value: JsonValue) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def require_narrower(
    scope: Scope,
    step: int,
    tool: str,
    schema: Mapping[str, JsonValue],
    *,
    before: Mapping[str, JsonValue],
    after: Mapping[str, JsonValue],
) -> tuple[Change, ...]:
    """Returns the changes from `before` to `after`; raises NotNarrowerError if a rule is broken."""
    found = changes(dict(before), dict(after))
    if not found:
        raise NotNarrowerError("it is the held action itself: approve that")
    covering = cover(scope, tool, before, schema, step=step)
    within = cover(scope, tool, after, schema, step=step)
    if isinstance(covering, NotCovered):
        raise NotNarrowerError("the scope does not cover the held action any more")
    if isinstance(within, NotCovered):
        raise NotNarrowerError(f"the scope does not cover it: {within.sentence}")
    both = {one.grant for one in covering.payers} & {one.grant for one in within.payers}  # 2
    reasons: list[str] = []
    for grant in scope.at(step).grants:
        if grant.id in both:
            why = _why_not(grant, found, before, after)
            if not why:
                return found
            reasons.append(why)
    raise NotNarrowerError(reasons[0] if reasons else "no grant covers it that covers the held action too")


def _why_not(
    grant: Grant, found: tuple[Change, ...], before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]
) -> str:
    held, narrowed = (_amounts(grant, one) for one in (before, after))
    if held is None or narrowed is None:
        return f"grant {grant.id} can't count its amounts"
    for one in found:
        was, now = held.get(one.way), narrowed.get(one.way)
        if was is None or now is None:
            return f"no total of grant {grant.id} counts `{one.place}`"
        if not 0 <= now < was:
            return f"`{one.place}` is not lower in it"
    return ""


def _amounts(grant: Grant, arguments: Mapping[str, JsonValue]) -> dict[tuple[object, ...], int] | None:
    counted = amounts_of(grant.totals, arguments)
    if isinstance(counted, Mismatch):
        return None
    return {one.path.steps: units for one, units in counted}


def change_words(found: tuple[Change, ...]) -> str:
    """Describes the changes in words; it shows no values except amounts (digits and a point)."""
    return ", ".join(f"`{one.place}` is {_said(one.after)} instead of {_said(one.before)}" for one in found)


def _said(value: JsonValue) -> str:
    return value if isinstance(value, str) else canonical(value).decode()
