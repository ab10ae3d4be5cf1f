"""What calls have in common: which places of their arguments were filled, with which values, how often.

1. An object is entered, a list is entered for each of its items; all else is a place with values.
   So is an object or a list that can't be entered: it is empty throughout, of several kinds, the same list
   each time, or has a name that no path can say.
2. A place that some calls left out, while what is around it was there, is optional.
3. A member that only ever held the default of the pinned schema is not mentioned: it stays at its default.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.errors import ScopeSyntaxError
from taskbound.core.scope.path import Items, parse_argument_path, path_of
from taskbound.core.scope.place import Place
from taskbound.core.scope.same import same
from taskbound.core.scope.tree import schema_of_items, schema_of_member

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.path import ArgumentPath, Step

    Schema = Mapping[str, JsonValue] | None


MAX_PLACES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCall:
    """One call that was made, or is meant to be made."""

    tool: str
    arguments: Mapping[str, JsonValue]
    task: str = ""
    """The task in which it was made; calls that are only meant are all of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One place, and every value that stood there."""

    path: ArgumentPath
    values: tuple[JsonValue, ...]
    """As often as they were seen."""
    calls: int
    """How many of the calls were looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All places of some calls."""

    seen: list[Seen] = field(default_factory=list)
    optional: list[tuple[ArgumentPath, int, int]] = field(default_factory=list)
    """(path, how often it was there, of how many) of what was left out at times (rule 2)."""
    defaults: list[ArgumentPath] = field(default_factory=list)
    """What only ever held its default (rule 3)."""
    whole: frozenset[str] = frozenset()
    spoken: frozenset[str] = frozenset()


def observe(
    calls: Sequence[Mapping[str, JsonValue]],
    schema: Schema,
    *,
    whole: frozenset[str] = frozenset(),
    spoken: frozenset[str] = frozenset(),
) -> Observed | None:
    """The places of these calls' arguments; ``None`` when no grant can say them one by one.

    Args:
        calls: The arguments of each.
        schema: The pinned input schema of their tool, for its defaults.
        whole: Paths of objects and lists that are not entered.
        spoken: Paths that are mentioned although they were only ever at their default.
    """
    found = Observed(whole=whole, spoken=spoken)
    if not _are_sayable((), calls):
        return None
    _members((), calls, schema, found, len(calls))
    return found if len(found.seen) <= MAX_PLACES and len(found.optional) <= MAX_PLACES else None


def _members(
    steps: tuple[Step, ...],
    objects: Sequence[Mapping[str, JsonValue]],
    schema: Schema,
    found: Observed,
    calls: int,
) -> None:
    for name in sorted({name for one in objects for name in one}):
        if len(found.seen) > MAX_PLACES:
            return
        values = [one[name] for one in objects if name in one]
        about = schema_of_member(schema, name)
        path = path_of((*steps, name))
        quiet = about is not None and "default" in about and path.text not in found.spoken
        if quiet and about is not None and all(same(about["default"], one) for one in values):
            found.defaults.append(path)  # 3
            continue
        if len(values) < len(objects):
            found.optional.append((path, len(values), len(objects)))  # 2
        _value((*steps, name), values, about, found, calls)


def _value(
    steps: tuple[Step, ...], values: Sequence[JsonValue], schema: Schema, found: Observed, calls: int
) -> None:
    path = path_of(steps)
    if path.text in found.whole:
        found.seen.append(Seen(path=path, values=tuple(values), calls=calls))
        return
    objects = [one for one in values if isinstance(one, dict)]
    lists = [one for one in values if isinstance(one, list)]
    if len(objects) == len(values) and any(objects) and _are_sayable(steps, objects):
        before = (len(found.seen), len(found.optional), len(found.defaults))
        _members(steps, objects, schema, found, calls)
        if len(found.seen) > before[0]:
            return
        del (
            found.optional[before[1] :],
            found.defaults[before[2] :],
        )  # nothing below would say that it is there
    items = [item for one in lists for item in one]
    constant = all(same(values[0], one) for one in values[1:])
    if len(lists) == len(values) and items and not constant and _is_sayable((*steps, Items.EACH)):
        _value((*steps, Items.EACH), items, schema_of_items(schema), found, calls)
        return  # an item is always seen, as a whole if not by its members
    found.seen.append(Seen(path=path, values=tuple(values), calls=calls))


def _are_sayable(steps: tuple[Step, ...], objects: Sequence[Mapping[str, JsonValue]]) -> bool:
    names = {name for one in objects for name in one}
    return len(names) <= MAX_PLACES and all(_is_sayable((*steps, name)) for name in names)


def _is_sayable(steps: tuple[Step, ...]) -> bool:
    """Whether a scope can name this place."""
    if "" in steps:
        return False
    path = path_of(steps)
    try:
        return parse_argument_path(path.text, Place()).steps == steps
    except ScopeSyntaxError:
        return False
