"""What covers a call: the scope of its task, of every task above, and the ceilings of their agents.

1. All of them must (law 3), each in the step that it is in. Limits are the task's own, carved then.
2. Each grant stands on those of the parent that it was carved from, and on no others: a call goes up only by
   a way of such grants that all cover it, and pays the rates of each on that way.
3. Ways are looked for in a bounded number; those beyond it permit nothing.
4. A refusal that comes from a scope says whether the task's requester could grant what was missing. It is
   advice, and permits nothing.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Reason, Refuse
from taskbound.core.identity.grantable import why_not
from taskbound.core.scope import Covered, Missed, cover

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.scope import Payer
    from taskbound.core.task import Task
    from taskbound.flows.decision.case import Ground
    from taskbound.flows.decision.views import Views


_WAYS: Final = 64
OUTSIDE: Final = "outside-scope"
"""The code of the refusal of what no grant covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Something does not cover the call."""

    code: str
    text: str
    whose: str


def cover_call(ground: Ground, arguments: dict[str, JsonValue]) -> Covered | Outside:
    """The grants of the task's scope that cover, each with what it pays above; or what doesn't cover."""
    schema = ground.tool.definition.input_schema
    name = ground.tool.pinned.name
    tasks = ground.lineage.tasks
    own = cover(tasks[0].scope, name, arguments, schema, step=tasks[0].step)
    if isinstance(own, Missed):
        return _outside(own, "the task's scope")
    ways = [(payer, payer.grant) for payer in own.payers]
    for below, above in pairwise(tasks):
        whose = f"the scope of its ancestor `{above.id}`"
        found = cover(above.scope, name, arguments, schema, step=above.step)
        if isinstance(found, Missed):
            return _outside(found, whose)
        ways = _climb(ways, below, above, {one.grant: one for one in found.payers})
        if not ways:
            text = "what covers it is not what the task was given for it"
            return Outside(code="not-carved", text=text, whose=whose)
    for scope, whose in ground.bounds:
        found = cover(scope, name, arguments, schema)
        if isinstance(found, Missed):
            return _outside(found, whose)
    if len(tasks) == 1:
        return own
    return Covered(tool=own.tool, payers=tuple(payer for payer, _ in ways))


def refuse_outside(views: Views, ground: Ground, outside: Outside, arguments: dict[str, JsonValue]) -> Refuse:
    """The refusal of what no grant covers, and whether the requester could grant it (rule 4)."""
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
    """Each way, one task further up (rule 2)."""
    found: list[tuple[Payer, str]] = []
    for payer, grant in ways:
        for share in below.shares:
            wider = covering.get(share.parent) if share.child == grant else None
            if wider is None or len(found) >= _WAYS:
                continue  # 3
            rates = tuple((above.id, rate) for rate in wider.rates)
            way = (replace(payer, above=(*payer.above, *rates)), wider.grant)
            if way not in found:
                found.append(way)
    return found


def _outside(missed: Missed, whose: str) -> Outside:
    return Outside(code=missed.code, text=missed.sentence, whose=whose)
