"""Who may answer an amendment, and what it stands on, as it is written in the store now.

1. Who asks for an amendment is treated as who asked for the task: they approve nothing of it.
2. Who approves for a tool answers beside who approves for the agent, where more of it may be called then; of
   each as many as the policies in force ask of those who approve for the agent. Nothing lifts what stands on
   policies that can't be read whole.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.approval.amendment import AmendmentGround, amendment_lifters
from taskbound.core.policy import DamagedBundleError
from taskbound.core.task.wider import widened_tools
from taskbound.flows.approval.circle import standing_of

if TYPE_CHECKING:
    from taskbound.core.approval import Circle
    from taskbound.core.approval.amendment import AmendmentQuestion
    from taskbound.core.scope import Scope
    from taskbound.core.task import Task
    from taskbound.flows.approval.circle import People
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.store import Snapshot


def amendment_circle(snapshot: Snapshot, people: People, task: Task, asker: str) -> Circle:
    """Whoever's word may count for an amendment of this task that this person asks for (rule 1)."""
    circle = people.circle(snapshot, task, "")
    tools = snapshot.tools.approvers(task.namespace)
    return replace(circle, kin=circle.kin | {asker}, tools=tools)


def lifters_of(snapshot: Snapshot, policies: Policies, task: Task, scope: Scope) -> tuple[str, ...]:
    """What lifts an amendment of this task to this scope (rule 2).

    Raises:
        DamagedBundleError: The policies in force are not whole.
    """
    space = task.namespace
    engine = policies.engine(snapshot, space, snapshot.policy.in_force(space).digest)
    named = snapshot.tools.approvers(space)
    wider = widened_tools(task.scope, task.step, scope) if named else ()
    return amendment_lifters((one for one in wider if one in named), engine.lifters)


def amendment_ground(snapshot: Snapshot, question: AmendmentQuestion, policies: Policies) -> AmendmentGround:
    """What the amendment stands on, by the store's rows of now."""
    space = question.namespace
    lineage, ended, active = standing_of(snapshot, space, question.task, question.agent)
    lifters: tuple[str, ...] = ()
    with suppress(DamagedBundleError):  # 2
        lifters = lifters_of(snapshot, policies, lineage[0], question.after) if lineage else ()
    return AmendmentGround(
        ended=ended,
        active=active,
        bundle=policies.digest_of(snapshot.policy.in_force(space)),
        scope=lineage[0].scope.digest if lineage else "",
        edition=lineage[0].scope_version if lineage else 0,
        step=lineage[0].step if lineage else 0,
        lifters=lifters,
    )
