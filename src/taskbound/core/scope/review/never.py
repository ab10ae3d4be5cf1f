"""What a scope never permits, in plain words: silence refuses, and here is what it is silent about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.scope.grant import Others, tools_of
from taskbound.core.scope.review.pinned import properties_of
from taskbound.core.scope.review.remark import some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.scope.grant import Grant, Scope
    from taskbound.core.tool import ToolDefinition


def never(scope: Scope, tools: Mapping[str, ToolDefinition] | None) -> tuple[str, ...]:
    """What can't be done, one line each.

    Args:
        scope: The scope.
        tools: The pinned definitions by the tool's whole name; ``None`` when they aren't known.
    """
    return tuple(_lines(scope, tools))


def _lines(scope: Scope, tools: Mapping[str, ToolDefinition] | None) -> Iterator[str]:
    named = tools_of(scope)
    if tools is None:
        yield f"call any tool but {some(named)}"
    else:
        others = tools.keys() - named
        yield (
            f"call another tool; of those that are pinned: {some(others)}" if others else "call another tool"
        )
    for grant in scope.grants:
        yield from _left_out(grant, None if tools is None else tools.get(grant.tool))
    for at, step in enumerate(scope.steps):
        later = {one.tool for one in step.grants} - {
            grant.tool for earlier in scope.steps[:at] for grant in earlier.grants
        }
        if at and later:
            yield f"before step `{step.name}`, call {some(later)}"
        if at and not step.keep:
            yield f"from step `{step.name}` on, use what only the steps before it grant"
    if all(grant.uses is not None for grant in scope.grants):
        uses = sum(grant.uses or 0 for grant in scope.grants)
        yield f"act more than {uses} times in all" if uses > 1 else "act more than once in all"


def _left_out(grant: Grant, tool: ToolDefinition | None) -> Iterator[str]:
    """Arguments that must be left out, or at their defaults."""
    if grant.others is Others.ANY:
        return
    where = f"by {grant.id}, give `{grant.tool}`"
    known = None if tool is None else properties_of(tool.input_schema)
    if known is None:
        yield f"{where} any argument" + (f" but {some(grant.named)}" if grant.named else "")
    elif known.keys() - grant.named:
        yield f"{where} anything but the default for {some(known.keys() - grant.named)}"
