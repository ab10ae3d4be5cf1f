"""Who may answer an amendment, and what it stands on, as it is written in the store now.

1. Who asks for an amendment is treated as who asked for the task: they approve nothing of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.approval.amendment import (
    AmendmentGround,
)
from taskbound.flows.approval.circle import standing_of

if TYPE_CHECKING:
    from taskbound.core.approval import Circle
    from taskbound.core.approval.amendment import AmendmentQuestion
    from taskbound.core.task import Task
    from taskbound.flows.approval.circle import People
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.store import Snapshot

__all__ = ["amendment_circle", "amendment_ground"]


def amendment_circle(snapshot: Snapshot, people: People, task: Task, asker: str) -> Circle:
    """Whoever's word may count for an amendment of this task that this person asks for (rule 1)."""
    circle = people.circle(snapshot, task, "")
    return replace(circle, kin=circle.kin | {asker})


def amendment_ground(snapshot: Snapshot, question: AmendmentQuestion, policies: Policies) -> AmendmentGround:
    """What the amendment stands on, by the store's rows of now."""
    space = question.namespace
    lineage, ended, active = standing_of(snapshot, space, question.task, question.agent)
    return AmendmentGround(
        ended=ended,
        active=active,
        bundle=policies.digest_of(snapshot.policy.in_force(space)),
        scope=lineage[0].scope.digest if lineage else "",
        edition=lineage[0].scope_version if lineage else 0,
        step=lineage[0].step if lineage else 0,
    )
