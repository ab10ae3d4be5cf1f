"""Of which tools a wider scope lets a task call more.

1. Each tool by itself, in what is ahead of the step that the task is in: a tool is widened whose grants in
   the new scope are not shown to be within those of the old one, all of them together.
2. Where no tool is shown to be widened, each is taken to be: it is not narrower as a whole, by something that
   no tool shows by itself.
"""

from __future__ import annotations

from dataclasses import replace

from taskbound.core.scope import Scope, scope_ahead, tools_of
from taskbound.core.scope.algebra import Covers, covers
from taskbound.core.task.amendment import step_kept


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
