"""Which calls of a tool a task's scope covers now, for lists of what can be asked for.

1. It stands on all that a decision stands on, but for policy, approvals and what is left of limits: it gives
   no right, and each call is decided when it is made.
2. All must cover: the scope of the task in its step, those of every task above, the ceilings of their agents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import parse_object
from taskbound.core.errors import MalformedError
from taskbound.core.scope import Covered
from taskbound.core.scope.could import could_cover, could_cover_template
from taskbound.core.scope.verdict import Met
from taskbound.core.tool import parse_template
from taskbound.flows.decision.covering import cover_call

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.scope import Scope
    from taskbound.flows.decision.case import Ground


def covered_of(ground: Ground, calls: Sequence[bytes], how: str) -> tuple[int, ...]:
    """The places of the calls that are covered; what can't be read is not.

    Args:
        ground: What calls of the tool stand on.
        calls: The arguments of each.
        how: `whole`, `begun` or `template`, as in `wire.tool.CoverCalls`.
    """
    return tuple(place for place, raw in enumerate(calls) if _is_covered(ground, raw, how))


def _is_covered(ground: Ground, raw: bytes, how: str) -> bool:
    try:
        arguments = parse_object(raw)
        if how == "whole":
            return isinstance(cover_call(ground, arguments), Covered)
        if how == "begun":
            return _all_could(ground, arguments)
        return _all_expand(ground, arguments)
    except MalformedError:
        return False


def _all_could(ground: Ground, known: dict[str, JsonValue]) -> bool:
    tool, schema = ground.tool.pinned.name, ground.tool.definition.input_schema
    return all(
        isinstance(could_cover(scope, tool, known, schema, step=step), Met) for scope, step in _scopes(ground)
    )


def _all_expand(ground: Ground, arguments: dict[str, JsonValue]) -> bool:
    text = arguments.get("uri")
    if not isinstance(text, str):
        return False
    template, tool = parse_template(text), ground.tool.pinned.name
    return all(
        isinstance(could_cover_template(scope, tool, "uri", template, step=step), Met)
        for scope, step in _scopes(ground)
    )


def _scopes(ground: Ground) -> Iterator[tuple[Scope, int]]:
    """Every scope that must cover, with the step that it is in (rule 2)."""
    for task in ground.lineage.tasks:
        yield task.scope, task.step
    for scope, _ in ground.bounds:
        yield scope, 0
