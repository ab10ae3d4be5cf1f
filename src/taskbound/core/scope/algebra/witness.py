"""A call that one grant covers and another scope doesn't: an example is worth more than a rule.

1. Values are tried, not derived: those that constraints of both sides name, their bounds and a step beyond.
   What is shown was judged by `cover` itself, so an example is never wrong; there may be none.
2. At most 2,000 calls are tried.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import islice, product
from typing import TYPE_CHECKING, Final

from taskbound.core.scope.charge import Covered
from taskbound.core.scope.cover import cover
from taskbound.core.scope.grant import Scope
from taskbound.core.scope.path import Items
from taskbound.core.scope.verdict import Met

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.grant import Grant
    from taskbound.core.scope.path import ArgumentPath, Step


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
    """Arguments that the grant covers and the other scope doesn't; ``None`` when none was found."""
    alone = Scope(grants=(grant,))
    near: dict[ArgumentPath, list[Constraint]] = {}
    for one in other.by_tool.get(grant.tool, ()):
        for path, rule in one.arguments:
            near.setdefault(path, []).append(rule)
    options = [
        (path, (*islice(_values(rule, near.get(path, [])), _EACH), *_without(grant, path)))
        for path, rule in grant.arguments
    ]
    for chosen in islice(product(*(values for _, values in options)), _TRIES):  # rule 2
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
    """Values that meet the rule, those that another rule doesn't permit first."""
    known = [value for value in _edges((rule, *others)) if isinstance(rule.permits(value), Met)]
    known.sort(key=lambda value: sum(isinstance(one.permits(value), Met) for one in others))
    yield from known


def _edges(rules: tuple[Constraint, ...]) -> Iterator[JsonValue]:
    for rule in rules:
        yield from rule.choices() or ()
        yield from _named(rule.value())
    yield from _PLAIN


def _named(value: JsonValue) -> Iterator[JsonValue]:
    """Whatever a body holds, and a step beyond it."""
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
