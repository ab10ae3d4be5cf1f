"""Whether scopes and ceilings above a task cover a call, and which calls of a tool they cover.

All must cover (law 3), each in its step. A call passes only along chains of grants, each carved from its
parent's, that all cover it, and pays the rates of each. The check of possible calls gives no right and leaves
out policy, approvals and remaining limits.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from taskbound.core.action import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Reason, Refuse
from taskbound.core.errors import MalformedError
from taskbound.core.identity.agent import why_not
from taskbound.core.scope import Covered, NotCovered, Others, cover
from taskbound.core.scope.cover import could_cover, could_cover_template
from taskbound.core.scope.values import Match
from taskbound.core.tool import parse_template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.identity import Agent
    from taskbound.core.scope import Payer, Scope
    from taskbound.core.task import Task
    from taskbound.flows.decision.context import Views
    from taskbound.flows.decision.facts import AuthorizedContext


_WAYS: Final = 64
OUTSIDE: Final = "outside-scope"
"""The code of the refusal of what no grant covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideScope:
    """A scope or ceiling does not cover the call."""

    code: str
    text: str
    whose: str


def cover_call(ground: AuthorizedContext, arguments: dict[str, JsonValue]) -> Covered | OutsideScope:
    """Returns the covering grants of the task's scope with their payers, or what does not cover."""
    schema = ground.tool.definition.input_schema
    name = ground.tool.pinned.name
    tasks = ground.lineage.tasks
    own = cover(tasks[0].scope, name, arguments, schema, step=tasks[0].step)
    if isinstance(own, NotCovered):
        return _outside(own, "the task's scope")
    ways = [(payer, payer.grant) for payer in own.payers]
    for below, above in pairwise(tasks):
        whose = f"the scope of its ancestor `{above.id}`"
        found = cover(above.scope, name, arguments, schema, step=above.step)
        if isinstance(found, NotCovered):
            return _outside(found, whose)
        ways = _climb(ways, below, above, {one.grant: one for one in found.payers})
        if not ways:
            text = "what covers it is not what the task was given for it"
            return OutsideScope(code="not-carved", text=text, whose=whose)
    for scope, whose in ground.bounds:
        found = cover(scope, name, arguments, schema)
        if isinstance(found, NotCovered):
            return _outside(found, whose)
    if len(tasks) == 1:
        return own
    return Covered(tool=own.tool, payers=tuple(payer for payer, _ in ways))


def refuse_outside(
    views: Views, ground: AuthorizedContext, outside: OutsideScope, arguments: dict[str, JsonValue]
) -> Refuse:
    task, schema = ground.lineage.task, ground.tool.definition.input_schema
    reach = views.reach(task.namespace, task.requester)
    why = why_not(reach, ground.agent, ground.tool.pinned.name, arguments, schema)
    return Refuse(
        code=OUTSIDE,
        reasons=(
            Reason(code=outside.code, text=outside.text, detail=f"not covered by {outside.whose}"),
            Reason(code="not-grantable", text=why)
            if why
            else Reason(code="grantable", text=f"`{task.requester}`, who asked for the task, may grant it"),
        ),
        instead=f"stay within that; {why}"
        if why
        else f"stay within that, or ask `{task.requester}` for a task that covers it",
    )


def _climb(
    ways: list[tuple[Payer, str]], below: Task, above: Task, covering: dict[str, Payer]
) -> list[tuple[Payer, str]]:
    found: list[tuple[Payer, str]] = []
    for payer, grant in ways:
        for share in below.shares:
            wider = covering.get(share.parent) if share.child == grant else None
            if wider is None or len(found) >= _WAYS:
                continue
            rates = tuple((above.id, rate) for rate in wider.rates)
            way = (replace(payer, above=(*payer.above, *rates)), wider.grant)
            if way not in found:
                found.append(way)
    return found


def _outside(missed: NotCovered, whose: str) -> OutsideScope:
    return OutsideScope(code=missed.code, text=missed.sentence, whose=whose)


def bounds_of(agents: Mapping[str, Agent], tool: str) -> tuple[tuple[Scope, str], ...]:
    """Returns the ceilings, with their agents, that do not cover every call of the tool."""
    ceilings = [(agent.ceiling, f"the ceiling of agent `{name}`") for name, agent in agents.items()]
    return tuple([(scope, whose) for scope, whose in ceilings if not _is_open(scope, tool)])


def _is_open(scope: Scope, tool: str) -> bool:
    said = {"tool": tool, "others": Others.ANY.value, "uses": 0}
    in_force = scope.at(0)  # as `cover` judges: a ceiling's first step is all that counts of it
    return any(grant.value() | {"uses": 0} == said for grant in in_force.by_tool.get(tool, ()))


def covered_of(ground: AuthorizedContext, calls: Sequence[bytes], how: str) -> tuple[int, ...]:
    """Returns indexes of covered calls; `how` is `whole`, `begun` or `template` (`wire.tool.CoverCalls`)."""
    return tuple(place for place, raw in enumerate(calls) if _is_covered(ground, raw, how))


def _is_covered(ground: AuthorizedContext, raw: bytes, how: str) -> bool:
    try:
        arguments = parse_object(raw)
        if how == "whole":
            return isinstance(cover_call(ground, arguments), Covered)
        if how == "begun":
            return _all_could(ground, arguments)
        return _all_expand(ground, arguments)
    except MalformedError:
        return False


def _all_could(ground: AuthorizedContext, known: dict[str, JsonValue]) -> bool:
    tool, schema = ground.tool.pinned.name, ground.tool.definition.input_schema
    return all(
        isinstance(could_cover(scope, tool, known, schema, step=step), Match)
        for scope, step in _scopes(ground)
    )


def _all_expand(ground: AuthorizedContext, arguments: dict[str, JsonValue]) -> bool:
    text = arguments.get("uri")
    if not isinstance(text, str):
        return False
    template, tool = parse_template(text), ground.tool.pinned.name
    return all(
        isinstance(could_cover_template(scope, tool, "uri", template, step=step), Match)
        for scope, step in _scopes(ground)
    )


def _scopes(ground: AuthorizedContext) -> Iterator[tuple[Scope, int]]:
    for task in ground.lineage.tasks:
        yield task.scope, task.step
    for scope, _ in ground.bounds:
        yield scope, 0
